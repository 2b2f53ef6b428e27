"""The shop: its search, its tools, and orders that are written once."""

import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from sagechain.agents.shop.catalogue import load_products
from sagechain.agents.shop.database import ShopDatabase
from sagechain.agents.shop.matching_products import matching_products
from sagechain.agents.shop.orders import KeyTaken, OutOfStock, PriceChanged, find_order, place
from sagechain.agents.shop.tools import shop_tools

from tests import processes

TENTS = ["Heron 2 tent", "Heron 4 tent", "Wren solo tent", "Marsh tarp"]


def names(products: Any) -> list[str]:
    return [product.name for product in products]


def tool_named(shop: ShopDatabase, name: str) -> BaseTool:
    return next(tool for tool in shop_tools(shop) if tool.name == name)


def call_tool(shop: ShopDatabase, tool: str, /, **args: Any) -> ToolMessage:
    message: ToolMessage = tool_named(shop, tool).invoke({"type": "tool_call", "name": tool, "args": args, "id": "1"})
    return message


def internal_values() -> Iterator[str]:
    for product in load_products():
        yield from (str(value) for value in product.internal.model_dump().values())


# Search


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["I am looking for a tent for two people."], TENTS),
        (["Something rechargeable?"], ["Glow headlamp", "Glow lantern", "Pebble night light"]),
        (["Which merino wool do you have?"], ["Fell wool jumper", "Fell wool socks"]),
        (["A tent, please.", "Which of them is the lightest?"], TENTS),
        (["A tent, please.", "And a spade?"], ["Ash spade", *TENTS[:3]]),
        (["Do you sell laptops?"], []),
        (["A tent, please.", "Do you have bicycles?"], []),
        (["A tent, please.", "Do you have it in red silk?"], ["Glow headlamp", *TENTS[:3]]),
        (["A tent, please.", "How heavy are they?"], TENTS),
        (["A tent, please.", "And which one would you take?"], TENTS),
        (["A tent, please.", "How many do you have left?"], TENTS),
        (["A tent, please.", "Do you have bicycles left?"], []),
        (["What is the capital of France?"], []),
        (["Hello!"], []),
    ],
)
def test_the_words_of_a_conversation_name_its_products(
    shop: ShopDatabase, turns: list[str], expected: list[str]
) -> None:
    assert names(matching_products(shop, turns)) == expected


def test_every_product_is_found_by_its_name(shop: ShopDatabase) -> None:
    assert len(shop.products) == 30
    for product in shop.products:
        assert product.name in names(shop.search(product.name))


@given(st.one_of(st.text(), st.from_regex(r'[\w"*():^+-]{1,40}( (AND|OR|NOT|NEAR\()? ?[\w"]+)*')))
def test_no_text_is_syntax_of_the_search(shop: ShopDatabase, text: str) -> None:
    assert len(shop.search(text)) <= 4
    assert isinstance(shop.similar_names(text), list)


def test_a_very_long_text_is_searched_too(shop: ShopDatabase) -> None:
    words = [f"word{'abcdefghij'[i % 10] * (i // 10)}" for i in range(2_000)]
    assert "Ash spade" in names(shop.search(" ".join([*words, "spade"])))


# Internal values


def test_no_internal_value_is_in_a_product_or_a_result(shop: ShopDatabase) -> None:
    shown = [f"{product!r} {product.model_dump_json()} {product.sheet}" for product in shop.products]
    for product in shop.products:
        shown += [call_tool(shop, name, name=product.name).text for name in ("product_details", "check_stock")]
        shown.append(call_tool(shop, "search_catalogue", query=f"{product.name} supplier cost purchase price id").text)
    assert [value for value in internal_values() if value in " ".join(shown)] == []
    assert [value for value in internal_values() if value in repr(load_products())] == []


# Tools


def test_tools_return_a_product_its_stock_and_names_near_a_wrong_one(shop: ShopDatabase) -> None:
    assert call_tool(shop, "product_details", name="heron 2  TENT").text.startswith(
        "Name: Heron 2 tent\nPrice: 189 dollars\n"
    )
    assert call_tool(shop, "check_stock", name="Heron 2 tent").text == "Heron 2 tent: 12 in stock."
    wrong = call_tool(shop, "check_stock", name="Heron tent 2")
    assert wrong.text.startswith("There is no product of that name; near: Heron 2 tent, Heron 4 tent")
    assert wrong.status == "error"
    categories = "The catalogue has nothing on that. It has tents, sleeping bags, backpacks, stoves, lamps, clothing, "
    assert call_tool(shop, "search_catalogue", query="laptop").text == f"{categories}kitchenware, garden tools."
    assert [find_order(shop, number) for number in (7, -1, 10**30)] == [None] * 3


def test_the_file_of_a_shop_is_for_its_owner_only(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        shop = ShopDatabase(tmp_path / "new" / "shop.sqlite")
        with shop.transaction():
            found = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.rglob("*")}
    finally:
        os.umask(mask)
    assert found.pop("new") == 0o700
    assert "shop.sqlite-wal" in found
    assert set(found.values()) == {0o600}


def test_a_model_sees_only_its_own_arguments(shop: ShopDatabase) -> None:
    arguments = {tool.name: list(tool.tool_call_schema.model_json_schema()["properties"]) for tool in shop_tools(shop)}  # type: ignore[union-attr]
    assert arguments == {
        "search_catalogue": ["query"],
        "product_details": ["name"],
        "check_stock": ["name"],
        "place_order": ["name", "quantity"],
        "order_status": ["order_number"],
    }


# Orders


def test_a_repeated_call_finds_its_order(shop: ShopDatabase) -> None:
    tent = shop.products[0]
    first = place(shop, "ada/1", tent, 2)
    assert (first.number, first.total) == (1001, 378)
    assert [place(shop, "ada/1", tent, 2) for _ in range(3)] == [first] * 3
    assert place(shop, "ada/2", tent, 1).number == 1002
    assert shop.stock(tent) == 9
    assert find_order(shop, 1001) == first
    with pytest.raises(KeyTaken):
        place(shop, "ada/1", tent, 3)


def test_an_order_at_another_price_is_not_placed(tmp_path: Path) -> None:
    listings = load_products()[:2]
    shop = ShopDatabase(tmp_path / "shop.sqlite", listings)
    tent = shop.products[0]
    first = place(shop, "ada/1", tent, 2)
    ShopDatabase(shop.path, [listings[0].model_copy(update={"price": 200}), listings[1]])
    with pytest.raises(PriceChanged, match="200 dollars"):
        place(shop, "ada/2", tent, 1)
    assert shop.stock(tent) == 10
    assert place(shop, "ada/1", tent, 2) == first  # the repeated call


def test_an_order_larger_than_the_stock_writes_nothing(shop: ShopDatabase) -> None:
    tent = shop.products[0]
    with pytest.raises(OutOfStock, match="12 in stock"):
        place(shop, "ada/1", tent, 13)
    assert shop.stock(tent) == 12
    assert find_order(shop, 1001) is None


def test_simultaneous_orders_never_exceed_the_stock(shop: ShopDatabase) -> None:
    tent = shop.products[0]

    def order(i: int) -> bool:
        try:
            place(shop, f"{i % 20}/1", tent, 1)
        except OutOfStock:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        succeeded = list(pool.map(order, range(40)))
    assert 12 <= sum(succeeded) <= 24
    assert shop.stock(tent) == 0
    with sqlite3.connect(shop.path) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT key) FROM orders").fetchone() == (12, 12)


def test_processes_that_create_a_shop_at_once_all_find_it_complete(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from sagechain.agents.shop.database import ShopDatabase as S; " \
        "print(len(S(Path(sys.argv[1])).products))"  # fmt: skip
    command = ["-c", code, str(tmp_path / "new" / "shop.sqlite")]
    started = [processes.start(*command) for _ in range(4)]
    assert [process.communicate()[0] for process in started] == ["30\n"] * 4


def test_a_changed_catalogue_preserves_stock_and_orders(tmp_path: Path) -> None:
    listings = load_products()[:2]
    shop = ShopDatabase(tmp_path / "shop.sqlite", listings)
    order = place(shop, "ada/1", shop.products[0], 2)
    changed_listing = listings[0].model_copy(update={"price": 200, "features": ("3 people",)})
    changed = ShopDatabase(shop.path, [changed_listing])
    assert [(p.name, p.price, changed.stock(p)) for p in changed.products] == [("Heron 2 tent", 200, 10)]
    assert names(changed.search("two doors")) == []
    assert find_order(changed, order.number) == order


def test_a_file_that_is_not_a_shop_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Buy milk. " * 200)
    with pytest.raises(ValueError, match=r"database: '.*notes\.txt' cannot be used as a shop's database: file is not"):
        ShopDatabase(tmp_path / "notes.txt")


def test_the_database_has_the_products_of_the_catalogue(shop: ShopDatabase) -> None:
    public = [json.loads(listing.model_dump_json(exclude={"stock", "internal"})) for listing in load_products()]
    assert [json.loads(product.model_dump_json()) for product in shop.products] == public
