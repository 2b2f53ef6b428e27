"""A store is a context manager for sync and async programs, and says so when it is used after it was closed."""

import pickle
from pathlib import Path
from typing import Any

import pytest
from sagechain.chains import Store, StoreFailed, conversation, open_store
from sagechain.llms.testing import ScriptedLLM

ADA: Any = {"configurable": {"thread_id": "ada"}}
TURN: Any = {"messages": [("human", "Hi")]}
CLOSED = r": the store is closed\. Open it again with open_store, and use it inside its `with` block\.$"


async def test_a_store_is_opened_and_closed_by_async_with(tmp_path: Path) -> None:
    async with open_store(tmp_path / "talks.sqlite") as store:
        graph = conversation(ScriptedLLM(["Hello.", "Bye."]), checkpointer=store)
        await graph.ainvoke(TURN, ADA)
        assert [part async for part in graph.astream(TURN, ADA, stream_mode="messages")]
        assert [entry.message.text for entry in store.transcript("ada")] == ["Hi", "Hello.", "Hi", "Bye."]
    with pytest.raises(StoreFailed, match=CLOSED):
        await graph.aget_state(ADA)


async def test_async_with_closes_a_store_that_an_exception_leaves(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with open_store(tmp_path / "talks.sqlite") as store:
            raise KeyError
    with pytest.raises(StoreFailed, match=CLOSED):
        store.threads()


async def test_a_closed_store_says_so_whatever_is_done_with_it(tmp_path: Path) -> None:
    store = open_store(tmp_path / "talks.sqlite")
    graph = conversation(ScriptedLLM(["Hello."] * 9), checkpointer=store)
    graph.invoke(TURN, ADA)
    store.close()
    store.close()

    def enter(opened: Store) -> None:
        with opened:
            pass

    for use in (
        lambda: enter(store),
        lambda: store.turn("ada"),
        lambda: store.aturn("ada"),
        store.threads,
        lambda: store.transcript("ada"),
        lambda: store.delete_thread("ada"),
        lambda: store.prune(["ada"]),
        lambda: store.get_tuple(ADA),
        lambda: list(store.list(ADA)),
        lambda: graph.invoke(TURN, ADA),
        lambda: list(graph.stream(TURN, ADA)),
        lambda: graph.get_state(ADA),
    ):
        with pytest.raises(StoreFailed, match=CLOSED) as caught:
            use()
        assert "Check its address" not in str(caught.value)
    for run in (graph.ainvoke(TURN, ADA), graph.aget_state(ADA), store.__aenter__()):
        with pytest.raises(StoreFailed, match=CLOSED):
            await run
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with open_store(tmp_path / "talks.sqlite") as again:
        assert [thread.name for thread in again.threads()] == ["ada"]
