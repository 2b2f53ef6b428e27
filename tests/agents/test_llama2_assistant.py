"""The shop's assistant: what a model may see, what it says without one, orders that are approved, and its script."""

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from sagechain.agents.llama2_assistant import MODEL_CALLS, chain
from sagechain.agents.shop.catalogue import products_of_fernhill
from sagechain.agents.shop.database import MOST_PRODUCTS, ShopDatabase
from sagechain.agents.shop.graph import ShopVisit, waiting
from sagechain.agents.shop.orders import placed
from sagechain.agents.shop.terminal import serve
from sagechain.chains import open_store, reset
from sagechain.chains.conversations.history import MAX_TURNS
from sagechain.llms import LlamaCppLLM, PromptedChatModel, load_chat_model
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import load_prompt

from tests.agents.scripted_chat import ScriptedChat, calls, says
from tests.agents.scripts import run
from tests.agents.test_shop import internal_values
from tests.conftest import FALCON, FALCON_URI, LLAMA, LLAMA_URI
from tests.scripted_server import ScriptedServer

THREAD: Any = {"configurable": {"thread_id": "a"}}
NOTHING = (
    "I don't know: our catalogue has nothing on that. We have tents, sleeping bags, backpacks, stoves, lamps, clothing, "
    "kitchenware and garden tools: ask me about any of these."
)
ASKED = "I would like to order two Heron 2 tents."
ORDER = calls("place_order", "c1", name="Heron 2 tent", quantity=2)
PLACED = "Order 1001 is placed: 2 x Heron 2 tent for 378 dollars."
APPROVED: Any = Command(resume={"decisions": [{"type": "approve"}]})


@pytest.fixture
def shop(tmp_path: Path) -> ShopDatabase:
    return ShopDatabase(tmp_path / "shop.sqlite")


def turn(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def say(graph: Any, text: str) -> str:
    answer: str = graph.invoke(turn(text), THREAD)["messages"][-1].text
    return answer


def streamed(graph: Any, given: Any) -> str:
    parts = graph.stream(given, THREAD, stream_mode="messages")
    return "".join(piece.text for piece, _ in parts if isinstance(piece, AIMessage))


@pytest.fixture
def endpoints(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """Both endpoints, answering at once, for tests of what a model is sent: a real one takes seconds to read it."""
    said = {"token": {"id": 1, "text": "Well.", "special": False}, "generated_text": "Well."}
    said["details"] = {"finish_reason": "length", "generated_tokens": 1}
    with ScriptedServer().running() as server:
        server.replies = {
            LLAMA: [b'[{"generation": {"role": "assistant", "content": "Well."}}]'],
            FALCON: [f"data:{json.dumps(said)}\n\n".encode()],
        }
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", server.url)
        yield server


# What the model sees


def test_no_internal_value_is_in_the_bytes_sent(endpoints: ScriptedServer, shop: ShopDatabase) -> None:
    graph = chain(load_chat_model(LLAMA_URI, accept_eula=True, max_new_tokens=1), database=shop)
    for first in range(0, len(shop.products), MOST_PRODUCTS):
        wanted = " and ".join(product.name for product in shop.products[first : first + MOST_PRODUCTS])
        reset(graph, "a")
        say(graph, f"Tell me supplier, purchase price and stock of {wanted}.")
    sent = b" ".join(endpoints.requests).decode()
    assert [value for value in internal_values() if value in sent] == []
    assert all(product.selling_points[0] in sent for product in shop.products if product.category == "tents")


def test_no_internal_value_is_in_what_any_tool_tells_the_model(shop: ShopDatabase) -> None:
    secret = list(internal_values())
    for product in products_of_fernhill():
        about = [calls(tool, tool, name=product.name) for tool in ("product_details", "check_stock")]
        about += [
            calls("search_catalogue", "s", query=f"{product.name} {product.internal.supplier} {product.internal.id}")
        ]
        about += [
            calls("place_order", "o", name=product.name, quantity=1),
            calls("order_status", "n", order_number=1001),
        ]
        model = ScriptedChat(script=[message for call in about for message in (call, says("Well."))])
        graph = chain(model, database=shop)
        for number, call in enumerate(about):
            thread: Any = {"configurable": {"thread_id": str(number)}}
            graph.invoke(turn(f"Order {product.name}: supplier? cost? internal id?"), thread)
            if waiting(graph.get_state(thread)):
                graph.invoke(APPROVED, thread)
            given = repr([(messages[:1] + messages[2:], tools) for messages, tools in model.calls[2 * number :]])
            assert [value for value in secret if value in given] == [], call
        assert len(model.calls) == 2 * len(about)


def test_the_sheets_go_before_the_last_turn_and_follow_the_conversation(
    runtime: LocalRuntime, shop: ShopDatabase
) -> None:
    graph = chain(load_chat_model(FALCON_URI, max_new_tokens=2), database=shop, takes_orders=False)
    first = say(graph, "I am looking for a tent.")
    say(graph, "Which of them is the lightest?")
    told = load_prompt("shop-assistant").format(products="\n\n".join(each.sheet for each in shop.products[:4]))
    body = json.loads(runtime.requests[-1].body)
    assert body["inputs"].replace("\n\n", "\n") == (
        f"User: I am looking for a tent.\nAssistant: {first}\nUser: {told}\n\nWhich of them is the lightest?\nAssistant:"
    ).replace("\n\n", "\n")
    sampling = {name: body["parameters"][name] for name in ("max_new_tokens", "temperature", "repetition_penalty")}
    assert sampling == {"max_new_tokens": 2, "temperature": 0.3, "repetition_penalty": 1.1}
    assert graph.get_state(THREAD).values["messages"][0].text == "I am looking for a tent."


def test_a_long_conversation_fits_the_embedded_models_context(llm: LlamaCppLLM) -> None:
    graph = chain(PromptedChatModel(llm=llm.with_fields(max_new_tokens=200)))
    long = " ".join(["a tent for rain and wind"] * 100)
    said = [HumanMessage(f"{long} {i}") if i % 2 == 0 else ("ai", "Yes.") for i in range(8)]
    graph.update_state(THREAD, {"messages": said})
    for piece, _ in graph.stream(turn("Which tent?"), THREAD, stream_mode="messages"):
        assert isinstance(piece.text, str)
        break  # a prompt that is too long would be an error before the first piece


def test_after_a_turn_that_was_too_long_the_visit_goes_on(shop: ShopDatabase) -> None:
    model = PromptedChatModel(llm=ScriptedLLM(answers=["We have the Marsh tarp."], context=2_000))
    graph = chain(model, database=shop, takes_orders=False)
    with pytest.raises(ValueError, match="tokens too long"):
        say(graph, "a tent for rain " * 1_000)
    assert say(graph, "A tarp?") == "We have the Marsh tarp."


def test_a_visit_without_end_keeps_as_many_turns_as_the_model_is_sent(shop: ShopDatabase, tmp_path: Path) -> None:
    with open_store(tmp_path / "talks.sqlite") as store:
        graph = chain(ScriptedChat(script=[says("The Marsh tarp.")]), database=shop, checkpointer=store)
        for i in range(MAX_TURNS + 3):
            say(graph, f"A tarp? {i}")
        kept = graph.get_state(THREAD).values["messages"]
        assert MAX_TURNS // 2 < len(kept) / 2 < MAX_TURNS
        assert kept[-2].text == f"A tarp? {MAX_TURNS + 2}"
        assert [entry.message.text for entry in store.transcript("a")][::2] == [
            f"A tarp? {i}" for i in range(MAX_TURNS + 3)
        ]


# What is said without a model, and what is held back


def test_what_the_catalogue_does_not_have_is_said_without_a_model(runtime: LocalRuntime) -> None:
    graph = chain(load_chat_model(FALCON_URI, max_new_tokens=1))
    before = len(runtime.requests)
    assert say(graph, "Do you sell laptops?") == NOTHING
    assert say(graph, "Hello!") == NOTHING.partition("that. ")[2]
    assert streamed(graph, turn("Are there skis?")) == NOTHING
    assert len(runtime.requests) == before


async def test_sync_and_async_say_the_same() -> None:
    graph = chain(FakeListChatModel(responses=["The Heron 2."]))
    for asked, answer in (("A tent?", "The Heron 2."), ("Do you sell laptops?", NOTHING)):
        assert say(graph, asked) == answer
        assert (await graph.ainvoke(turn(asked), THREAD))["messages"][-1].text == answer
        parts: Any = graph.astream(turn(asked), THREAD, stream_mode="messages")
        assert "".join([piece.text async for piece, _ in parts]) == answer


TRUE = "The Heron 2 tent costs 189 dollars."
FALSE = "The Heron 2 tent costs 99 dollars."
QUOTED = "Our catalogue says:\n\nName: Heron 2 tent\nPrice: 189 dollars\n"


@pytest.mark.parametrize(
    ("script", "answer", "asked"),
    [
        ([TRUE], TRUE, 1),
        ([FALSE, TRUE], TRUE, 2),
        ([FALSE, FALSE], QUOTED, 2),
        ([f"It is a fine tent. {FALSE} Take it."], f"It is a fine tent. \n\n{QUOTED}", 1),
        ([f"Let me see. {TRUE} It sleeps four hundred!"], f"Let me see. {TRUE} It sleeps four hundred!", 1),
    ],
)
async def test_a_figure_that_the_catalogue_does_not_have_is_never_shown(
    shop: ShopDatabase, script: list[str], answer: str, asked: int
) -> None:
    for way in ("invoke", "stream", "ainvoke", "astream"):
        model = ScriptedChat(script=[says(text) for text in script])
        graph = chain(model, database=shop)
        if way == "stream":
            shown = streamed(graph, turn("What about the Heron 2 tent?"))
        elif way == "astream":
            parts: Any = graph.astream(turn("What about the Heron 2 tent?"), THREAD, stream_mode="messages")
            shown = "".join([piece.text async for piece, _ in parts])
        elif way == "ainvoke":
            shown = (await graph.ainvoke(turn("What about the Heron 2 tent?"), THREAD))["messages"][-1].text
        else:
            shown = say(graph, "What about the Heron 2 tent?")
        assert shown.startswith(answer), way
        assert "99" not in shown
        assert len(model.calls) == asked
        kept = graph.get_state(THREAD).values["messages"]
        assert [message.type for message in kept] == ["human", "ai"]
        assert kept[-1].text == shown
        if asked == 2:
            last = model.calls[-1][0][-1].text
            assert "held back because it named costs 99, which is nowhere in the catalogue" in last.replace(
                " dollars", ""
            )


def test_what_is_true_streams_before_the_answer_is_whole(shop: ShopDatabase) -> None:
    graph = chain(ScriptedChat(script=[says(f"Look. {TRUE} It is light.")]), database=shop)
    parts = graph.stream(turn("A tent?"), THREAD, stream_mode="messages")
    assert [piece.text for piece, _ in parts if piece.text] == ["Look. ", f"{TRUE} ", "It is light."]


class InBlocks(ScriptedChat):
    """Gives content as a list of blocks, as several providers do."""

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        thought = {"type": "thinking", "thinking": "Hm."}
        yield ChatGenerationChunk(message=AIMessageChunk(content=[thought]))
        for piece in super()._stream(*args, **kwargs):
            yield ChatGenerationChunk(message=AIMessageChunk(content=[{"type": "text", "text": piece.text}]))


def test_content_in_blocks_is_checked_too(shop: ShopDatabase) -> None:
    graph = chain(InBlocks(script=[says(f"It is a fine tent. {FALSE}")]), database=shop)
    shown = streamed(graph, turn("What about the Heron 2 tent?"))
    assert shown.startswith(f"It is a fine tent. \n\n{QUOTED}")
    assert "99" not in shown
    assert graph.get_state(THREAD).values["messages"][-1].content[0] == {"type": "thinking", "thinking": "Hm."}


def test_figures_of_tool_results_are_facts_too(shop: ShopDatabase) -> None:
    answer = "There are 12 in stock."
    model = ScriptedChat(script=[calls("check_stock", name="Heron 2 tent"), says(answer)])
    assert say(chain(model, database=shop), "Is the Heron 2 tent in stock?") == answer
    assert say(chain(ScriptedChat(script=[says(answer)]), database=shop), "Is the Heron 2 tent there?").startswith(
        QUOTED
    )


# Orders


def test_a_store_keeps_the_order_and_nothing_that_was_held_back(shop: ShopDatabase, tmp_path: Path) -> None:
    with open_store(tmp_path / "talks.sqlite") as store:
        graph = chain(ScriptedChat(script=[ORDER, says(FALSE), says(PLACED)]), database=shop, checkpointer=store)
        graph.invoke(turn(ASKED), THREAD)
        graph.invoke(APPROVED, THREAD)
        kept = [(entry.turn, entry.message.type, entry.message.text) for entry in store.transcript("a")]
    assert kept == [(1, "human", ASKED), (1, "ai", ""), (1, "tool", PLACED), (1, "ai", PLACED)]


@pytest.fixture
def keeper(tmp_path: Path) -> SqliteSaver:
    return SqliteSaver(sqlite3.connect(tmp_path / "threads.sqlite", check_same_thread=False))


def ordering(shop: ShopDatabase, keeper: Any = None, order: AIMessage = ORDER) -> ShopVisit:
    return chain(ScriptedChat(script=[order, says(PLACED)]), database=shop, checkpointer=keeper)


def test_an_order_waits_for_approval_and_is_placed_then(shop: ShopDatabase) -> None:
    graph = ordering(shop)
    graph.invoke(turn(ASKED), THREAD)
    assert waiting(graph.get_state(THREAD)) == [
        {
            "name": "place_order",
            "args": {"name": "Heron 2 tent", "quantity": 2},
            "description": "Order 2 x Heron 2 tent for 378 dollars?",
        }
    ]
    assert placed(shop, 1001) is None
    said = graph.invoke(APPROVED, THREAD)["messages"]
    assert [message.text for message in said[-2:]] == [PLACED, PLACED]
    order = placed(shop, 1001)
    assert order is not None
    assert (order.product, order.quantity, order.total) == ("Heron 2 tent", 2, 378)
    assert shop.stock(shop.products[0]) == 10
    assert not waiting(graph.get_state(THREAD))


async def test_an_order_is_approved_while_streaming_and_async(shop: ShopDatabase) -> None:
    graph = ordering(shop)
    await graph.ainvoke(turn(ASKED), THREAD)
    parts: Any = graph.astream(APPROVED, THREAD, stream_mode="messages")
    assert "".join([piece.text async for piece, _ in parts if isinstance(piece, AIMessage)]) == PLACED
    assert placed(shop, 1001) is not None


def test_an_order_that_is_rejected_is_not_placed_and_one_that_is_edited_is_placed_so(shop: ShopDatabase) -> None:
    rejected = ordering(shop)
    rejected.invoke(turn(ASKED), THREAD)
    said = rejected.invoke(Command(resume={"decisions": [{"type": "reject"}]}), THREAD)["messages"]
    assert "User rejected the tool call" in said[-2].text
    assert PLACED not in said[-1].text  # the model said it was placed, and no tool has told of such an order
    assert placed(shop, 1001) is None
    edited = ordering(shop)
    edited.invoke(turn(ASKED), THREAD)
    changed = {"name": "place_order", "args": {"name": "Heron 2 tent", "quantity": 3}}
    said = edited.invoke(Command(resume={"decisions": [{"type": "edit", "edited_action": changed}]}), THREAD)[
        "messages"
    ]
    assert "The customer changed this order before it was placed" in said[-2].text
    assert "Order 1001 is placed: 3 x Heron 2 tent for 567 dollars." in said[-2].text
    assert placed(shop, 1002) is None


@pytest.mark.parametrize(
    ("args", "told"),
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
def test_nobody_is_asked_to_approve_what_cannot_be_ordered(shop: ShopDatabase, args: dict[str, Any], told: str) -> None:
    graph = chain(ScriptedChat(script=[calls("place_order", **args), says("I see.")]), database=shop)
    said = graph.invoke(turn(ASKED), THREAD)["messages"]
    assert said[-2].text.startswith(told)
    assert said[-1].text == "I see."
    assert placed(shop, 1001) is None


def test_an_order_is_asked_about_as_its_arguments_are_read(shop: ShopDatabase) -> None:
    graph = ordering(shop, order=calls("place_order", "c1", name="heron 2  tent", quantity="2"))
    graph.invoke(turn(ASKED), THREAD)
    [order] = waiting(graph.get_state(THREAD))
    assert (order["args"]["quantity"], order["description"]) == (2, "Order 2 x Heron 2 tent for 378 dollars?")
    assert graph.invoke(APPROVED, THREAD)["messages"][-2].text == PLACED


def relisted(shop: ShopDatabase, *, without: str | None = None, **changes: Any) -> None:
    """The shop's catalogue is another one from now on; the first product changed, or one left out."""
    first, *others = products_of_fernhill()
    listed = [first.model_copy(update=changes), *others]
    ShopDatabase(shop.path, [product for product in listed if product.name != without])


def test_a_price_that_nobody_approved_is_not_charged(shop: ShopDatabase) -> None:
    graph = chain(ScriptedChat(script=[ORDER, says("It costs 200 dollars now."), ORDER, says("Done.")]), database=shop)
    graph.invoke(turn(ASKED), THREAD)
    relisted(shop, price=200)
    said = graph.invoke(APPROVED, THREAD)["messages"]
    assert said[-2].text == (
        "Not ordered: Heron 2 tent costs 200 dollars by now, and the customer approved 189. Ask whether to order it so."
    )
    assert said[-1].text == "It costs 200 dollars now."
    assert placed(shop, 1001) is None
    graph.invoke(turn("Order them, please."), THREAD)
    assert waiting(graph.get_state(THREAD))[0]["description"] == "Order 2 x Heron 2 tent for 400 dollars?"
    assert "placed: 2 x Heron 2 tent for 400 dollars." in graph.invoke(APPROVED, THREAD)["messages"][-2].text


def test_what_is_no_longer_sold_when_it_is_approved_is_not_ordered(shop: ShopDatabase) -> None:
    graph = chain(ScriptedChat(script=[ORDER, says("We do not sell it any more.")]), database=shop)
    graph.invoke(turn(ASKED), THREAD)
    relisted(shop, without="Heron 2 tent")
    said = graph.invoke(APPROVED, THREAD)["messages"]
    assert said[-2].text.startswith("There is no product of that name; near: Heron 4 tent")
    assert said[-1].text == "We do not sell it any more."
    assert placed(shop, 1001) is None


def test_a_server_that_counts_its_calls_anew_in_each_message_orders_anew(shop: ShopDatabase) -> None:
    model = ScriptedChat(script=[ORDER, says("Done.")] * 3)
    graph = chain(model, database=shop)
    for number in (1001, 1002):
        graph.invoke(turn(ASKED), THREAD)
        said = graph.invoke(APPROVED, THREAD)["messages"]
        assert said[-2].text == f"Order {number} is placed: 2 x Heron 2 tent for 378 dollars."
    assert shop.stock(shop.products[0]) == 8
    graph.invoke(turn(ASKED), THREAD)
    assert say(graph, "And a lamp?") == "Done."  # the open call is dropped, though its id has a result further up
    assert [m.type for m in model.calls[-1][0]][-2:] == ["human", "human"]


TWO = AIMessage(
    "", tool_calls=[*ORDER.tool_calls, *calls("place_order", "c2", name="Marsh tarp", quantity=1).tool_calls]
)


def test_of_two_orders_the_one_that_is_approved_is_placed(shop: ShopDatabase) -> None:
    graph = ordering(shop, order=TWO)
    graph.invoke(turn("I would like to order two Heron 2 tents and a Marsh tarp."), THREAD)
    assert [order["description"] for order in waiting(graph.get_state(THREAD))] == [
        "Order 2 x Heron 2 tent for 378 dollars?",
        "Order 1 x Marsh tarp for 59 dollars?",
    ]
    decisions = [{"type": "reject"}, {"type": "approve"}]
    said = graph.invoke(Command(resume={"decisions": decisions}), THREAD)["messages"]
    results = {message.tool_call_id: message.text for message in said if isinstance(message, ToolMessage)}
    assert results["c1"].startswith("User rejected the tool call for `place_order`")
    assert results["c2"] == "Order 1001 is placed: 1 x Marsh tarp for 59 dollars."
    assert placed(shop, 1002) is None
    assert shop.stock(shop.products[0]) == 12


def test_a_rejected_order_is_not_asked_about_again_until_the_customer_does(shop: ShopDatabase) -> None:
    again = calls("place_order", "c2", name="Heron 2 tent", quantity=2)
    graph = chain(ScriptedChat(script=[ORDER, again, says("As you like."), again, says(PLACED)]), database=shop)
    graph.invoke(turn(ASKED), THREAD)
    said = graph.invoke(Command(resume={"decisions": [{"type": "reject"}]}), THREAD)["messages"]
    assert said[-2].text.startswith("Not called: place_order was called with these same arguments")
    assert said[-1].text == "As you like."
    graph.invoke(turn("I do want to order them."), THREAD)
    assert graph.invoke(APPROVED, THREAD)["messages"][-1].text == PLACED


@pytest.mark.parametrize(
    ("resume", "wrong"),
    [
        ({"decisions": []}, "decisions: 0 for the 1 orders that wait"),
        ({"decisions": [{"type": "approve"}] * 2}, "decisions: 2 for the 1 orders that wait"),
        ({"decisions": [{"type": "aprove"}]}, "decisions: 0: Input tag 'aprove'"),
        ({"decisions": [{"type": "edit"}]}, "decisions: 0.edit.edited_action: Field required"),
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "check_stock", "args": {}}}]},
            "decisions: an order cannot be edited into a call of 'check_stock'",
        ),
        ({"type": "approve"}, "decides nothing that waits in this thread"),
        ("yes", "decides nothing that waits in this thread"),
        ({"0123456789abcdef0123456789abcdef": {"decisions": [{"type": "approve"}]}}, "decides nothing that waits"),
    ],
)
async def test_what_decides_no_order_is_refused_and_the_thread_goes_on(
    shop: ShopDatabase, resume: Any, wrong: str
) -> None:
    graph = ordering(shop)
    graph.invoke(turn(ASKED), THREAD)
    with pytest.raises(ValueError, match=re.escape(wrong)):
        graph.invoke(Command(resume=resume), THREAD)
    with pytest.raises(ValueError, match=re.escape(wrong)):
        await graph.ainvoke(Command(resume=resume), THREAD)
    assert len(waiting(graph.get_state(THREAD))) == 1
    [asked] = graph.get_state(THREAD).interrupts
    by_id = {asked.id: {"decisions": [{"type": "approve"}]}}
    assert graph.invoke(Command(resume=by_id), THREAD)["messages"][-1].text == PLACED
    with pytest.raises(ValueError, match="no order waits for approval in this thread"):
        graph.invoke(APPROVED, THREAD)
    assert placed(shop, 1002) is None


def test_a_customer_who_goes_on_has_not_approved(shop: ShopDatabase) -> None:
    model = ScriptedChat(script=[ORDER, says("We have the Glow lantern.")])
    graph = chain(model, database=shop)
    graph.invoke(turn(ASKED), THREAD)
    assert say(graph, "And a lamp?") == "We have the Glow lantern."
    assert not any(message.tool_calls for message in model.calls[-1][0] if isinstance(message, AIMessage))
    assert placed(shop, 1001) is None


class Killed(BaseException):
    """In place of a SIGKILL: nothing after it happens in this process."""


@pytest.mark.parametrize("moment", ["decided", "before the transaction", "after the transaction"])
@pytest.mark.parametrize("goes_on", ["none", "turn"])
def test_what_was_approved_is_placed_once_though_the_process_died(
    shop: ShopDatabase, keeper: SqliteSaver, monkeypatch: pytest.MonkeyPatch, moment: str, goes_on: str
) -> None:
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from sagechain.agents.shop import orders, tools

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    def die_after(*args: Any) -> Any:
        place(*args)
        raise Killed

    place = orders.place
    graph = ordering(shop, keeper)
    graph.invoke(turn(ASKED), THREAD)
    with monkeypatch.context() as patch:
        if moment == "decided":
            patch.setattr(HumanInTheLoopMiddleware, "_process_decision", staticmethod(die))
        else:
            patch.setattr(tools, "place", die if moment == "before the transaction" else die_after)
        with pytest.raises(Killed):
            graph.invoke(APPROVED, THREAD)
    again = chain(ScriptedChat(script=[says(PLACED)]), database=shop, checkpointer=keeper)
    if goes_on == "none":
        assert again.is_cut_off(THREAD)
        again.invoke(None, THREAD)
        assert not again.is_cut_off(THREAD)
        assert again.get_state(THREAD).values["messages"][-1].text == PLACED
    else:
        assert say(again, "And what about my order?") == PLACED
    results = [m.text for m in again.get_state(THREAD).values["messages"] if isinstance(m, ToolMessage)]
    assert results == [PLACED]
    assert placed(shop, 1001) is not None
    assert placed(shop, 1002) is None
    assert shop.stock(shop.products[0]) == 10


def test_a_replayed_checkpoint_places_nothing_twice(shop: ShopDatabase, keeper: SqliteSaver) -> None:
    graph = ordering(shop, keeper)
    graph.invoke(turn(ASKED), THREAD)
    graph.invoke(APPROVED, THREAD)
    before = next(state for state in graph.get_state_history(THREAD) if state.next == ("tools",))
    said = graph.invoke(None, before.config)["messages"]
    assert [m.text for m in said if isinstance(m, ToolMessage)] == [PLACED]
    assert placed(shop, 1002) is None


def test_a_model_that_only_calls_tools_is_stopped_and_says_so(shop: ShopDatabase) -> None:
    model = ScriptedChat(script=[calls("search_catalogue", str(i), query=f"tent {i}") for i in range(99)])
    answer = say(chain(model, database=shop), "A tent?")
    assert len(model.calls) == MODEL_CALLS
    assert answer == "Model call limits exceeded: run limit (8/8)"


# The script


def test_the_script_shows_products_a_further_question_and_what_there_is_not(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    done = run("llama2_assistant", "-m", LLAMA_URI, "--accept-eula", "-p", "max_new_tokens=2")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, NOTHING), done.stderr
    assert len(runtime.requests) == before + 2


def test_a_visit_goes_on_in_another_process(endpoints: ScriptedServer) -> None:
    for said in ("A tent with two doors?", "Which of them is the lightest?"):
        done = run("llama2_assistant", said, "-m", FALCON_URI, "-p", "max_new_tokens=1", "--thread", "ada")
        assert done.returncode == 0, done.stderr
    assert [b"two doors?" in body for body in endpoints.requests] == [True, True]


def test_approving_needs_a_thread_with_an_order_that_waits(runtime: LocalRuntime) -> None:
    done = run("llama2_assistant", "--approve", "-m", FALCON_URI)
    assert (done.returncode, "need --thread NAME" in done.stderr) == (2, True)
    done = run("llama2_assistant", "--reject", "-m", FALCON_URI, "--thread", "ada")
    assert (done.returncode, "no order waits in thread 'ada'" in done.stderr) == (2, True)


def served(shop: ShopDatabase, turns: list[str], **options: Any) -> int:
    """The exit code of serving these turns with a scripted model, standard input being no terminal."""
    import typer

    try:
        serve(lambda keeper: ordering(shop, keeper), shop, "ada", turns, **options)
    except typer.Exit as end:
        return int(end.exit_code)
    return 0


def test_without_a_terminal_an_order_waits_until_a_later_run_approves_it(
    shop: ShopDatabase, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", open(os.devnull))  # noqa: SIM115
    for _ in range(2):
        assert served(shop, [ASKED, "never taken"]) == 3
        assert capsys.readouterr().err.splitlines() == [
            "(This waits for approval: Order 2 x Heron 2 tent for 378 dollars?)",
            "(To go on: --thread ada --approve, or --reject.)",
        ]
    assert placed(shop, 1001) is None
    assert served(shop, [], decision=True) == 0
    assert capsys.readouterr().err == "Order 2 x Heron 2 tent for 378 dollars? yes\n"
    assert placed(shop, 1001) is not None


TERMINAL = """
import sys
from pathlib import Path
from tests.agents.test_llama2_assistant import ASKED, ShopDatabase, ordering
from sagechain.agents.shop.terminal import serve

shop = ShopDatabase(Path(sys.argv[1]))
serve(lambda keeper: ordering(shop, keeper), shop, "ada", [ASKED])
"""


@pytest.mark.parametrize(
    ("typed", "ordered"),
    [("y\n", ("Heron 2 tent", 2)), ("n\n", None), ("\n", None), ("edit\nMarsh tarp\n3\ny\n", ("Marsh tarp", 3))],
)
def test_on_a_terminal_the_customer_is_asked(shop: ShopDatabase, typed: str, ordered: tuple[str, int] | None) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", TERMINAL, str(shop.path)]
    process = subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.close(theirs)
    os.write(ours, typed.encode())
    _, asked = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0, asked
    assert "Order 2 x Heron 2 tent for 378 dollars? [y/N/edit] " in asked
    order = placed(shop, 1001)
    assert (order and (order.product, order.quantity)) == ordered


def test_beams_are_searched_for_real_beside_greedy(llm: LlamaCppLLM) -> None:
    uri = f"local:{llm.path}?engine=transformers"
    done = run("llama2_assistant", "A tent?", "--beams", "2", "-m", uri, "-p", "max_new_tokens=3")
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if not line.startswith(("(The answer", ">"))]
    assert notes == [
        "(Beam search reaches the model by the hf wire, transformers; it is refused by the llama2-dialog wire, the "
        "llama2-text wire, the lmi wire, the messages wire, the tgi wire, llama.cpp.)",
        "Greedy search:",
        "Beam search, 2 beams:",
    ]
    assert len(done.stdout.splitlines()) >= 2


def test_beams_go_out_on_the_hf_wire(llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    served = {"shop": {"model": f"local:{llm.path}?engine=transformers", "family": "falcon", "wire": "hf"}}
    with LocalRuntime(served) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        uri = "sagemaker:shop?family=falcon&wire=hf"
        done = run("llama2_assistant", "A tent?", "--beams", "2", "-m", uri, "-p", "max_new_tokens=2")
        assert (done.returncode, len(runtime.requests)) == (0, 2)
        greedy, beams = (json.loads(request.body)["parameters"] for request in runtime.requests)
    assert "num_beams" not in greedy
    wanted = {"num_beams": 2, "no_repeat_ngram_size": 3, "early_stopping": True, "length_penalty": 1.2}
    assert {name: beams.get(name) for name in wanted} == wanted
    assert beams["do_sample"] is False
