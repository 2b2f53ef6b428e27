"""What a thread's state may contain, and the checkpointers that a conversation may have."""

import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from sagechain.agents import llama2_assistant
from sagechain.agents.shop.database import ShopDatabase
from sagechain.chains import conversation, open_store

from tests.agents.scripted_chat import ScriptedChat, calls, says

THREAD: RunnableConfig = {"configurable": {"thread_id": "ada"}}
MODEL = FakeListChatModel(responses=["Yes."])


def say(graph: Any, text: str, thread: RunnableConfig = THREAD) -> str:
    answer: str = graph.invoke({"messages": [HumanMessage(text)]}, thread)["messages"][-1].text
    return answer


def test_an_artifact_that_cannot_be_saved_is_named_and_left_out(place: str, caplog: pytest.LogCaptureFixture) -> None:
    @tool(response_format="content_and_artifact")
    def table(number: int) -> Any:
        """A table."""
        return f"row {number}", [{"rows": [1]}, object(), 2**70, threading.Lock()][number]

    script = [*(calls("table", f"c{number}", number=number) for number in range(4)), says("done")]
    with open_store(place) as store:
        agent = create_agent(ScriptedChat(script=script), [table], checkpointer=store)
        with store.turn("ada"):
            assert say(agent, "q") == "done"
        state = [message for message in agent.get_state(THREAD).values["messages"] if message.type == "tool"]
        assert [(message.text, message.artifact) for message in state] == [
            ("row 0", {"rows": [1]}),
            ("row 1", None),
            ("row 2", None),
            ("row 3", None),
        ]
        stored = [entry.message for entry in store.transcript("ada") if entry.message.type == "tool"]
        assert [message.text for message in stored] == [message.text for message in state]
    assert "artifact of the tool message 'table' is left out of the thread" in caplog.text


def test_metadata_that_cannot_be_saved_is_left_out_alone(place: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    answer = AIMessage("Hi.", additional_kwargs={"raw": object(), "kept": 1}, response_metadata={"raw": object()})
    with open_store(place) as store:
        graph = conversation(ScriptedChat(script=[answer]), checkpointer=store)
        say(graph, "Hello")
        message = graph.get_state(THREAD).values["messages"][-1]
        assert (message.additional_kwargs, message.response_metadata.get("raw")) == ({"kept": 1}, None)


def test_a_state_that_cannot_be_saved_is_an_error_that_says_so(place: str) -> None:
    class State(MessagesState):
        other: Any

    graph: Any = StateGraph(State)
    graph.add_node("answer", lambda state: {"other": object()})
    graph.add_edge(START, "answer")
    with open_store(place) as store, pytest.raises(ValueError, match="state: it cannot be saved"), store.turn("ada"):
        say(graph.compile(checkpointer=store), "q")


def test_conversations_in_memory_run_at_once() -> None:
    graph = conversation(MODEL)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def talk(number: int) -> int:
        thread: RunnableConfig = {"configurable": {"thread_id": f"thread {number}"}}
        for turn in range(20):
            say(graph, f"{turn}", thread)
            list(graph.get_state_history(thread))
        return len(graph.get_state(thread).values["messages"])

    try:
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(talk, range(8))) == [40] * 8
    finally:
        sys.setswitchinterval(interval)


def test_without_a_checkpointer_a_server_may_bring_its_own() -> None:
    graph: Any = conversation(MODEL, checkpointer=False)
    assert graph.checkpointer is None
    assert say(graph, "Hi", {}) == "Yes."
    server = graph.copy(update={"checkpointer": InMemorySaver()})
    for text in ("One", "Two"):
        say(server, text)
    assert len(server.get_state(THREAD).values["messages"]) == 4


def test_the_graphs_have_schemas(tmp_path: Path) -> None:
    shop = ShopDatabase(tmp_path / "shop.sqlite")
    for graph in (conversation(MODEL), llama2_assistant.chain(MODEL, database=shop)):
        for schema in (graph.get_input_jsonschema(), graph.get_output_jsonschema(), graph.get_context_jsonschema()):
            assert schema is None or schema["type"] == "object"
        assert "messages" in graph.get_input_jsonschema()["properties"]
