"""A thread contains complete turns only: after a failure, a cancellation, a closed stream, a kill, simultaneous turns."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from sagechain.chains import conversation
from sagechain.llms import LlamaCppLLM, errors, load_chat_model
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON_URI
from tests.waiting import wait_until

THREAD: RunnableConfig = {"configurable": {"thread_id": "a"}}
# Thousands of tokens long, which no answer of the tests waits for.
LONG = {"messages": [HumanMessage("Write the numbers from one to one thousand, one a line.")]}


def messages(graph: Any, thread: RunnableConfig = THREAD) -> list[str]:
    return [message.type for message in graph.get_state(thread).values.get("messages", [])]


@pytest.fixture
def graph(runtime: LocalRuntime) -> Any:
    graph = conversation(load_chat_model(FALCON_URI, max_new_tokens=1500))
    graph.update_state(THREAD, {"messages": [HumanMessage("Hi"), ("ai", "Hello.")]})
    return graph


def test_a_failed_turn_leaves_the_thread_unchanged(llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"model": f"local:{llm.path}", "family": "falcon", "fault": "out-of-memory", "times": 1}
    with LocalRuntime({"failing": settings}) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        graph = conversation(load_chat_model("sagemaker:failing?family=falcon", max_new_tokens=4, max_retries=0))
        with pytest.raises(errors.ModelFailed):
            graph.invoke({"messages": [HumanMessage("Lost.")]}, THREAD)
        assert messages(graph) == []
        graph.invoke({"messages": [HumanMessage("Hi")]}, THREAD)
        assert messages(graph) == ["human", "ai"]
        assert "Lost" not in runtime.requests[-1].body.decode()


def test_a_cancelled_turn_leaves_the_thread_unchanged_and_ends_the_servers_work(
    graph: Any, runtime: LocalRuntime, seconds_to_stop: float
) -> None:
    async def cancel() -> None:
        async def read() -> None:
            async for _ in graph.astream(LONG, THREAD, stream_mode="messages"):
                started.set()

        started = asyncio.Event()
        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)
    assert messages(graph) == ["human", "ai"]


def test_closing_a_stream_ends_the_servers_work_sync_too(
    graph: Any, runtime: LocalRuntime, seconds_to_stop: float
) -> None:
    stream = graph.stream(LONG, THREAD, stream_mode="messages")
    next(stream)
    stream.close()
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)
    assert messages(graph) == ["human", "ai"]


def test_a_turn_that_would_wait_for_itself_is_an_error_instead_of_a_deadlock(graph: Any) -> None:
    stream = graph.stream(LONG, THREAD, stream_mode="messages")
    next(stream)
    with pytest.raises(RuntimeError, match="this thread would wait for its own open stream"):
        graph.invoke(LONG, THREAD)
    stream.close()


@pytest.mark.parametrize("way", ["threads", "tasks"])
def test_simultaneous_turns_on_one_thread_run_one_after_another(runtime: LocalRuntime, way: str) -> None:
    keeper = InMemorySaver()
    chat = load_chat_model(FALCON_URI, max_new_tokens=4)
    graphs: list[Any] = [conversation(chat, checkpointer=keeper) for _ in range(2)]
    turns = [({"messages": [HumanMessage(f"Turn {number}.")]}, graphs[number % 2]) for number in range(4)]
    if way == "threads":
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda turn: turn[1].invoke(turn[0], THREAD), turns))
    else:

        async def together() -> None:
            await asyncio.gather(*(graph.ainvoke(turn, THREAD) for turn, graph in turns))

        asyncio.run(together())
    messages = graphs[0].get_state(THREAD).values["messages"]
    assert [message.type for message in messages] == ["human", "ai"] * 4
    assert {message.text for message in messages[::2]} == {f"Turn {number}." for number in range(4)}


SCRIPT = """
import sys
from langgraph.checkpoint.sqlite import SqliteSaver
from sagechain.chains import conversation
from sagechain.llms import load_llm

model, file = sys.argv[1:]
thread = {"configurable": {"thread_id": "a"}}
with SqliteSaver.from_conn_string(file) as keeper:
    graph = conversation(load_llm(model, max_new_tokens=4), checkpointer=keeper)
    graph.invoke({"messages": [("human", "Hi")]}, thread)
    graph = conversation(load_llm(model, max_new_tokens=1500), checkpointer=keeper)
    for _ in graph.stream({"messages": [("human", "Tell me a very long story.")]}, thread, stream_mode="messages"):
        print("a token", flush=True)
"""


def test_a_process_killed_during_a_turn_leaves_the_thread_consistent(
    smollm2: Path, llm: LlamaCppLLM, tmp_path: Path
) -> None:
    file = str(tmp_path / "threads.sqlite")
    command = [sys.executable, "-c", SCRIPT, f"local:{smollm2}", file]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "a token\n"
        os.kill(process.pid, signal.SIGKILL)
    with SqliteSaver.from_conn_string(file) as keeper:
        graph = conversation(load_chat_model(f"local:{smollm2}", max_new_tokens=4), checkpointer=keeper)
        assert messages(graph) == ["human", "ai"]
        graph.invoke({"messages": [HumanMessage("And now?")]}, THREAD)
        assert messages(graph) == ["human", "ai"] * 2


def test_no_saved_checkpoint_contains_an_open_turn(runtime: LocalRuntime) -> None:
    graph: Any = conversation(load_chat_model(FALCON_URI, max_new_tokens=4))
    for text in ("One.", "Two."):
        graph.invoke({"messages": [HumanMessage(text)]}, THREAD)
    for state in graph.get_state_history(THREAD):
        types = [message.type for message in state.values.get("messages", [])]
        assert types == ["human", "ai"] * (len(types) // 2)
