"""Where threads are kept: one door to SQLite files and PostgreSQL databases.

    with open_store("talks.sqlite") as store:                     # or "postgresql://me@host/talks"
        graph = conversation(model, checkpointer=store)           # or any other LangGraph graph
        graph.invoke({"messages": [("human", "Hi")]}, {"configurable": {"thread_id": "ada"}})
        store.threads()                                           # [ThreadInfo(name="ada", turns=1, …)]

A store is a checkpointer of LangGraph's, for `invoke` and `ainvoke` alike, that writes beside each checkpoint, in one
transaction with it, what the turn has added to the thread's transcript (`transcripts.py`). It also lets the turns of a
thread follow one another across processes. What differs between the databases is `sqlite_store.py`'s and
`postgres_store.py`'s.
"""

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
)
from sagechain.chains.finished import finished
from sagechain.chains.transcripts import Entry, ThreadInfo, Transcript
from sagechain.llms.errors import ConnectionFailed, MissingExtra
from sagechain.prompts.names import unknown

LOOK_SECONDS = 0.02  # how often who waits for another process looks whether the thread is free

NOT_IN_TRANSCRIPT = """
SELECT DISTINCT thread_id FROM checkpoints
WHERE checkpoint_ns = '' AND thread_id NOT IN (SELECT thread FROM transcript)"""


class StoreFailed(ConnectionFailed):
    """The database that keeps the threads cannot be reached, or refuses."""

    advice = "Check its address, that it runs, and that it lets you in."


def open_store(place: str | Path, *, create: bool = True) -> "Store":
    """The store at a place, to be closed, or used as a context manager.

    Args:
        place: a SQLite file, also as `sqlite:///FILE`, or a PostgreSQL database, `postgresql://USER:PASSWORD@HOST:PORT/NAME`
            (the extra `postgres`). Tables are made where they are missing.
        create: make the file and its folder where they are missing; a database must be there.

    Raises:
        ValueError: another scheme, a malformed URL, a file that is no SQLite database or is missing; no password is told.
        MissingExtra: the `postgres` extra is not installed.
        StoreFailed: the server cannot be reached, or refuses.
    """
    scheme, is_url, rest = str(place).partition("://")
    if is_url and scheme in ("postgresql", "postgres"):
        try:
            from sagechain.chains.postgres_store import PostgresStore
        except ImportError as error:
            raise MissingExtra("PostgreSQL", "postgres") from error
        return PostgresStore(str(place))
    if is_url and scheme != "sqlite":
        raise unknown("store: scheme", scheme, ["postgresql", "sqlite"])
    if is_url and not (rest.startswith("/") and rest[1:]):
        raise ValueError(f"store: {place!r} names no file; write sqlite:///FILE, or sqlite:////FOLDER/FILE")
    from sagechain.chains.sqlite_store import SqliteStore

    return SqliteStore(Path(rest[1:] if is_url else place), create)


class Store(BaseCheckpointSaver[str]):
    """A checkpointer with a transcript, made by `open_store`; usable from several threads and in any event loop.

    Whatever fails in the database is a `StoreFailed`. Async methods run the sync ones in a thread.
    """

    place: str
    """Where it is, without a password."""
    failures: ClassVar[tuple[type[Exception], ...]]
    """What the database's library raises."""

    def threads(self) -> list[ThreadInfo]:
        """All threads, that which was talked in last first; also those that were begun with a plain checkpointer."""
        with self._telling():
            for [name] in self._run(NOT_IN_TRANSCRIPT, []):
                saved = self.get_tuple(_latest(name))
                with self._transaction(name) as (transcript, _):
                    transcript.append(name, _finished_of(saved.checkpoint) if saved else [])
            return Transcript(self._run).threads()

    def transcript(self, thread: str) -> list[Entry]:
        """All messages of a thread, oldest first; none where there is no such thread."""
        with self._telling():
            return Transcript(self._run).entries(thread)

    @contextmanager
    def turn(self, thread: str) -> Iterator[None]:
        """A turn of a thread, once no other process has one."""
        while not self.take_turn(thread):
            time.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            self.end_turn(thread)

    @asynccontextmanager
    async def aturn(self, thread: str) -> AsyncIterator[None]:
        """As `turn`."""
        while not await self._taken(thread):
            await asyncio.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            self.end_turn(thread)

    async def _taken(self, thread: str) -> bool:
        taking = asyncio.ensure_future(asyncio.to_thread(self.take_turn, thread))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            # The thread goes on, and nobody else would give back what it gets.
            if await taking:
                self.end_turn(thread)
            raise

    @abstractmethod
    def take_turn(self, thread: str) -> bool:
        """Take a thread's one turn among processes, if it is free; a process that dies gives it back."""

    @abstractmethod
    def end_turn(self, thread: str) -> None:
        """Give a thread's turn back."""

    @abstractmethod
    def close(self) -> None:
        """Close the database."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement that reads."""

    @abstractmethod
    def _transaction(self, thread: str) -> AbstractContextManager[tuple[Transcript, BaseCheckpointSaver[str]]]:
        """A transaction that adds to a thread: the transcript and LangGraph's own checkpointer inside it."""

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Failures of the database become ours."""
        try:
            yield
        except self.failures as error:
            told = " ".join(str(error).split())
            raise StoreFailed(self.place, told if told.endswith((".", "?", "!")) else f"{told}.") from error

    # What follows is LangGraph's interface.

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint, and the finished turns in it that the transcript lacks, both or none."""
        thread = str(config["configurable"]["thread_id"])
        with self._telling(), self._transaction(thread) as (transcript, saver):
            if not config["configurable"].get("checkpoint_ns"):
                transcript.append(thread, _finished_of(checkpoint))
            return saver.put(config, checkpoint, metadata, new_versions)

    def delete_thread(self, thread_id: str) -> None:
        """Forget a thread, its transcript too."""
        with self._telling(), self._transaction(str(thread_id)) as (transcript, saver):
            transcript.delete(str(thread_id))
            saver.delete_thread(thread_id)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's."""
        with self._telling():
            return super().get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As LangGraph's."""
        with self._telling():
            yield from super().list(config, filter=filter, before=before, limit=limit)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As LangGraph's."""
        with self._telling():
            super().put_writes(config, writes, task_id, task_path)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As LangGraph's."""
        with self._telling():
            return super().get_delta_channel_history(config=config, channels=channels)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        for saved in await asyncio.to_thread(tuple, found):
            yield saved

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As `get_delta_channel_history`."""
        return await asyncio.to_thread(self.get_delta_channel_history, config=config, channels=channels)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As `prune`."""
        await asyncio.to_thread(self.prune, thread_ids, strategy=strategy)


def _latest(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


def _finished_of(checkpoint: Checkpoint) -> "list[BaseMessage]":
    messages = checkpoint["channel_values"].get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, BaseMessage) for message in messages):
        return []
    return finished(messages)
