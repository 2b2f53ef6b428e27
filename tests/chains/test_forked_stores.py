"""Stores and conversations after a fork: no connection, lock or Python thread of the parent's is used in the child."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from sagechain.chains import conversation, open_store
from sagechain.chains.stores.base import Store

from tests.forked_child import LIMIT_SECONDS, in_child

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def talk(checkpointer: Store | None) -> tuple[Any, Callable[[str], str], Callable[[str], str]]:
    graph = conversation(FakeListChatModel(responses=["yes"]), checkpointer=checkpointer)

    question: Any = {"messages": [("human", "Hi")]}

    def config(thread: str) -> Any:
        return {"configurable": {"thread_id": thread}}

    def answer(thread: str) -> str:
        return str(graph.invoke(question, config(thread))["messages"][-1].text)

    def async_answer(thread: str) -> str:
        return str(asyncio.run(graph.ainvoke(question, config(thread)))["messages"][-1].text)

    return graph, answer, async_answer


def test_a_child_continues_threads_of_a_store(place: str) -> None:
    with open_store(place) as store:
        _, answer, async_answer = talk(store)
        assert async_answer("ada") == "yes"
        assert in_child(lambda: [answer("ada"), async_answer("ada"), len(store.transcript("ada"))]) == ["yes", "yes", 6]
        assert answer("ada") == "yes"
        assert len(store.transcript("ada")) == 8


def test_a_child_continues_threads_in_memory() -> None:
    _, answer, async_answer = talk(None)
    async_answer("ada")
    assert in_child(lambda: [async_answer("ada"), answer("ada")]) == ["yes", "yes"]


def test_a_lock_of_another_thread_of_the_parent_does_not_hold_a_child_in_memory() -> None:
    graph, answer, _ = talk(None)
    entered, done = threading.Event(), threading.Event()

    def hold() -> None:
        with graph.thread_lock({"configurable": {"thread_id": "ada"}}):
            entered.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    try:
        assert in_child(lambda: answer("ada")) == "yes"
    finally:
        done.set()
        thread.join()


def test_a_child_that_closes_a_store_leaves_its_parent_the_lock_and_the_connection(place: str) -> None:
    with open_store(place) as store, open_store(place) as other:
        with store.turn("ada"):
            in_child(store.close)
            assert not other.thread_locks.try_acquire("ada")
        assert store.threads() == []


def test_a_child_that_leaves_the_block_of_its_parent_saves_nothing(place: str) -> None:
    with open_store(place) as store:
        _, answer, _ = talk(store)
        with store.turn("ada"):
            answer("ada")
            if (child := os.fork()) == 0:
                signal.alarm(LIMIT_SECONDS)
            else:
                ended_with = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                assert store.transcript("ada") == []
        if child == 0:
            os._exit(7)
        assert ended_with == 7
        assert len(store.transcript("ada")) == 2


def test_children_and_parent_at_once_get_their_own_rows(place: str) -> None:
    """Over one connection of PostgreSQL they would read each other's answers."""
    with open_store(place) as store:
        _, answer, _ = talk(store)
        answer("parent")
        children = []
        for number in range(2):
            if (child := os.fork()) == 0:
                signal.alarm(LIMIT_SECONDS)
                code = 1
                try:
                    for _ in range(5):
                        answer(f"child {number}")
                    code = len(store.transcript(f"child {number}"))
                finally:
                    os._exit(code)
            children.append(child)
        for _ in range(5):
            answer("parent")
        assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [10, 10]
        assert sorted((each.name, each.turns) for each in store.threads()) == [
            ("child 0", 5),
            ("child 1", 5),
            ("parent", 6),
        ]
