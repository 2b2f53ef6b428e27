"""A turn that fails or is killed leaves its thread as it was, around any graph; what a person approved can be resumed."""

import asyncio
import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from sagechain.chains import Store, conversation, open_store
from sagechain.chains.stores import BufferedTurns, PrunableInMemorySaver

from tests.agents.scripted_chat import ScriptedChat, calls, says
from tests.waiting import wait_until

THREAD: RunnableConfig = {"configurable": {"thread_id": "ada"}}
APPROVED: Any = Command(resume={"decisions": [{"type": "approve"}]})


class Failed(BaseException):
    """Not an Exception: nothing that a graph could handle."""


@contextmanager
def opened(where: str, place: str) -> Iterator[BufferedTurns]:
    store: AbstractContextManager[Any] = (
        nullcontext(PrunableInMemorySaver()) if where == "memory" else open_store(place)
    )
    with store as saver:
        yield saver


@pytest.fixture(params=["database", "memory"])
def saver(request: pytest.FixtureRequest, place: str) -> Iterator[BufferedTurns]:
    if request.param == "memory" and "://" in place:
        pytest.skip("the same as beside SQLite")
    with opened(request.param, place) as saver:
        yield saver


def everything(saver: BufferedTurns) -> Any:
    """All that is stored of the thread."""
    checkpoints = [(each.config, each.checkpoint, each.metadata, each.pending_writes) for each in saver.list(THREAD)]
    transcript = saver.transcript("ada") if isinstance(saver, Store) else []
    return checkpoints, [(entry.position, entry.message) for entry in transcript]


def say(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def texts(graph: Any) -> list[str]:
    return [message.text for message in graph.get_state(THREAD).values["messages"]]


def failing_agent(saver: BufferedTurns, error: BaseException, script: list[AIMessage], **options: Any) -> Any:
    @tool
    def boom() -> str:
        """Fail."""
        raise error

    return create_agent(ScriptedChat(script=script), [boom], checkpointer=saver, **options)


ERRORS = [RuntimeError("bang"), KeyboardInterrupt(), SystemExit(1), Failed()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_failed_turn_of_an_agent_leaves_no_trace(saver: BufferedTurns, error: BaseException) -> None:
    model = [says("good"), calls("boom"), says("later")]
    agent = failing_agent(saver, error, model)
    with saver.turn("ada"):
        agent.invoke(say("one"), THREAD)
    before = everything(saver)
    with pytest.raises(type(error)), saver.turn("ada"):
        agent.invoke(say("two"), THREAD)
    assert everything(saver) == before
    with saver.turn("ada"):
        agent.invoke(say("three"), THREAD)
    assert texts(agent) == ["one", "good", "three", "later"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_a_failure_that_is_caught_inside_the_turn_leaves_no_trace(saver: BufferedTurns, durability: str) -> None:
    agent = failing_agent(saver, RuntimeError("bang"), [calls("boom"), calls("boom"), says("good")])
    with saver.turn("ada"), pytest.raises(RuntimeError):
        agent.invoke(say("one"), THREAD, durability=durability)
    assert everything(saver) == ([], [])
    with saver.turn("ada"):
        with pytest.raises(RuntimeError):
            agent.invoke(say("two"), THREAD, durability=durability)
        agent.invoke(say("three"), THREAD, durability=durability)
    assert texts(agent)[-2:] == ["three", "good"]


async def test_a_failed_async_turn_leaves_no_trace(saver: BufferedTurns) -> None:
    agent = failing_agent(saver, RuntimeError("bang"), [calls("boom"), says("good")])
    with pytest.raises(RuntimeError, match="bang"):
        async with saver.aturn("ada"):
            await agent.ainvoke(say("one"), THREAD)
    assert everything(saver) == ([], [])
    async with saver.aturn("ada"):
        await agent.ainvoke(say("two"), THREAD)
    assert texts(agent) == ["two", "good"]


async def test_a_cancelled_turn_leaves_no_trace(saver: BufferedTurns) -> None:
    started = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        started.set()
        await asyncio.sleep(60)
        return "late"

    agent = create_agent(ScriptedChat(script=[calls("wait")]), [wait], checkpointer=saver)

    async def run() -> None:
        async with saver.aturn("ada"):
            await agent.ainvoke(cast(Any, say("one")), THREAD)

    task = asyncio.create_task(run())
    await started.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert everything(saver) == ([], [])


def test_a_stream_that_is_abandoned_leaves_no_trace(saver: BufferedTurns) -> None:
    agent = failing_agent(saver, RuntimeError("not reached"), [calls("boom")])

    def stream() -> Generator[Any, None, None]:
        with saver.turn("ada"):
            yield from agent.stream(say("one"), THREAD, stream_mode="updates")

    with closing(stream()) as parts:
        next(parts)
    assert everything(saver) == ([], [])


def test_a_failure_in_a_subgraph_leaves_no_trace_in_any_namespace(saver: BufferedTurns) -> None:
    inner: Any = StateGraph(MessagesState)
    inner.add_node("first", lambda state: {"messages": [AIMessage("half")]})
    inner.add_node("second", lambda state: 1 / 0)
    inner.add_edge(START, "first")
    inner.add_edge("first", "second")
    outer: Any = StateGraph(MessagesState)
    outer.add_node("inner", inner.compile(checkpointer=True))
    outer.add_edge(START, "inner")
    graph = outer.compile(checkpointer=saver)
    with pytest.raises(ZeroDivisionError), saver.turn("ada"):
        graph.invoke(say("one"), THREAD)
    assert everything(saver) == ([], [])


def test_a_failed_conversation_leaves_no_trace(saver: BufferedTurns) -> None:
    graph = conversation(ScriptedChat(script=[says("good")]), checkpointer=saver)
    for outer in (nullcontext(), saver.turn("ada")):
        with pytest.raises(ValueError, match="is not a character"), outer:
            graph.invoke(say("caf\udce9"), THREAD)
        assert everything(saver) == ([], [])
    with saver.turn("ada"):
        graph.invoke(say("one"), THREAD)
        assert texts(graph) == ["one", "good"]


def test_what_a_turn_has_not_finished_is_seen_inside_it_alone(place: str) -> None:
    with open_store(place) as store, open_store(place) as other:
        agent = failing_agent(store, RuntimeError("not reached"), [says("a"), says("b")])
        with store.turn("ada"):
            for text in ("one", "two"):
                agent.invoke(say(text), THREAD)
            assert texts(agent) == ["one", "a", "two", "b"]
            assert len(list(agent.get_state_history(THREAD, limit=3))) == 3
            assert everything(other) == ([], [])
        history = [state.values.get("messages", []) for state in agent.get_state_history(THREAD)]
        assert [len(messages) for messages in history] == [4, 3, 2, 2, 1, 0]
        assert [message.text for message in history[0]] == [entry.message.text for entry in other.transcript("ada")]


class BrokenChat(ScriptedChat):
    """A model that fails."""

    def _next(self, messages: list[Any], kwargs: dict[str, Any]) -> AIMessage:
        raise IndexError


def approving_agent(saver: BufferedTurns, act: Callable[[], None], *script: AIMessage, broken: bool = False) -> Any:
    @tool
    def order() -> str:
        """Order."""
        act()
        return "ordered"

    middleware = [HumanInTheLoopMiddleware(interrupt_on={"order": True})]
    model = (BrokenChat if broken else ScriptedChat)(script=list(script))
    return create_agent(model, [order], middleware=middleware, checkpointer=saver)


def test_a_waiting_turn_is_saved_and_resumed(saver: BufferedTurns) -> None:
    done: list[str] = []
    agent = approving_agent(saver, lambda: done.append("order"), calls("order"), says("It is ordered."))
    with saver.turn("ada"):
        agent.invoke(say("one"), THREAD)
    assert agent.get_state(THREAD).interrupts
    with saver.turn("ada"):
        agent.invoke(APPROVED, THREAD)
    assert texts(agent) == ["one", "", "ordered", "It is ordered."]
    assert done == ["order"]


def test_an_act_that_was_approved_is_not_done_again_when_its_turn_fails_later(saver: BufferedTurns) -> None:
    done: list[str] = []
    agent = approving_agent(saver, lambda: done.append("order"), calls("order"))
    with saver.turn("ada"):
        agent.invoke(say("one"), THREAD)
    agent = approving_agent(saver, lambda: done.append("order"), says("x"), broken=True)
    with pytest.raises(IndexError), saver.turn("ada"):
        agent.invoke(APPROVED, THREAD)
    agent = approving_agent(saver, lambda: done.append("order"), says("It is ordered."))
    with saver.turn("ada"):
        agent.invoke(None, THREAD)
    assert texts(agent)[-2:] == ["ordered", "It is ordered."]
    assert done == ["order"]


def test_a_decision_that_cannot_be_read_leaves_the_thread_waiting(saver: BufferedTurns) -> None:
    agent = approving_agent(saver, lambda: None, calls("order"), says("It is ordered."))
    with saver.turn("ada"):
        agent.invoke(say("one"), THREAD)
    before = everything(saver)
    with pytest.raises((ValueError, TypeError, KeyError)), saver.turn("ada"):
        agent.invoke(Command(resume={"decisions": []}), THREAD)
    assert everything(saver) == before
    with saver.turn("ada"):
        agent.invoke(APPROVED, THREAD)
    assert texts(agent)[-1] == "It is ordered."


def test_a_decision_inside_the_node_that_acts_survives_a_kill(place: str) -> None:
    def act(state: MessagesState) -> Any:
        answer = interrupt("May I?")
        if os.environ.get("KILLED_HERE"):
            with open_store(place) as other:  # LangGraph saves the decision in another Python thread
                wait_until(lambda: any(write[1] == "__resume__" for write in newest(other).pending_writes), 10)
            kill_here()
        return {"messages": [AIMessage(f"Done: {answer}")]}

    def compiled(store: Any) -> Any:
        graph: Any = StateGraph(MessagesState)
        graph.add_node("act", act)
        graph.add_edge(START, "act")
        return graph.compile(checkpointer=store)

    with open_store(place) as store, store.turn("ada"):
        compiled(store).invoke(say("one"), THREAD)
    killed(place, lambda store: compiled(store).invoke(Command(resume="yes"), THREAD))
    with open_store(place) as store, store.turn("ada"):
        assert compiled(store).invoke(None, THREAD)["messages"][-1].text == "Done: yes"


def newest(saver: Any) -> Any:
    return next(iter(saver.list(THREAD)))


def killed(place: str, work: Callable[[Any], Any]) -> None:
    """Kill a process in a turn of the thread."""
    child = os.fork()
    if child == 0:
        os.environ["KILLED_HERE"] = "1"
        try:
            with open_store(place) as store, store.turn("ada"):
                work(store)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def kill_here() -> None:
    if os.environ.get("KILLED_HERE"):
        os.kill(os.getpid(), signal.SIGKILL)


def test_after_a_kill_the_next_turn_starts_from_the_last_whole_state(place: str) -> None:
    @tool
    def boom() -> str:
        """Fail."""
        kill_here()
        return "fine"

    def agent(store: Any, *script: AIMessage) -> Any:
        return create_agent(ScriptedChat(script=list(script)), [boom], checkpointer=store)

    with open_store(place) as store:
        with store.turn("ada"):
            agent(store, says("good")).invoke(say("one"), THREAD)
        before = everything(store)
    killed(place, lambda store: agent(store, calls("boom")).invoke(say("two"), THREAD))
    with open_store(place) as store:
        assert everything(store) == before
        with store.turn("ada"):
            agent(store, says("later")).invoke(say("three"), THREAD)
        assert [entry.message.text for entry in store.transcript("ada")] == ["one", "good", "three", "later"]


def test_what_was_approved_is_resumed_after_a_kill_and_done_once(place: str, tmp_path: Path) -> None:
    def act() -> None:
        kill_here()
        (tmp_path / "orders").open("a").write("order\n")

    with open_store(place) as store, store.turn("ada"):
        approving_agent(store, act, calls("order")).invoke(say("one"), THREAD)
    killed(place, lambda store: approving_agent(store, act).invoke(APPROVED, THREAD, durability="sync"))
    with open_store(place) as store, store.turn("ada"):
        messages = approving_agent(store, act, says("It is ordered.")).invoke(None, THREAD)["messages"]
    assert [message.text for message in messages[-2:]] == ["ordered", "It is ordered."]
    assert (tmp_path / "orders").read_text() == "order\n"
