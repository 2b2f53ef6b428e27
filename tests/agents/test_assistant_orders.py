"""Orders of the shop's assistant: approved, edited or rejected by the customer, and placed once."""

import asyncio
import re
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from sagechain.agents.llama2_assistant import MAX_MODEL_CALLS, chain
from sagechain.agents.shop.catalogue import load_products
from sagechain.agents.shop.conversation import waiting_orders
from sagechain.agents.shop.database import ShopDatabase
from sagechain.agents.shop.orders import find_order
from sagechain.chains import open_store

from tests.agents.ordering import (
    ORDER,
    PLACED,
    QUESTION,
    REQUEST,
    THREAD,
    decide,
    decide_by,
    ordering_graph,
    send,
    turn,
)
from tests.agents.scripted_chat import ScriptedChat, calls, says


@pytest.fixture
def checkpointer(tmp_path: Path) -> SqliteSaver:
    return SqliteSaver(sqlite3.connect(tmp_path / "threads.sqlite", check_same_thread=False))


def test_an_order_is_placed_only_after_approval(shop: ShopDatabase) -> None:
    graph = ordering_graph(shop)
    graph.invoke(turn(REQUEST), THREAD)
    args = {"name": "Heron 2 tent", "quantity": 2}
    assert waiting_orders(graph.get_state(THREAD)) == [{"name": "place_order", "args": args, "description": QUESTION}]
    assert find_order(shop, 1001) is None
    messages = graph.invoke(decide(graph, "approve"), THREAD)["messages"]
    assert [message.text for message in messages[-2:]] == [PLACED, PLACED]
    order = find_order(shop, 1001)
    assert order is not None
    assert (order.product, order.quantity, order.total) == ("Heron 2 tent", 2, 378)
    assert shop.stock(shop.products[0]) == 10
    assert not waiting_orders(graph.get_state(THREAD))


async def test_an_order_is_approved_while_streaming_and_async(shop: ShopDatabase) -> None:
    graph = ordering_graph(shop)
    await graph.ainvoke(turn(REQUEST), THREAD)
    parts: Any = graph.astream(decide(graph, "approve"), THREAD, stream_mode="messages")
    assert "".join([chunk.text async for chunk, _ in parts if isinstance(chunk, AIMessage)]) == PLACED
    assert find_order(shop, 1001) is not None


def test_a_store_records_the_order_in_its_transcript(shop: ShopDatabase, tmp_path: Path) -> None:
    with open_store(tmp_path / "threads.sqlite") as store:
        graph = ordering_graph(shop, store)
        graph.invoke(turn(REQUEST), THREAD)
        graph.invoke(decide(graph, "approve"), THREAD)
        entries = [(entry.turn, entry.message.type, entry.message.text) for entry in store.transcript("a")]
    assert entries == [(1, "human", REQUEST), (1, "ai", ""), (1, "tool", PLACED), (1, "ai", PLACED)]


def test_a_rejected_order_is_not_placed(shop: ShopDatabase) -> None:
    graph = ordering_graph(shop)
    graph.invoke(turn(REQUEST), THREAD)
    messages = graph.invoke(decide(graph, "reject"), THREAD)["messages"]
    assert "User rejected the tool call" in messages[-2].text
    assert find_order(shop, 1001) is None


def test_an_edited_order_is_placed_as_edited(shop: ShopDatabase) -> None:
    graph = ordering_graph(shop)
    graph.invoke(turn(REQUEST), THREAD)
    edited = {"name": "place_order", "args": {"name": "Heron 2 tent", "quantity": 3}}
    result = graph.invoke(decide_by(graph, [{"type": "edit", "edited_action": edited}]), THREAD)["messages"][-2]
    assert "The customer changed this order before it was placed" in result.text
    assert "Order 1001 is placed: 3 x Heron 2 tent for 567 dollars." in result.text
    assert find_order(shop, 1002) is None


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ({"name": "Heron tent", "quantity": 1}, "There is no product of that name; near: Heron 2 tent, Heron 4 tent"),
        ({"name": "Heron 2 tent", "quantity": 0}, "Not ordered: the quantity must be 1 or more."),
        (
            {"name": "Heron 2 tent", "quantity": 13},
            "Not ordered: there are 12 of Heron 2 tent in stock. Order 12 or fewer",
        ),
        ({"name": "Heron 2 tent", "quantity": "a few"}, "Not ordered: quantity: Input should be a valid integer"),
        ({"name": "Heron 2 tent"}, "Not ordered: quantity: Field required"),
    ],
)
def test_an_impossible_order_is_refused_without_a_question(
    shop: ShopDatabase, args: dict[str, Any], reason: str
) -> None:
    graph = chain(ScriptedChat(script=[calls("place_order", **args), says("I see.")]), database=shop)
    messages = graph.invoke(turn(REQUEST), THREAD)["messages"]
    assert messages[-2].text.startswith(reason)
    assert messages[-1].text == "I see."
    assert find_order(shop, 1001) is None


def test_the_question_shows_the_validated_arguments(shop: ShopDatabase) -> None:
    graph = ordering_graph(shop, order=calls("place_order", "c1", name="heron 2  tent", quantity="2"))
    graph.invoke(turn(REQUEST), THREAD)
    [order] = waiting_orders(graph.get_state(THREAD))
    assert (order["args"]["quantity"], order["description"]) == (2, QUESTION)
    assert graph.invoke(decide(graph, "approve"), THREAD)["messages"][-2].text == PLACED


def change_catalogue(shop: ShopDatabase, *, without: str | None = None, **changes: Any) -> None:
    """Fill the shop's file again, with changes to the first product, or without a product."""
    first, *others = load_products()
    products = [first.model_copy(update=changes), *others]
    ShopDatabase(shop.path, [product for product in products if product.name != without])


def test_an_order_whose_price_changed_since_the_question_is_not_placed(shop: ShopDatabase) -> None:
    script = [ORDER, says("It costs 200 dollars now."), ORDER, says("Done.")]
    graph = chain(ScriptedChat(script=script), database=shop)
    graph.invoke(turn(REQUEST), THREAD)
    change_catalogue(shop, price=200)
    assert graph.invoke(decide(graph, "approve"), THREAD)["messages"][-2].text == (
        "Not ordered: Heron 2 tent costs 200 dollars by now, and the customer approved 189. Ask whether to order it so."
    )
    assert find_order(shop, 1001) is None
    graph.invoke(turn("Order them, please."), THREAD)
    assert waiting_orders(graph.get_state(THREAD))[0]["description"] == "Order 2 x Heron 2 tent for 400 dollars?"
    assert "2 x Heron 2 tent for 400 dollars." in graph.invoke(decide(graph, "approve"), THREAD)["messages"][-2].text


def test_a_product_that_left_the_catalogue_after_the_question_is_not_ordered(shop: ShopDatabase) -> None:
    graph = ordering_graph(shop)
    graph.invoke(turn(REQUEST), THREAD)
    change_catalogue(shop, without="Heron 2 tent")
    result = graph.invoke(decide(graph, "approve"), THREAD)["messages"][-2]
    assert result.text.startswith("There is no product of that name; near: Heron 4 tent")
    assert find_order(shop, 1001) is None


def test_call_ids_that_repeat_in_later_messages_are_different_orders(shop: ShopDatabase) -> None:
    model = ScriptedChat(script=[ORDER, says("Done.")] * 3)
    graph = chain(model, database=shop)
    for number in (1001, 1002):
        graph.invoke(turn(REQUEST), THREAD)
        result = graph.invoke(decide(graph, "approve"), THREAD)["messages"][-2]
        assert result.text == f"Order {number} is placed: 2 x Heron 2 tent for 378 dollars."
    assert shop.stock(shop.products[0]) == 8
    graph.invoke(turn(REQUEST), THREAD)
    assert send(graph, "And a lamp?") == "Done."  # the open call is dropped, though an earlier one had its id
    assert [message.type for message in model.calls[-1][0]][-2:] == ["human", "human"]


def test_two_orders_are_decided_one_by_one(shop: ShopDatabase) -> None:
    second = calls("place_order", "c2", name="Marsh tarp", quantity=1)
    graph = ordering_graph(shop, order=AIMessage("", tool_calls=[*ORDER.tool_calls, *second.tool_calls]))
    graph.invoke(turn("I would like to order two Heron 2 tents and a Marsh tarp."), THREAD)
    questions = [order["description"] for order in waiting_orders(graph.get_state(THREAD))]
    assert questions == [QUESTION, "Order 1 x Marsh tarp for 59 dollars?"]
    messages = graph.invoke(decide(graph, "reject", "approve"), THREAD)["messages"]
    results = {message.tool_call_id: message.text for message in messages if isinstance(message, ToolMessage)}
    assert results["c1"].startswith("User rejected the tool call for `place_order`")
    assert results["c2"] == "Order 1001 is placed: 1 x Marsh tarp for 59 dollars."
    assert find_order(shop, 1002) is None
    assert shop.stock(shop.products[0]) == 12


def test_a_rejected_order_is_not_repeated_in_the_same_turn(shop: ShopDatabase) -> None:
    again = calls("place_order", "c2", name="Heron 2 tent", quantity=2)
    graph = chain(ScriptedChat(script=[ORDER, again, says("As you like."), again, says(PLACED)]), database=shop)
    graph.invoke(turn(REQUEST), THREAD)
    messages = graph.invoke(decide(graph, "reject"), THREAD)["messages"]
    assert messages[-2].text.startswith("Not called: place_order was called with these same arguments")
    assert messages[-1].text == "As you like."
    graph.invoke(turn("I do want to order them."), THREAD)
    assert graph.invoke(decide(graph, "approve"), THREAD)["messages"][-1].text == PLACED


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"decisions": []}, "decisions: 0 for the 1 orders that wait"),
        ({"decisions": [{"type": "approve"}] * 2}, "decisions: 2 for the 1 orders that wait"),
        ({"decisions": [{"type": "aprove"}]}, "decisions: 0: Input tag 'aprove'"),
        ({"decisions": [{"type": "edit"}]}, "decisions: 0.edit.edited_action: Field required"),
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "check_stock", "args": {}}}]},
            "decisions: an order cannot be edited into a call of 'check_stock'",
        ),
        ({"type": "approve"}, "is not a decision"),
        ("yes", "is not a decision"),
    ],
)
@pytest.mark.parametrize("name", ["its interrupt", "none", "another", "two"])
async def test_a_wrong_decision_is_an_error_and_the_order_still_waits(
    shop: ShopDatabase, value: Any, message: str, name: str
) -> None:
    graph = ordering_graph(shop)
    graph.invoke(turn(REQUEST), THREAD)
    [interrupt] = graph.get_state(THREAD).interrupts
    approval = {"decisions": [{"type": "approve"}]}
    resume: Any = {
        "its interrupt": {interrupt.id: value},
        "none": approval,
        "another": {"0123456789abcdef0123456789abcdef": approval},
        "two": {interrupt.id: approval, "0123456789abcdef0123456789abcdef": approval},
    }[name]
    expected = message if name == "its interrupt" else "does not decide an order that waits in this thread"
    with pytest.raises(ValueError, match=re.escape(expected)):
        graph.invoke(Command(resume=resume), THREAD)
    with pytest.raises(ValueError, match=re.escape(expected)):
        await graph.ainvoke(Command(resume=resume), THREAD)
    assert len(waiting_orders(graph.get_state(THREAD))) == 1
    approved = decide(graph, "approve")
    assert graph.invoke(approved, THREAD)["messages"][-1].text == PLACED
    with pytest.raises(ValueError, match="no order waits for approval in this thread"):
        graph.invoke(approved, THREAD)
    assert find_order(shop, 1002) is None


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_late_approval_never_places_another_order(shop: ShopDatabase, way: str, tmp_path: Path) -> None:
    """The approval of the first order comes while another person has the thread, and rejects that order."""
    nine = calls("place_order", "c2", name="Heron 2 tent", quantity=9)
    with open_store(tmp_path / "threads.sqlite") as store:
        graph = chain(ScriptedChat(script=[ORDER, nine, says("Done.")]), database=shop, checkpointer=store)
        graph.invoke(turn(REQUEST), THREAD)
        approval, rejection = decide(graph, "approve"), decide(graph, "reject")
        with ThreadPoolExecutor(1) as threads:
            with graph.thread_lock(THREAD):
                run = graph.invoke if way == "sync" else lambda *given: asyncio.run(graph.ainvoke(*given))
                approving = threads.submit(run, approval, THREAD)
                time.sleep(0.1)  # it waits for the turn
                assert not approving.done()
                list(CompiledStateGraph.stream(graph, rejection, THREAD))
            with pytest.raises(ValueError, match="does not decide an order that waits"):
                approving.result()
        assert [order["args"]["quantity"] for order in waiting_orders(graph.get_state(THREAD))] == [9]
        assert find_order(shop, 1001) is None


def test_a_decision_of_another_thread_decides_nothing(shop: ShopDatabase) -> None:
    graph = chain(ScriptedChat(script=[ORDER, ORDER, says("Done.")]), database=shop)
    ben: Any = {"configurable": {"thread_id": "ben"}}
    graph.invoke(turn(REQUEST), THREAD)
    graph.invoke(turn(REQUEST), ben)
    with pytest.raises(ValueError, match="does not decide an order that waits in this thread"):
        graph.invoke(decide(graph, "approve"), ben)
    assert find_order(shop, 1001) is None


@pytest.mark.parametrize("other", ["ben", "ad", "ada/1", "ad%", "None"])
def test_the_status_of_an_order_is_for_the_thread_that_placed_it(shop: ShopDatabase, other: str) -> None:
    status = calls("order_status", "c2", order_number=1001)
    graph = chain(ScriptedChat(script=[ORDER, says("Done."), status, says("x"), status, says("x")]), database=shop)
    ada: Any = {"configurable": {"thread_id": "ada"}}
    graph.invoke(turn(REQUEST), ada)
    graph.invoke(decide_by(graph, [{"type": "approve"}], ada), ada)
    answers = [
        graph.invoke(turn("And order 1001?"), {"configurable": {"thread_id": name}})["messages"][-2].text
        for name in (other, "ada")
    ]
    assert answers[0] == "There is no order of that number. Ask the customer for the number of the order."
    assert answers[1].startswith("Order 1001: 2 x Heron 2 tent for 378 dollars")


def test_another_turn_does_not_approve_an_order(shop: ShopDatabase) -> None:
    model = ScriptedChat(script=[ORDER, says("We have the Glow lantern.")])
    graph = chain(model, database=shop)
    graph.invoke(turn(REQUEST), THREAD)
    assert send(graph, "And a lamp?") == "We have the Glow lantern."
    assert not any(message.tool_calls for message in model.calls[-1][0] if isinstance(message, AIMessage))
    assert find_order(shop, 1001) is None


class Killed(BaseException):
    """In place of a SIGKILL: nothing after it happens in this process."""


class KillingShop(ShopDatabase):
    """A shop whose process dies at a moment of the order."""

    moment = ""

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        if self.moment == "after the approval":
            raise Killed
        with super().connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        if self.moment == "before the transaction":
            raise Killed
        with super().transaction() as connection:
            yield connection
        if self.moment == "after the transaction":
            raise Killed


@pytest.mark.parametrize("moment", ["after the approval", "before the transaction", "after the transaction"])
@pytest.mark.parametrize("next_input", [None, turn("And what about my order?")], ids=["resumed", "next turn"])
def test_an_approved_order_is_placed_once_although_the_process_died(
    shop: ShopDatabase, checkpointer: SqliteSaver, moment: str, next_input: Any
) -> None:
    killing_shop = KillingShop(shop.path)
    graph = ordering_graph(killing_shop, checkpointer)
    graph.invoke(turn(REQUEST), THREAD)
    killing_shop.moment = moment
    with pytest.raises(Killed):
        graph.invoke(decide(graph, "approve"), THREAD)

    graph = chain(ScriptedChat(script=[says(PLACED)]), database=shop, checkpointer=checkpointer)
    assert graph.is_unfinished(THREAD)
    messages = graph.invoke(next_input, THREAD)["messages"]
    assert not graph.is_unfinished(THREAD)
    assert messages[-1].text == PLACED
    assert [message.text for message in messages if isinstance(message, ToolMessage)] == [PLACED]
    assert find_order(shop, 1001) is not None
    assert find_order(shop, 1002) is None
    assert shop.stock(shop.products[0]) == 10


def test_a_replayed_checkpoint_places_no_second_order(shop: ShopDatabase, checkpointer: SqliteSaver) -> None:
    graph = ordering_graph(shop, checkpointer)
    graph.invoke(turn(REQUEST), THREAD)
    graph.invoke(decide(graph, "approve"), THREAD)
    before_tool = next(state for state in graph.get_state_history(THREAD) if state.next == ("tools",))
    messages = graph.invoke(None, before_tool.config)["messages"]
    assert [message.text for message in messages if isinstance(message, ToolMessage)] == [PLACED]
    assert find_order(shop, 1002) is None


def test_a_model_that_only_calls_tools_is_stopped(shop: ShopDatabase) -> None:
    model = ScriptedChat(script=[calls("search_catalogue", str(i), query=f"tent {i}") for i in range(99)])
    answer = send(chain(model, database=shop), "A tent?")
    assert len(model.calls) == MAX_MODEL_CALLS
    assert answer == "Model call limits exceeded: run limit (8/8)"
