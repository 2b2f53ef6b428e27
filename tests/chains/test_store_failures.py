"""After a failure (disk, server, cancellation, name) no half turn is stored, and no lock stays acquired."""

import asyncio
import os
import re
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import anyio
import psycopg
import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import Field
from sagechain.chains import StoreFailed, conversation, open_store, reset
from sagechain.chains.stores import PrunableInMemorySaver

THREAD: RunnableConfig = {"configurable": {"thread_id": "ada"}}
MODEL = FakeListChatModel(responses=["Yes."])
EVERY_OTHER_CONNECTION = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"""


class Breaking(FakeListChatModel):
    """A model whose server closes the database's connections before it answers."""

    responses: list[str] = Field(default=["Yes."])
    url: str

    def _call(self, *args: Any, **options: Any) -> str:
        cut_off(self.url)
        return str(super()._call(*args, **options))


def cut_off(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(EVERY_OTHER_CONNECTION)


def say(graph: Any, text: str, thread: RunnableConfig = THREAD) -> None:
    graph.invoke({"messages": [HumanMessage(text)]}, thread)


def talk(graph: Any, turns: int, text: str) -> None:
    for _ in range(turns):
        say(graph, text)


def questions(store: Any, graph: Any) -> tuple[list[str], list[str]]:
    """The questions in the transcript, and those in the state."""
    state = graph.get_state(THREAD).values.get("messages", [])
    transcript = [entry.message for entry in store.transcript("ada")]
    return [each.text for each in transcript if each.type == "human"], [
        each.text for each in state if each.type == "human"
    ]


def execute(place: str, statement: str) -> None:
    if "://" in place:
        with psycopg.connect(place, autocommit=True) as connection:
            connection.execute(statement.encode())
    else:
        with closing(sqlite3.connect(place)) as file:
            file.execute(statement)


def test_a_turn_whose_checkpoint_is_refused_is_not_in_the_transcript_either(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(MODEL, checkpointer=store)
        say(graph, "Before.")
        refuse, allow = (
            (
                "ALTER TABLE checkpoints ADD CONSTRAINT no CHECK (false) NOT VALID",
                "ALTER TABLE checkpoints DROP CONSTRAINT no",
            )
            if "://" in place
            else (
                "CREATE TRIGGER no BEFORE INSERT ON checkpoints BEGIN SELECT RAISE(ABORT, 'constraint'); END",
                "DROP TRIGGER no",
            )
        )
        execute(place, refuse)
        with pytest.raises(StoreFailed, match="constraint"):
            say(graph, "Lost.")
        execute(place, allow)
        say(graph, "After.")
        assert questions(store, graph) == (["Before.", "After."],) * 2


def test_a_full_disk_is_an_error_that_leaves_the_thread_unchanged(tmp_path: Path) -> None:
    with open_store(tmp_path / "threads.sqlite") as store:
        graph = conversation(MODEL, checkpointer=store)
        say(graph, "Before.")
        [[pages]] = store._run("PRAGMA page_count", [])
        for size in (10, 1_000, 4_000, 100_000):
            store._run(f"PRAGMA max_page_count = {pages}", [])
            with pytest.raises(StoreFailed, match="database or disk is full"):
                talk(graph, 100, "x" * size)
            store._run("PRAGMA max_page_count = 1000000", [])
            transcript, state = questions(store, graph)
            assert transcript[-len(state) :] == state
        say(graph, "After.")
        assert questions(store, graph)[0][-1] == "After."


def test_a_read_only_store_can_still_be_read(tmp_path: Path) -> None:
    with open_store(tmp_path / "threads.sqlite") as store:
        graph = conversation(MODEL, checkpointer=store)
        say(graph, "Before.")
        store._run("PRAGMA query_only = 1", [])
        with pytest.raises(
            StoreFailed, match=r"attempt to write a readonly database\. Check .* that you may write there\."
        ):
            say(graph, "Lost.")
        assert [thread.name for thread in store.threads()] == ["ada"]


@pytest.mark.parametrize("create", [True, False])
def test_a_path_that_the_system_refuses_is_one_error(tmp_path: Path, create: bool) -> None:
    with pytest.raises(StoreFailed, match="File name too long"):
        open_store(tmp_path / ("x" * 300), create=create)


def test_a_place_that_cannot_be_a_file_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="Not a directory"):
        open_store(tmp_path / "file" / "threads.sqlite")
    with pytest.raises(ValueError, match="is not a file"):
        open_store(tmp_path)


def test_a_table_of_another_program_or_version_is_refused(place: str) -> None:
    execute(place, "CREATE TABLE transcript (words TEXT)")
    with pytest.raises(ValueError, match="'transcript' that this version of sagechain does not know") as caught:
        open_store(place)
    assert "cret" not in str(caught.value)


def test_new_files_and_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        with open_store(tmp_path / "new" / "folder" / "threads.sqlite") as store:
            say(conversation(MODEL, checkpointer=store), "Hi")
            found = {file.name: (file.is_dir(), stat.S_IMODE(file.stat().st_mode)) for file in tmp_path.rglob("*")}
    finally:
        os.umask(mask)
    assert {"new", "folder", "threads.sqlite", "threads.sqlite-wal", "threads.sqlite-shm", "setup.lock"} <= set(found)
    assert len(found) == 8
    assert set(found.values()) == {(True, 0o700), (False, 0o600)}


def test_the_lock_file_goes_with_its_thread(tmp_path: Path) -> None:
    def locks() -> int:
        return len(list((tmp_path / "threads.sqlite.locks").iterdir())) - 1  # setup.lock

    with open_store(tmp_path / "threads.sqlite") as store, open_store(tmp_path / "threads.sqlite") as other:
        graph = conversation(MODEL, checkpointer=store)
        for delete in (store.delete_thread, lambda name: reset(graph, name)):
            say(graph, "Hi")
            assert locks() == 1
            delete("ada")
            assert locks() == 0
        with other.turn("ada"):
            store.delete_thread("ada")
            assert not store.thread_locks.try_acquire("ada")
            assert locks() == 1


def test_threads_that_are_deleted_meanwhile_still_exclude_one_another(tmp_path: Path) -> None:
    inside, most = [], []

    def talk(number: int) -> None:
        with open_store(tmp_path / "threads.sqlite") as store:
            for _ in range(10):
                with store.turn("ada"):
                    inside.append(number)
                    most.append(len(inside))
                    store.delete_thread("ada")
                    inside.remove(number)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(talk, range(3)))
    assert most == [1] * 30


def test_a_file_has_the_same_locks_under_each_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "threads.sqlite")
    with open_store(tmp_path / "threads.sqlite") as one, open_store(tmp_path / "link.sqlite") as other, one.turn("ada"):
        assert not other.thread_locks.try_acquire("ada")


def test_a_closed_store_raises_and_releases_its_locks(place: str) -> None:
    closed = open_store(place)
    graph = conversation(MODEL, checkpointer=closed)
    turn = closed.turn("ada")
    turn.__enter__()
    closed.close()
    closed.close()
    with open_store(place) as store, store.turn("ada"):
        turn.__exit__(None, None, None)
    for _ in range(2):
        with pytest.raises(StoreFailed, match="closed"):
            say(graph, "Lost.")
    with open_store(place) as store:
        say(conversation(MODEL, checkpointer=store), "Hi")
        assert len(store.transcript("ada")) == 2


@pytest.mark.parametrize("name", ["", "a\x00b", "caf\udce9", "x" * 256, None, 5.0, b"ada", True])
@pytest.mark.parametrize("where", ["store", "memory", "langgraph"])
async def test_one_rule_for_names_of_threads(tmp_path: Path, name: Any, where: str) -> None:
    thread: RunnableConfig = {"configurable": {"thread_id": name}}
    refused = pytest.raises(ValueError, match=r"^thread: .* is not a valid name|^thread_id: the configuration names no")
    with open_store(tmp_path / "threads.sqlite") as store:
        checkpointer = {"store": store, "memory": None, "langgraph": InMemorySaver()}[where]
        graph = conversation(MODEL, checkpointer=checkpointer)
        with refused:
            say(graph, "Hi", thread)
        with refused:
            await graph.ainvoke({"messages": [HumanMessage("Hi")]}, thread)
        with refused:
            reset(graph, name)
        for operation in (store.turn, store.aturn, store.delete_thread, store.transcript):
            with refused:
                operation(name)
        with refused:
            graph.get_state(thread)


@pytest.mark.parametrize("where", ["store", "memory"])
def test_a_number_names_the_same_thread_as_its_text(tmp_path: Path, where: str) -> None:
    with open_store(tmp_path / "threads.sqlite") as store:
        saver = store if where == "store" else PrunableInMemorySaver()
        graph = conversation(MODEL, checkpointer=saver)
        for name in (5, "5"):
            say(graph, "Hi", {"configurable": {"thread_id": name}})
            assert saver.get_tuple({"configurable": {"thread_id": name}}) is not None
        assert len(graph.get_state({"configurable": {"thread_id": 5}}).values["messages"]) == 4
        reset(graph, cast(Any, 5))
        assert graph.get_state({"configurable": {"thread_id": "5"}}).values == {}


def test_any_other_name_is_stored(place: str) -> None:
    names = [
        " ",
        "../x",
        "a/b\\c",
        "'; DROP TABLE transcript; --",
        "%s ? {}",
        "two\nlines",
        "⛺ été",
        "--yes",
        "⛺" * 255,
    ]
    with open_store(place) as store:
        graph = conversation(MODEL, checkpointer=store)
        for name in names:
            say(graph, "Hi", {"configurable": {"thread_id": name}})
        assert {thread.name for thread in store.threads()} == set(names)


def test_text_that_is_not_unicode_is_refused_before_it_is_sent(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(MODEL, checkpointer=store)
        with pytest.raises(ValueError, match=r"messages\[0\]: '\\udce9' at 3 is not a character; give text in UTF-8"):
            say(graph, "caf\udce9")
        say(graph, "A NUL: \x00.")
        assert questions(store, graph) == (["A NUL: \x00."],) * 2


def test_the_threads_of_a_process_exclude_one_another_too(place: str) -> None:
    with open_store(place) as store:
        inside, most = [], []

        def talk(number: int) -> None:
            with store.turn("ada"):
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(talk, range(20)))
            with store.turn("ada"):
                assert not threads.submit(store.thread_locks.try_acquire, "ada").result()
        assert most == [1] * 20


async def test_a_cancellation_at_any_moment_leaves_the_lock_free(place: str) -> None:
    with open_store(place) as store, open_store(place) as other:
        for number in range(20):
            with anyio.move_on_after(number / 4000):
                async with store.aturn("ada"):
                    await anyio.sleep(1)
        with store.turn("ben"), anyio.move_on_after(0.05):
            async with other.aturn("ben"):
                raise AssertionError("the turn was taken")
        async with asyncio.timeout(10), other.aturn("ada"), other.aturn("ben"):
            pass


def test_a_partly_read_list_does_not_block_writers(place: str) -> None:
    with open_store(place) as store:
        say(conversation(MODEL, checkpointer=store), "One.")
        say(conversation(MODEL, checkpointer=store), "Two.")
        found = store.list(THREAD)
        next(found)
        with ThreadPoolExecutor(1) as threads:
            assert len(threads.submit(store.threads).result(timeout=10)) == 1
        say(conversation(MODEL, checkpointer=store), "Three.")
        assert len(list(found)) == 1


def test_one_store_serves_one_event_loop_after_another_and_several_threads(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(MODEL, checkpointer=store)

        def talk(number: int) -> None:
            turn: Any = {"messages": [HumanMessage(f"{number}")]}
            asyncio.run(graph.ainvoke(turn, {"configurable": {"thread_id": f"thread {number % 3}"}}))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(talk, range(12)))
        assert {thread.name: thread.turns for thread in store.threads()} == {f"thread {n}": 4 for n in range(3)}


def test_a_turn_whose_connection_breaks_fails_and_is_not_saved(database: str) -> None:
    with open_store(database) as store:
        graph = conversation(MODEL, checkpointer=store)
        say(graph, "Before.")
        with pytest.raises(StoreFailed, match="the lock of thread 'ada' broke; the turn is not saved"):
            say(conversation(Breaking(url=database), checkpointer=store), "Lost.")
        say(graph, "After.")
        assert questions(store, graph) == (["Before.", "After."],) * 2


async def test_connections_that_broke_between_turns_are_opened_again(database: str) -> None:
    with open_store(database) as store:
        graph = conversation(MODEL, checkpointer=store)
        say(graph, "One.")
        cut_off(database)
        say(graph, "Two.")
        cut_off(database)
        await graph.ainvoke({"messages": [HumanMessage("Three.")]}, THREAD)
        cut_off(database)
        assert [thread.turns for thread in store.threads()] == [3]


def test_a_tools_result_of_any_kind_is_stored(place: str) -> None:
    with open_store(place) as store:
        with store._transaction("ada") as (transcript, _):
            for name, artifact in (("a", {(1, 2): 3}), ("b", {(1, 2): object()}), ("c", object())):
                transcript.append("ada", [ToolMessage("Done.", tool_call_id="1", artifact=artifact, id=name)])
        artifacts = [getattr(entry.message, "artifact", None) for entry in store.transcript("ada")]
        texts = [re.sub(" at 0x[0-9a-f]+", "", str(artifact)) for artifact in artifacts]
        assert texts == ["{(1, 2): 3}", "{(1, 2): <object object>}", "<object object>"]


def test_a_message_given_twice_is_stored_once(place: str) -> None:
    messages: list[Any] = [HumanMessage("Hi", id="a"), AIMessage("Yes.", id="b"), AIMessage("Yes.", id="b")]
    with open_store(place) as store:
        with store._transaction("ada") as (transcript, _):
            transcript.append("ada", messages)
        assert [entry.message.id for entry in store.transcript("ada")] == ["a", "b"]


def test_a_long_thread_is_read_in_pages(place: str) -> None:
    with open_store(place) as store:
        with store._transaction("ada") as (transcript, _):
            transcript.append("ada", [HumanMessage(str(number), id=str(number)) for number in range(10)])
        assert [entry.position for entry in store.transcript("ada", most=3)] == [0, 1, 2]
        assert [entry.position for entry in store.transcript("ada", after=6)] == [7, 8, 9]
        assert store.transcript("ada", after=9, most=3) == []


def test_both_databases_prune_the_same(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(MODEL, checkpointer=store)
        for text in ("One.", "Two.", "Three."):
            say(graph, text)
        store.prune(["ada"])
        assert [len(saved.checkpoint["channel_values"]["messages"]) for saved in store.list(THREAD)] == [6]
        with pytest.raises(ValueError, match=r"strategy: 'keep_last' is unknown. Did you mean 'keep_latest'\?"):
            store.prune(["ada"], strategy="keep_last")
        store.prune(["ada"], strategy="delete")
        assert (list(store.list(THREAD)), store.threads()) == ([], [])
