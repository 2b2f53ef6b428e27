"""LangChain's agents over a store: approvals that outlive their process, time travel, all of it once in the transcript."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool
from langgraph.types import Command
from sagechain.chains import Store, conversation, open_store

THREAD: RunnableConfig = {"configurable": {"thread_id": "ada"}}
ASKED = {"messages": [HumanMessage("A tent, please.")]}
CALL = {"name": "order", "args": {"name": "tent"}, "id": "call-1"}
TABLES = {"sqlite": ["checkpoints", "writes"], "postgresql": ["checkpoints", "checkpoint_writes", "checkpoint_blobs"]}


class Scripted(GenericFakeChatModel):
    """Answers with one given message after the other."""

    messages: Iterator[AIMessage | str]

    def bind_tools(self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **_: Any) -> Any:
        return self


@tool
def order(name: str) -> str:
    """Order something."""
    return f"{name} is ordered."


def agent(store: Store, *answers: AIMessage | str) -> Any:
    middleware = [HumanInTheLoopMiddleware(interrupt_on={"order": True})]
    return create_agent(Scripted(messages=iter(answers)), [order], middleware=middleware, checkpointer=store)


def messages(store: Store) -> list[str]:
    return [entry.message.text for entry in store.transcript("ada")]


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_turn_that_waits_for_approval_resumes_in_another_process(place: str, way: str) -> None:
    async def run(graph: Any, given: Any) -> Any:
        return graph.invoke(given, THREAD) if way == "sync" else await graph.ainvoke(given, THREAD)

    with open_store(place) as store:
        stopped = await run(agent(store, AIMessage("", tool_calls=[CALL])), ASKED)
        assert stopped["__interrupt__"][0].value["action_requests"][0]["name"] == "order"
        assert store.threads() == []
    with open_store(place) as store:
        graph = agent(store, "It is on its way.")
        assert [each.value["action_requests"][0]["args"] for each in graph.get_state(THREAD).interrupts] == [
            {"name": "tent"}
        ]
        await run(graph, Command(resume={"decisions": [{"type": "approve"}]}))
        assert messages(store) == ["A tent, please.", "", "tent is ordered.", "It is on its way."]
        await run(agent(store, "You are welcome."), {"messages": [HumanMessage("Thanks.")]})
        assert [entry.turn for entry in store.transcript("ada")] == [1, 1, 1, 1, 2, 2]
    with open_store(place) as store:
        assert store.threads()[0].messages == 6


async def test_a_second_answer_is_added_after_the_first_and_everything_else_once(place: str) -> None:
    with open_store(place) as store:
        graph = agent(store, "First.", "Second.", "Third.")
        graph.invoke(ASKED, THREAD)
        [before] = [state for state in graph.get_state_history(THREAD) if state.next == ("model",)]
        graph.invoke(None, before.config)
        assert graph.get_state(THREAD).values["messages"][-1].text == "Second."
        await graph.ainvoke(None, before.config)
        assert messages(store) == ["A tent, please.", "First.", "Second.", "Third."]
        assert [entry.turn for entry in store.transcript("ada")] == [1] * 4
        states = [state async for state in graph.aget_state_history(THREAD)]
        assert [state.config for state in states] == [state.config for state in graph.get_state_history(THREAD)]


def test_the_last_answer_of_a_conversation_can_be_generated_again(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(Scripted(messages=iter(["One.", "Two.", "Two again."])), checkpointer=store)
        graph.invoke({"messages": [HumanMessage("First?")]}, THREAD)
        graph.invoke({"messages": [HumanMessage("Second?", id="q")]}, THREAD)
        *_, before = graph.get_state_history(THREAD)
        graph.invoke({"messages": [HumanMessage("Second?", id="q")]}, before.config)
        texts = [message.text for message in graph.get_state(THREAD).values["messages"]]
        assert texts == ["First?", "One.", "Second?", "Two again."]
        assert messages(store) == ["First?", "One.", "Second?", "Two.", "Two again."]


async def test_a_deleted_thread_leaves_no_row(place: str) -> None:
    with open_store(place) as store:
        graph = agent(store, AIMessage("", tool_calls=[CALL]), "It is on its way.")
        graph.invoke(ASKED, THREAD)
        graph.invoke(Command(resume={"decisions": [{"type": "approve"}]}), THREAD)
        await store.adelete_thread("ada")
        for table in ["transcript", *TABLES["postgresql" if "://" in place else "sqlite"]]:
            assert store._run(f"SELECT COUNT(*) FROM {table}", []) == [(0,)]
