"""The shop's assistant over endpoints whose models only continue text: three tool calls in two rounds, one an order.

Behind each wire is a scripted model, which sees nothing but the text that reaches it.
"""

import asyncio
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, ToolMessage
from sagechain.agents.llama2_assistant import chain
from sagechain.agents.shop.conversation import ShopConversation
from sagechain.agents.shop.database import ShopDatabase
from sagechain.llms import load_chat_model
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime

from tests.agents.ordering import decide

FAMILIES = {"llama2-dialog": "llama2", "tgi": "falcon"}
THREAD: Any = {"configurable": {"thread_id": "ada"}}
INPUT: Any = {"messages": [HumanMessage("Do you have a kettle? If so, I would like to order two.")]}
QUESTION = "Order 2 x Kettle with whistle for 98 dollars?"

SEARCH = {"name": "search_catalogue", "args": {"query": "kettle"}}
STOCK = {"name": "check_stock", "args": {"name": "Kettle with whistle"}}
ORDER = {"name": "place_order", "args": {"name": "Kettle with whistle", "quantity": 2}}
ANSWER = "Order 1001 is placed: two kettles for 98 dollars. They hold 1.5 litres each."
SHEET = (
    "Name: Kettle with whistle\nPrice: 49 dollars\nFeatures: steel, 1.5 litres, all stoves\n"
    "Selling points: heard in the garden; pours without a drip"
)
CONVERSATION = [
    ("human", INPUT["messages"][0].text),
    ("assistant", "", [SEARCH, STOCK]),
    ("tool", "search_catalogue", SHEET, "success"),
    ("tool", "check_stock", "Kettle with whistle: 24 in stock.", "success"),
    ("assistant", "", [ORDER]),
    ("tool", "place_order", "Order 1001 is placed: 2 x Kettle with whistle for 98 dollars.", "success"),
    ("assistant", ANSWER, []),
]


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedLLM]:
    """The model behind each wire."""
    family = FAMILIES[request.param]
    llm = ScriptedLLM(family=family, answers=[[SEARCH, STOCK], ORDER, ANSWER])
    with LocalRuntime({"shop": {"model": llm, "family": family, "wire": request.param}}) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        yield llm


def assistant(model: ScriptedLLM, shop: ShopDatabase) -> ShopConversation:
    wire = next(wire for wire, family in FAMILIES.items() if family == model.family)
    chat = load_chat_model(f"sagemaker:shop?family={model.family}&wire={wire}", accept_eula=True)
    return chain(chat, database=shop)


def contents(messages: list[AnyMessage]) -> list[Any]:
    """The messages without ids, which differ from run to run."""
    found: list[Any] = []
    for message in messages:
        if isinstance(message, AIMessage):
            assert message.invalid_tool_calls == []
            calls = [{"name": call["name"], "args": call["args"]} for call in message.tool_calls]
            found.append(("assistant", message.text, calls))
        elif isinstance(message, ToolMessage):
            found.append(("tool", message.name, message.text, message.status))
        else:
            found.append((message.type, message.text))
    return found


def rows(shop: ShopDatabase) -> list[Any]:
    with sqlite3.connect(shop.path) as connection:
        return connection.execute("SELECT number, key, product, quantity, total FROM orders").fetchall()


def check_saved(graph: ShopConversation, shop: ShopDatabase) -> None:
    """Check the thread's messages, which result is of which call, the order's row and the stock that it took."""
    messages = graph.get_state(THREAD).values["messages"]
    assert contents(messages) == CONVERSATION
    call_ids = [call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    assert [message.tool_call_id for message in messages if isinstance(message, ToolMessage)] == call_ids
    assert len(set(call_ids)) == 3
    assert rows(shop) == [(1001, f"ada/{messages[4].id}/{call_ids[2]}", "Kettle with whistle", 2, 98)]
    kettle = shop.product("Kettle with whistle")
    assert kettle is not None
    assert shop.stock(kettle) == 22


@pytest.mark.parametrize("asynchronous", [False, True])
def test_three_tools_are_called_in_two_rounds_and_the_approved_order_is_written(
    model: ScriptedLLM, shop: ShopDatabase, asynchronous: bool
) -> None:
    graph = assistant(model, shop)

    def run(given: Any) -> Any:
        return asyncio.run(graph.ainvoke(given, THREAD)) if asynchronous else graph.invoke(given, THREAD)

    interrupted = run(INPUT)
    assert [order["description"] for order in interrupted["__interrupt__"][0].value["action_requests"]] == [QUESTION]
    assert contents(interrupted["messages"]) == CONVERSATION[:5]
    assert rows(shop) == []
    assert contents(run(decide(graph, "approve", thread=THREAD))["messages"]) == CONVERSATION
    check_saved(graph, shop)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_steps_and_chunks_are_streamed(model: ScriptedLLM, shop: ShopDatabase, asynchronous: bool) -> None:
    graph = assistant(model, shop)

    async def parts(given: Any) -> list[Any]:
        return [part async for part in graph.astream(given, THREAD, stream_mode=["updates", "messages"])]

    def run(given: Any) -> list[Any]:
        if asynchronous:
            return asyncio.run(parts(given))
        return list(graph.stream(given, THREAD, stream_mode=["updates", "messages"]))

    before = run(INPUT)
    after = run(decide(graph, "approve", thread=THREAD))
    [order] = before[-1][1]["__interrupt__"][0].value["action_requests"]
    assert (order["args"], order["description"]) == (ORDER["args"], QUESTION)
    streamed = [*before, *after]
    updates = [update for mode, part in streamed if mode == "updates" for update in part.items()]
    messages = [message for node, update in updates if node in ("model", "tools") for message in update["messages"]]
    # The tools of one round run at the same time, so their results come in any order.
    assert sorted(contents(messages), key=CONVERSATION.index) == CONVERSATION[1:]
    whole: dict[str, Any] = {}
    counts: dict[str, int] = {}
    for chunk in (part[0] for mode, part in streamed if mode == "messages"):
        counts[chunk.id] = counts.get(chunk.id, 0) + 1
        whole[chunk.id] = whole[chunk.id] + chunk if chunk.id in whole else chunk
    assert sorted(contents(list(whole.values())), key=CONVERSATION.index) == CONVERSATION[1:]
    last = list(whole.values())[-1]
    assert isinstance(last, AIMessageChunk)
    assert counts[str(last.id)] >= 2
    check_saved(graph, shop)


def test_the_model_gets_text_in_the_layout_of_its_family(model: ScriptedLLM, shop: ShopDatabase) -> None:
    graph = assistant(model, shop)
    graph.invoke(INPUT, THREAD)
    graph.invoke(decide(graph, "approve", thread=THREAD), THREAD)
    assert len(model.prompts) == 3
    assert all("<tools>\n" in prompt and '"name": "place_order"' in prompt for prompt in model.prompts)
    assert [prompt.count("</tool_response>") for prompt in model.prompts] == [0, 2, 3]
    assert all(prompt.count(f"\n\n{SHEET}") >= 1 for prompt in model.prompts)
    assert model.prompts[0].endswith(
        (f"{INPUT['messages'][0].text} [/INST]", f"{INPUT['messages'][0].text}\nAssistant:")
    )
