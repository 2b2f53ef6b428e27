"""The shop's assistant over endpoints whose models only continue text: three tools, two rounds, an order that is approved.

Behind each wire stands a scripted model, which is given nothing but the text that reaches it.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, ToolMessage
from langgraph.types import Command
from sagechain.agents.llama2_assistant import chain
from sagechain.agents.shop.database import ShopDatabase
from sagechain.agents.shop.graph import ShopVisit
from sagechain.llms import load_chat_model
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime

FAMILIES = {"llama2-dialog": "llama2", "tgi": "falcon"}
THREAD: Any = {"configurable": {"thread_id": "ada"}}
ASKED: Any = {"messages": [HumanMessage("Do you have a kettle? If so, I would like to order two.")]}
APPROVED: Any = Command(resume={"decisions": [{"type": "approve"}]})
QUESTION = "Order 2 x Kettle with whistle for 98 dollars?"

SEARCH = {"name": "search_catalogue", "args": {"query": "kettle"}}
STOCK = {"name": "check_stock", "args": {"name": "Kettle with whistle"}}
ORDER = {"name": "place_order", "args": {"name": "Kettle with whistle", "quantity": 2}}
ANSWER = "Order 1001 is placed: two kettles for 98 dollars. They hold 1.5 litres each."
FOUND = (
    "Name: Kettle with whistle\nPrice: 49 dollars\nFeatures: steel, 1.5 litres, all stoves\n"
    "Selling points: heard in the garden; pours without a drip"
)
WHOLE = [
    ("human", ASKED["messages"][0].text),
    ("assistant", "", [SEARCH, STOCK]),
    ("tool", "search_catalogue", FOUND, "success"),
    ("tool", "check_stock", "Kettle with whistle: 24 in stock.", "success"),
    ("assistant", "", [ORDER]),
    ("tool", "place_order", "Order 1001 is placed: 2 x Kettle with whistle for 98 dollars.", "success"),
    ("assistant", ANSWER, []),
]


@pytest.fixture
def shop(tmp_path: Path) -> ShopDatabase:
    return ShopDatabase(tmp_path / "shop.sqlite")


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedLLM]:
    """The model behind each wire."""
    family = FAMILIES[request.param]
    llm = ScriptedLLM(family=family, answers=[[SEARCH, STOCK], ORDER, ANSWER])
    with LocalRuntime({"shop": {"model": llm, "family": family, "wire": request.param}}) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        yield llm


def assistant(model: ScriptedLLM, shop: ShopDatabase) -> ShopVisit:
    wire = next(wire for wire, family in FAMILIES.items() if family == model.family)
    chat = load_chat_model(f"sagemaker:shop?family={model.family}&wire={wire}", accept_eula=True)
    return chain(chat, database=shop)


def told(messages: list[AnyMessage]) -> list[Any]:
    """All that the messages say, without what differs from run to run."""
    said: list[Any] = []
    for message in messages:
        if isinstance(message, AIMessage):
            assert message.invalid_tool_calls == []
            calls = [{"name": call["name"], "args": call["args"]} for call in message.tool_calls]
            said.append(("assistant", message.text, calls))
        elif isinstance(message, ToolMessage):
            said.append(("tool", message.name, message.text, message.status))
        else:
            said.append((message.type, message.text))
    return said


def rows(shop: ShopDatabase) -> list[Any]:
    with sqlite3.connect(shop.path) as connection:
        return connection.execute("SELECT number, key, product, quantity, total FROM orders").fetchall()


def check_kept(graph: ShopVisit, shop: ShopDatabase) -> None:
    """The thread's messages, which result is whose, the order's row and the stock it took."""
    messages = graph.get_state(THREAD).values["messages"]
    assert told(messages) == WHOLE
    made = [call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    assert [message.tool_call_id for message in messages if isinstance(message, ToolMessage)] == made
    assert len(set(made)) == 3
    assert rows(shop) == [(1001, f"ada/{messages[4].id}/{made[2]}", "Kettle with whistle", 2, 98)]
    kettle = shop.product("Kettle with whistle")
    assert kettle is not None
    assert shop.stock(kettle) == 22


@pytest.mark.parametrize("asynchronous", [False, True])
def test_it_calls_three_tools_in_two_rounds_and_the_approved_order_is_written(
    model: ScriptedLLM, shop: ShopDatabase, asynchronous: bool
) -> None:
    graph = assistant(model, shop)

    def run(given: Any) -> Any:
        return asyncio.run(graph.ainvoke(given, THREAD)) if asynchronous else graph.invoke(given, THREAD)

    stopped = run(ASKED)
    assert [order["description"] for order in stopped["__interrupt__"][0].value["action_requests"]] == [QUESTION]
    assert told(stopped["messages"]) == WHOLE[:5]
    assert rows(shop) == []
    assert told(run(APPROVED)["messages"]) == WHOLE
    check_kept(graph, shop)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_its_steps_and_the_pieces_of_its_messages_stream(
    model: ScriptedLLM, shop: ShopDatabase, asynchronous: bool
) -> None:
    graph = assistant(model, shop)

    async def parts(given: Any) -> list[Any]:
        return [part async for part in graph.astream(given, THREAD, stream_mode=["updates", "messages"])]

    def run(given: Any) -> list[Any]:
        if asynchronous:
            return asyncio.run(parts(given))
        return list(graph.stream(given, THREAD, stream_mode=["updates", "messages"]))

    asked, approved = run(ASKED), run(APPROVED)
    [order] = asked[-1][1]["__interrupt__"][0].value["action_requests"]
    assert (order["args"], order["description"]) == (ORDER["args"], QUESTION)
    streamed = [*asked, *approved]
    updates = [update for mode, part in streamed if mode == "updates" for update in part.items()]
    made = [message for node, update in updates if node in ("model", "tools") for message in update["messages"]]
    # Tools of one round run at once, so either may be done first.
    assert sorted(told(made), key=WHOLE.index) == WHOLE[1:]
    whole: dict[str, Any] = {}
    pieces: dict[str, int] = {}
    for piece in (part[0] for mode, part in streamed if mode == "messages"):
        pieces[piece.id] = pieces.get(piece.id, 0) + 1
        whole[piece.id] = whole[piece.id] + piece if piece.id in whole else piece
    assert sorted(told(list(whole.values())), key=WHOLE.index) == WHOLE[1:]
    last = list(whole.values())[-1]
    assert isinstance(last, AIMessageChunk)
    assert pieces[str(last.id)] >= 2  # sentence by sentence, as they are found to be true
    check_kept(graph, shop)


def test_what_reaches_the_model_is_text_in_its_own_layout(model: ScriptedLLM, shop: ShopDatabase) -> None:
    graph = assistant(model, shop)
    graph.invoke(ASKED, THREAD)
    graph.invoke(APPROVED, THREAD)
    assert len(model.prompts) == 3
    assert all("<tools>\n" in prompt and '"name": "place_order"' in prompt for prompt in model.prompts)
    assert [prompt.count("</tool_response>") for prompt in model.prompts] == [0, 2, 3]
    assert all(prompt.count(f"\n\n{FOUND}") >= 1 for prompt in model.prompts)
    assert model.prompts[0].endswith(
        (f"{ASKED['messages'][0].text} [/INST]", f"{ASKED['messages'][0].text}\nAssistant:")
    )
