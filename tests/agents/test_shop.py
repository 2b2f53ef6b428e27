"""The shop: what its search finds, what its tools tell, and orders that are written once."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool
from sagechain.agents.shop.catalogue import products_of_fernhill
from sagechain.agents.shop.database import ShopDatabase
from sagechain.agents.shop.facts import Facts
from sagechain.agents.shop.matching_products import products_in_sight
from sagechain.agents.shop.orders import OtherOrder, OtherPrice, OutOfStock, place, placed
from sagechain.agents.shop.tools import shop_tools

TENTS = ["Heron 2 tent", "Heron 4 tent", "Wren solo tent", "Marsh tarp"]


@pytest.fixture
def shop(tmp_path: Path) -> ShopDatabase:
    return ShopDatabase(tmp_path / "shop.sqlite")


def names(products: Any) -> list[str]:
    return [product.name for product in products]


def tool_named(shop: ShopDatabase, name: str) -> BaseTool:
    return next(tool for tool in shop_tools(shop) if tool.name == name)


def told(shop: ShopDatabase, tool: str, /, **args: Any) -> ToolMessage:
    message: ToolMessage = tool_named(shop, tool).invoke({"type": "tool_call", "name": tool, "args": args, "id": "1"})
    return message


def internal_values() -> Iterator[str]:
    for product in products_of_fernhill():
        yield from (str(value) for value in product.internal.model_dump().values())


# Search


@pytest.mark.parametrize(
    ("turns", "found"),
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
        (["A tent, please.", "What is the capital of France?"], []),
        (["A tent, please.", "Tell me a joke."], []),
        (["Hello!"], []),
    ],
)
def test_a_conversation_is_about_the_products_that_its_words_name(
    shop: ShopDatabase, turns: list[str], found: list[str]
) -> None:
    assert names(products_in_sight(shop, turns)) == found


def test_every_product_is_found_by_its_name(shop: ShopDatabase) -> None:
    assert len(shop.products) == 30
    for product in shop.products:
        assert product.name in names(shop.search(product.name))


@given(st.one_of(st.text(), st.from_regex(r'[\w"*():^+-]{1,40}( (AND|OR|NOT|NEAR\()? ?[\w"]+)*')))
def test_what_people_write_is_never_syntax_of_the_search(shop: ShopDatabase, text: str) -> None:
    assert len(shop.search(text)) <= 4
    assert isinstance(shop.near(text), list)


def test_a_very_long_question_is_searched_too(shop: ShopDatabase) -> None:
    words = [f"word{'abcdefghij'[i % 10] * (i // 10)}" for i in range(2_000)]
    assert "Ash spade" in names(shop.search(" ".join([*words, "spade"])))


# What is internal


def test_what_is_internal_is_in_no_product_and_no_result(shop: ShopDatabase) -> None:
    shown = [f"{product!r} {product.model_dump_json()} {product.sheet}" for product in shop.products]
    for product in shop.products:
        shown += [told(shop, name, name=product.name).text for name in ("product_details", "check_stock")]
        shown.append(told(shop, "search_catalogue", query=f"{product.name} supplier cost purchase price id").text)
    assert [value for value in internal_values() if value in " ".join(shown)] == []
    assert [value for value in internal_values() if value in repr(products_of_fernhill())] == []


# Tools


def test_tools_tell_a_product_its_stock_and_what_is_near_a_wrong_name(shop: ShopDatabase) -> None:
    assert told(shop, "product_details", name="heron 2  TENT").text.startswith(
        "Name: Heron 2 tent\nPrice: 189 dollars\n"
    )
    assert told(shop, "check_stock", name="Heron 2 tent").text == "Heron 2 tent: 12 in stock."
    wrong = told(shop, "check_stock", name="Heron tent 2")
    assert wrong.text.startswith("There is no product of that name; near: Heron 2 tent, Heron 4 tent")
    assert wrong.status == "error"
    nothing = "The catalogue has nothing on that. It has tents, sleeping bags, backpacks, stoves, lamps, clothing, "
    assert told(shop, "search_catalogue", query="laptop").text == f"{nothing}kitchenware, garden tools."
    for number in (7, -1, 10**30):
        assert told(shop, "order_status", order_number=number).text.startswith("There is no order of that number.")


def test_a_model_sees_no_argument_but_its_own(shop: ShopDatabase) -> None:
    seen = {tool.name: list(tool.tool_call_schema.model_json_schema()["properties"]) for tool in shop_tools(shop)}  # type: ignore[union-attr]
    assert seen == {
        "search_catalogue": ["query"],
        "product_details": ["name"],
        "check_stock": ["name"],
        "place_order": ["name", "quantity"],
        "order_status": ["order_number"],
    }


# Orders


def test_a_call_that_is_made_again_finds_its_order(shop: ShopDatabase) -> None:
    tent = shop.products[0]
    first = place(shop, "ada/1", tent, 2)
    assert (first.number, first.total) == (1001, 378)
    assert [place(shop, "ada/1", tent, 2) for _ in range(3)] == [first] * 3
    assert place(shop, "ada/2", tent, 1).number == 1002
    assert shop.stock(tent) == 9
    assert placed(shop, 1001) == first
    with pytest.raises(OtherOrder):
        place(shop, "ada/1", tent, 3)


def test_an_order_is_placed_at_the_price_that_was_approved_or_not_at_all(tmp_path: Path) -> None:
    listed = products_of_fernhill()[:2]
    shop = ShopDatabase(tmp_path / "shop.sqlite", listed)
    tent = shop.products[0]
    first = place(shop, "ada/1", tent, 2)
    ShopDatabase(shop.path, [listed[0].model_copy(update={"price": 200}), listed[1]])
    with pytest.raises(OtherPrice, match="200 dollars"):
        place(shop, "ada/2", tent, 1)
    assert shop.stock(tent) == 10
    assert place(shop, "ada/1", tent, 2) == first  # the call that placed it, made again


def test_what_is_not_in_stock_is_not_ordered_and_nothing_is_written(shop: ShopDatabase) -> None:
    tent = shop.products[0]
    with pytest.raises(OutOfStock, match="12 in stock"):
        place(shop, "ada/1", tent, 13)
    assert shop.stock(tent) == 12
    assert placed(shop, 1001) is None


def test_of_many_at_once_only_as_many_order_as_there_are(shop: ShopDatabase) -> None:
    tent = shop.products[0]

    def order(i: int) -> bool:
        try:
            place(shop, f"{i % 20}/1", tent, 1)
        except OutOfStock:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(order, range(40)))
    assert 12 <= sum(done) <= 24
    assert shop.stock(tent) == 0
    with sqlite3.connect(shop.path) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT key) FROM orders").fetchone() == (12, 12)


def test_processes_that_open_a_new_shop_at_once_all_find_it_whole(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from sagechain.agents.shop.database import ShopDatabase as S; " \
        "print(len(S(Path(sys.argv[1])).products))"  # fmt: skip
    command = [sys.executable, "-c", code, str(tmp_path / "new" / "shop.sqlite")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[0] for process in started] == ["30\n"] * 4


def test_a_shop_that_lists_other_products_keeps_stock_and_orders(tmp_path: Path) -> None:
    listed = products_of_fernhill()[:2]
    shop = ShopDatabase(tmp_path / "shop.sqlite", listed)
    order = place(shop, "ada/1", shop.products[0], 2)
    dearer = listed[0].model_copy(update={"price": 200, "features": ("3 people",)})
    changed = ShopDatabase(shop.path, [dearer])
    assert [(p.name, p.price, changed.stock(p)) for p in changed.products] == [("Heron 2 tent", 200, 10)]
    assert names(changed.search("two doors")) == []
    assert placed(changed, order.number) == order


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Buy milk. " * 200)
    with pytest.raises(ValueError, match=r"database: '.*notes\.txt' cannot be used as a shop's database: file is not"):
        ShopDatabase(tmp_path / "notes.txt")


# Facts

SHEET = (
    "Price: 189 dollars\nFeatures: 2 people, 2.1 kg, waterproof to 3,000 mm, warm to -12 degrees, "
    "boils a litre in 4 minutes"
)


@pytest.mark.parametrize(
    ("answer", "figure"),
    [
        ("It costs $189, which is 189.00 dollars, and weighs 2.1 kilograms.", None),
        ("For two people: a 2-person tent, waterproof to 3000 mm. Warm to -12 °C.", None),
        ("It costs 99.", "costs 99"),
        ("Only $99 today!", "$99"),
        ("It is 99 dollars.", "99 dollars"),
        ("It weighs 1,5 kg or 2.2 kg.", "1,5 kg"),
        ("A tent for four people.", "four people"),
        ("Warm to 12 degrees.", "12 degrees"),
        ("We have 12 in stock.", None),
        ("We have 13 of Heron 2 tent in stock.", "13 of Heron 2 tent in stock"),
        ("Only 3 left!", "3 left"),
        ("Your order number 1002 is on its way.", "order number 1002"),
        ("Order #1001 is placed: 378 dollars.", None),
        ("With 10% off.", "10%"),
        ("Only fifty dollars!", "fifty dollars"),
        ("One hundred and eighty-nine dollars.", None),
        ("Order 1001 comes to three hundred seventy-eight dollars.", None),
        ("It weighs sixty-nine kilograms.", "sixty-nine kilograms"),
        ("It costs **99** dollars, or **189** dollars.", "costs 99"),
        ("It is 99$, or EUR 99.", "99$"),
        ("It is 189$, or USD 189.", None),
        ("Take the Heron 2 $189.", None),
        ("There are 3 reasons to take it.", None),
    ],
)
def test_a_figure_that_nobody_told_is_found(answer: str, figure: str | None) -> None:
    facts = Facts([SHEET, "Heron 2 tent: 12 in stock.", "Order 1001 is placed: 2 x Heron 2 tent for 378 dollars."])
    assert facts.unfounded(answer) == figure


def test_every_sheet_is_founded_in_itself(shop: ShopDatabase) -> None:
    for product in shop.products:
        assert Facts([product.sheet]).unfounded(product.sheet) is None


def test_the_catalogue_is_kept_as_it_is_written(shop: ShopDatabase) -> None:
    public = [json.loads(listing.model_dump_json(exclude={"stock", "internal"})) for listing in products_of_fernhill()]
    assert [json.loads(product.model_dump_json()) for product in shop.products] == public
