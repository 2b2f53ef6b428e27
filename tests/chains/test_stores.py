"""Stores: the same over SQLite and PostgreSQL, through kills and concurrent turns on a thread."""

import asyncio
import logging
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage, message_to_dict
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from sagechain.chains import StoreFailed, conversation, open_store, reset
from sagechain.chains.conversations.history import MAX_TURNS
from sagechain.llms import errors

from tests import processes
from tests.processes import Process

TALKER = str(Path(__file__).with_name("talker.py"))
THREAD: RunnableConfig = {"configurable": {"thread_id": "ada"}}
MODEL = FakeListChatModel(responses=["Yes."])


def say(graph: Any, text: str, thread: RunnableConfig = THREAD) -> None:
    graph.invoke({"messages": [HumanMessage(text)]}, thread)


def questions(store: Any, thread: str = "ada") -> list[str]:
    return [entry.message.text for entry in store.transcript(thread) if entry.message.type == "human"]


def start(place: str, name: str, turns: int) -> Process:
    return processes.start(TALKER, place, "ada", name, str(turns))


def size(store: Any) -> int:
    """Bytes of all stored checkpoints."""
    table = "checkpoints" if isinstance(store, SqliteSaver) else "checkpoint_blobs"
    column = "checkpoint" if isinstance(store, SqliteSaver) else "blob"
    [[total]] = store._run(f"SELECT SUM(LENGTH({column})) FROM {table}", [])
    return int(total)


def test_messages_are_there_when_the_store_is_opened_again(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(MODEL, checkpointer=store)
        say(graph, "My name is Ada.")
        asyncio.run(graph.ainvoke({"messages": [HumanMessage("And I like tents.")]}, THREAD))
        say(graph, "Hello.", {"configurable": {"thread_id": "ben"}})
    with open_store(place, create=False) as store:
        ben, ada = store.threads()
        assert (ben.name, ben.turns, ben.messages, ben.first_words) == ("ben", 1, 2, "Hello.")
        assert (ada.name, ada.turns, ada.messages, ada.first_words) == ("ada", 2, 4, "My name is Ada.")
        assert ada.first_at < ada.last_at <= ben.last_at <= time.time()
        assert [(entry.position, entry.turn) for entry in store.transcript("ada")] == [(0, 1), (1, 1), (2, 2), (3, 2)]
        assert len(conversation(MODEL, checkpointer=store).get_state(THREAD).values["messages"]) == 4


def test_a_turn_costs_the_same_at_any_length(place: str) -> None:
    """The state and the rows written by a turn stay bounded; 2,000 turns are timed in benchmarks/conversations.py."""
    with open_store(place) as store:
        graph = conversation(MODEL, checkpointer=store)
        sizes = {}
        for number in range(3 * MAX_TURNS):
            say(graph, f"Question {number:04}")
            if number + 1 in (50, 2 * MAX_TURNS, 3 * MAX_TURNS):
                sizes[number + 1] = size(store)
        assert max(sizes.values()) <= 2 * sizes[50]
        assert len(store._run("SELECT checkpoint_id FROM checkpoints", [])) == 2
        assert len(graph.get_state(THREAD).values["messages"]) <= 2 * MAX_TURNS
        assert questions(store) == [f"Question {number:04}" for number in range(3 * MAX_TURNS)]


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_2000_turns_leave_no_larger_state_than_50(tmp_path: Path) -> None:
    with open_store(tmp_path / "threads.sqlite") as store:
        graph = conversation(MODEL, checkpointer=store)
        for number in range(2000):
            say(graph, f"Question {number:04}")
            if number + 1 == 50:
                small = size(store)
        assert size(store) <= 2 * small
        [thread] = store.threads()
        assert (thread.turns, thread.messages) == (2000, 4000)


def test_a_process_that_is_killed_loses_at_most_the_turn_in_flight(place: str) -> None:
    reported_turns = 0
    for round_number in range(8):
        with start(place, f"round {round_number}:", 10_000) as talker:
            assert talker.stdout is not None
            assert talker.stdout.readline() == "ready\n"
            time.sleep(random.uniform(0.0, 0.15))
            talker.send_signal(signal.SIGKILL)
            reported_turns += len(talker.stdout.read().split())
        with open_store(place) as store:
            assert reported_turns <= len(questions(store)) <= reported_turns + round_number + 1
            entries = store.transcript("ada")
            assert [entry.message.type for entry in entries] == ["human", "ai"] * (len(entries) // 2)
            state = conversation(MODEL, checkpointer=store).get_state(THREAD).values.get("messages", [])
            assert [message.id for message in state] == [entry.message.id for entry in entries][-len(state) or 10**9 :]


def test_two_processes_on_one_thread_lose_no_turn(place: str) -> None:
    talkers = [start(place, name, 20) for name in ("one", "two")]
    for talker in talkers:
        talker.communicate()
        assert talker.returncode == 0
    with open_store(place) as store:
        stored = questions(store)
        assert sorted(stored) == sorted(f"{name} {number}" for name in ("one", "two") for number in range(20))
        assert [text for text in stored if text.startswith("one")] == [f"one {number}" for number in range(20)]
        state = conversation(MODEL, checkpointer=store).get_state(THREAD).values["messages"]
        assert [message.text for message in state if message.type == "human"] == stored


async def test_a_task_that_is_cancelled_while_it_waits_leaves_the_turn_free(place: str) -> None:
    with open_store(place) as first, open_store(place) as second:
        graph = conversation(MODEL, checkpointer=second)
        with first.turn("ada"):
            waiting = asyncio.create_task(graph.ainvoke({"messages": [HumanMessage("Hi")]}, THREAD))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await graph.ainvoke({"messages": [HumanMessage("Hello")]}, THREAD)
        assert questions(second) == ["Hello"]


def test_a_turn_missing_in_the_transcript_is_added_by_the_next_turn_or_reader(tmp_path: Path) -> None:
    file = tmp_path / "threads.sqlite"
    with SqliteSaver.from_conn_string(str(file)) as plain:
        for thread in ("ada", "ben"):
            say(conversation(MODEL, checkpointer=plain), "Before.", {"configurable": {"thread_id": thread}})
    with open_store(file) as store:
        assert store.transcript("ada") == []
        say(conversation(MODEL, checkpointer=store), "After.")
        assert questions(store) == ["Before.", "After."]
        assert {thread.name: thread.turns for thread in store.threads()} == {"ada": 2, "ben": 1}


def test_tool_messages_and_hostile_text_are_restored_unchanged(place: str) -> None:
    call = {"name": "search", "args": {"query": "tent"}, "id": "1", "type": "tool_call"}
    messages: list[AnyMessage] = [
        HumanMessage("\x00 \ud800 '; DROP TABLE transcript; -- ⛺", id="a"),
        AIMessage("", tool_calls=[call], id="b"),
        ToolMessage("Lark 2", tool_call_id="1", artifact={"rows": [1]}, id="c"),
        AIMessage("The Lark 2.", id="d", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    ]
    with open_store(place) as store:
        store.put({"configurable": {"thread_id": "ada", "checkpoint_ns": ""}}, _checkpoint([]), {}, {})
        with store._transaction("ada") as (transcript, _):
            transcript.append("ada", messages)
            transcript.append("ada", messages)
        stored = [entry.message for entry in store.transcript("ada")]
        assert [message_to_dict(message) for message in stored] == [message_to_dict(message) for message in messages]


def _checkpoint(messages: list[AnyMessage]) -> Any:
    from langgraph.checkpoint.base import empty_checkpoint

    return {**empty_checkpoint(), "channel_values": {"messages": messages}}


def test_any_graph_may_use_the_store_and_open_turns_are_not_in_the_transcript(place: str) -> None:
    graph: Any = StateGraph(MessagesState)
    graph.add_node("answer", lambda state: {"messages": [MODEL.invoke(state["messages"])]})
    graph.add_edge(START, "answer")
    with open_store(place) as store:
        compiled = graph.compile(checkpointer=store, interrupt_before=["answer"])
        say(compiled, "Hi")
        assert compiled.get_state(THREAD).next == ("answer",)
        assert store.threads() == []
        compiled.invoke(None, THREAD)
        assert [thread.turns for thread in store.threads()] == [1]
        assert len(list(compiled.get_state_history(THREAD))) == 3


def test_a_reset_deletes_the_thread_and_its_transcript(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(MODEL, checkpointer=store)
        say(graph, "Hi")
        reset(graph, "ada")
        assert store.threads() == []
        assert graph.get_state(THREAD).values == {}


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("postgre://me:s3cret@host/db", r"scheme: 'postgre' is unknown. Did you mean 'postgresql'\?"),
        ("sqlite://", "names no file"),
        ("postgresql://me:s3@cret@host/db", "malformed"),
        ("postgresql://me:s3cret/x@host/db", "malformed"),
        ("postgresql://me:s3cret@[::1/db", "malformed"),
        ("postgresql://me:s3%zzcret@host/db", "malformed"),
    ],
)
def test_an_invalid_place_is_refused_without_showing_its_password(place: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        open_store(place)
    assert "cret" not in "".join(traceback.format_exception(caught.value)).replace(f'open_store("{place}")', "")


def test_a_file_that_is_missing_or_not_a_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        open_store(tmp_path / "no.sqlite", create=False)
    (tmp_path / "no.txt").write_text("This is a text of some length, and no file of SQLite's.\n" * 30)
    with pytest.raises(ValueError, match=r"no\.txt' is not a SQLite database"):
        open_store(f"sqlite:///{tmp_path / 'no.txt'}")
    assert [file.name for file in tmp_path.iterdir()] == ["no.txt"]


@pytest.mark.parametrize(
    "place",
    [
        None,
        "",
        " ",
        5,
        b"x.sqlite",
        "sqlite:x.sqlite",
        "postgres:me:s3cret@host",
        "file:x.sqlite",
        "mysql:x",
        "folder/",
        "a\x00b",
    ],
)
def test_what_is_not_a_place_is_refused_by_an_error_that_shows_what_is(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="give a SQLite file, sqlite:///FILE, or postgresql://") as caught:
        open_store(place)
    assert "s3cret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_refuses_is_a_one_line_error_without_the_password(
    postgres: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for url, complaint in [
        (f"{postgres}none", 'database "none" does not exist'),
        (f"{postgres}postgres".replace("s3cret", "wr0ng"), "password authentication failed"),
        ("postgresql://me:s3cret@127.0.0.1:1/db", "Connection refused"),
    ]:
        with pytest.raises(StoreFailed, match=complaint) as caught:
            open_store(url)
        assert "\n" not in str(caught.value)
        shown = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert "s3cret" not in shown
        assert "wr0ng" not in shown.replace('.replace("s3cret", "wr0ng")', "")


def test_without_the_extra_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "sagechain.chains.stores.postgres", raising=False)
    with pytest.raises(errors.MissingExtra, match=r'Run: .*pip install .*\[postgres\]"$'):
        open_store("postgresql://me:s3cret@127.0.0.1:1/db")
