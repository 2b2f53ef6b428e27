"""An agent over endpoints whose models only continue text: three tools, two rounds, whole and streamed, sync and async.

Behind each wire stands the scripted model, which reads nothing but the text that reaches it.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from sagechain.endpoints import LocalRuntime
from sagechain.llms import load_chat_model
from sagechain.llms.testing import ScriptedLLM

ENDPOINTS = {
    "llama": {"model": ScriptedLLM(family="llama2"), "family": "llama2", "wire": "llama2-dialog"},
    "falcon": {"model": ScriptedLLM(family="falcon"), "family": "falcon", "wire": "tgi"},
}
URIS = {
    "llama2-dialog": "sagemaker:llama?family=llama2&wire=llama2-dialog",
    "tgi": "sagemaker:falcon?family=falcon",
}
SYSTEM = "You sell camping gear."
ASKED = (
    "Search the catalogue for 'tent' and check the stock of AB-12, then place an order: quantity 2, customer is Ada."
)
FOUND = '[{"product_id": "AB-12", "name": "Trail Tent", "price": 199}]'
LEFT = '{"product_id": "AB-12", "in_stock": 7}'
ORDERED = '{"order": 1, "product_id": "AB-12", "quantity": 2, "customer": "Ada"}'
ANSWER = f"This is what I found: {FOUND}; {LEFT}; {ORDERED}"
CALLS = [
    [("search_catalogue", {"query": "tent"}), ("check_stock", {"product_id": "AB-12"})],
    [("place_order", {"product_id": "AB-12", "quantity": 2, "customer": "Ada"})],
]

Shop = tuple[list[BaseTool], Callable[[], list[tuple[Any, ...]]]]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Three tools, the last of which writes to a database, and the rows of that."""
    path = tmp_path / "shop.sqlite"

    def rows(query: str, *values: Any) -> list[tuple[Any, ...]]:
        with sqlite3.connect(path) as database:
            found = database.execute(query, values).fetchall()
        database.close()
        return found

    rows("create table orders (number integer primary key, product_id text, quantity integer, customer text)")

    @tool
    def search_catalogue(query: str) -> str:
        """Find products by a word."""
        products = [{"product_id": "AB-12", "name": "Trail Tent", "price": 199}]
        return json.dumps([product for product in products if query in str(product).lower()])

    @tool
    def check_stock(product_id: str) -> str:
        """Tell how many pieces there are."""
        return json.dumps({"product_id": product_id, "in_stock": 7})

    @tool
    def place_order(product_id: str, quantity: int, customer: str) -> str:
        """Order a product."""
        insert = "insert into orders (product_id, quantity, customer) values (?, ?, ?) returning number"
        [(number,)] = rows(insert, product_id, quantity, customer)
        return json.dumps({"order": number, "product_id": product_id, "quantity": quantity, "customer": customer})

    return [search_catalogue, check_stock, place_order], lambda: rows("select * from orders")


@pytest.fixture(scope="module")
def endpoints() -> Iterator[LocalRuntime]:
    with LocalRuntime(ENDPOINTS) as runtime:
        yield runtime


@pytest.fixture(params=["llama2-dialog", "tgi"])
def chat(request: pytest.FixtureRequest, endpoints: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> BaseChatModel:
    """The chat model over each wire."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", endpoints.url)
    return load_chat_model(URIS[request.param], accept_eula=True, max_new_tokens=500, temperature=0)


def told(messages: list[BaseMessage]) -> list[Any]:
    """All that the messages say, without what differs from run to run."""
    said: list[Any] = []
    for message in messages:
        if isinstance(message, AIMessage):
            assert message.invalid_tool_calls == []
            calls = [(call["name"], call["args"]) for call in message.tool_calls]
            said.append(("assistant", message.text, calls))
        elif isinstance(message, ToolMessage):
            said.append(("tool", message.name, message.text, message.status))
        else:
            said.append((message.type, message.text))
    return said


WHOLE = [
    ("human", ASKED),
    ("assistant", "", CALLS[0]),
    ("tool", "search_catalogue", FOUND, "success"),
    ("tool", "check_stock", LEFT, "success"),
    ("assistant", "", CALLS[1]),
    ("tool", "place_order", ORDERED, "success"),
    ("assistant", ANSWER, []),
]
ROW = (1, "AB-12", 2, "Ada")


def answered_calls(messages: list[BaseMessage]) -> bool:
    """Whether every call has one result, by its id."""
    calls = [call["id"] for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    results = [message.tool_call_id for message in messages if isinstance(message, ToolMessage)]
    return calls == results and len(set(calls)) == len(calls) == 3


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_agent_calls_three_tools_in_two_rounds_and_the_order_is_written(
    chat: BaseChatModel, shop: Shop, asynchronous: bool
) -> None:
    tools, orders = shop
    agent = create_agent(chat, tools, system_prompt=SYSTEM)
    asked: Any = {"messages": [HumanMessage(ASKED)]}
    messages = (asyncio.run(agent.ainvoke(asked)) if asynchronous else agent.invoke(asked))["messages"]
    assert told(messages) == WHOLE
    assert answered_calls(messages)
    assert orders() == [ROW]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_its_steps_stream(chat: BaseChatModel, shop: Shop, asynchronous: bool) -> None:
    tools, orders = shop
    agent = create_agent(chat, tools, system_prompt=SYSTEM)
    updates = streamed(agent, "updates", asynchronous)
    assert [node for update in updates for node in update] == ["model", "tools", "tools", "model", "tools", "model"]
    messages = [message for update in updates for state in update.values() for message in state["messages"]]
    # Tools of one round run at once, so either may be done first.
    assert sorted(told(messages), key=WHOLE.index) == WHOLE[1:]
    assert orders() == [ROW]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_its_messages_stream_in_pieces_that_add_up(chat: BaseChatModel, shop: Shop, asynchronous: bool) -> None:
    tools, orders = shop
    agent = create_agent(chat, tools, system_prompt=SYSTEM)
    whole: dict[str, Any] = {}
    pieces: dict[str, int] = {}
    for message, _ in streamed(agent, "messages", asynchronous):
        pieces[message.id] = pieces.get(message.id, 0) + 1
        whole[message.id] = whole[message.id] + message if message.id in whole else message
    assert sorted(told(list(whole.values())), key=WHOLE.index) == WHOLE[1:]
    assert orders() == [ROW]
    last = list(whole.values())[-1]
    assert isinstance(last, AIMessageChunk)
    assert last.response_metadata["model_provider"] == "sagechain"
    if last.response_metadata["endpoint"] == "falcon":  # the dialog wire has no stream
        assert pieces[str(last.id)] > 20


def streamed(agent: Any, mode: str, asynchronous: bool) -> list[Any]:
    """All parts of one run's stream."""
    asked = {"messages": [HumanMessage(ASKED)]}

    async def parts() -> list[Any]:
        return [part async for part in agent.astream(asked, stream_mode=mode)]

    return asyncio.run(parts()) if asynchronous else list(agent.stream(asked, stream_mode=mode))


def test_what_reaches_the_model_is_text_in_its_own_layout(chat: BaseChatModel, shop: Shop) -> None:
    tools, _ = shop
    before = {name: len(llm_of(name).prompts) for name in ENDPOINTS}
    create_agent(chat, tools, system_prompt=SYSTEM).invoke({"messages": [HumanMessage(ASKED)]})
    [prompts] = [new for name in ENDPOINTS if (new := llm_of(name).prompts[before[name] :])]
    assert len(prompts) == 3
    assert all("<tools>\n" in prompt and '"name": "place_order"' in prompt for prompt in prompts)
    assert [prompt.count("</tool_response>") for prompt in prompts] == [0, 2, 3]
    assert prompts[0].startswith((f"[INST] <<SYS>>\n{SYSTEM}\n\n", f"{SYSTEM}\n\n"))
    assert prompts[0].endswith((f"{ASKED} [/INST]", f"User: {ASKED}\nAssistant:"))


def llm_of(endpoint: str) -> ScriptedLLM:
    model = ENDPOINTS[endpoint]["model"]
    assert isinstance(model, ScriptedLLM)
    return model
