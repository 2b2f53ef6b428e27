"""A store of threads: a LangGraph checkpointer that also writes a transcript.

    with open_store("talks.sqlite") as store:                     # or "postgresql://me@host/talks"
        graph = conversation(model, checkpointer=store)           # or any other LangGraph graph
        graph.invoke({"messages": [("human", "Hi")]}, {"configurable": {"thread_id": "ada"}})
        store.threads()                                           # [ThreadInfo(name="ada", turns=1, …)]

A turn's checkpoints are saved in one transaction (`buffered_turns.py`) with the messages that it adds to the thread's
transcript (`transcripts.py`); the turns of a thread run one after another across processes (`locks.py`). `sqlite.py` and
`postgres.py` contain what differs between the databases.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
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
from sagechain.prompts import unknown_name

from ..turns import finished_turns
from .async_in_threads import AsyncInThreads
from .buffered_turns import BufferedTurns
from .errors import closed_store, store_errors
from .names import check_name, with_checked_name
from .transcripts import COLUMNS, SETTINGS_TABLE, TABLE, Entry, ThreadInfo, Transcript
from .turn_buffer import RESUME, SavedCheckpoint, SavedWrites

NOT_IN_TRANSCRIPT = """
SELECT DISTINCT thread_id FROM checkpoints
WHERE checkpoint_ns = '' AND NOT EXISTS (SELECT 1 FROM transcript WHERE transcript.thread = checkpoints.thread_id)"""
DELETE_DECISION = """
DELETE FROM {} WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? AND task_id = ? AND channel = ?"""


class Store(BufferedTurns, AsyncInThreads):
    """A checkpointer with a transcript, created by `open_store`; usable from several threads and in any event loop.

    Failures of the database are raised as `StoreFailed`.
    """

    place: str
    """Its address, without a password."""
    failures: ClassVar[tuple[type[Exception], ...]]
    """The exceptions of the database's library."""
    writes_table: ClassVar[str]
    """The table of pending writes."""
    _closed = False

    def threads(self) -> list[ThreadInfo]:
        """All threads, the most recent turn first; also those that a plain checkpointer wrote."""
        with self._errors():
            for [name] in self._run(NOT_IN_TRANSCRIPT, []):
                checkpoint = self.get_tuple({"configurable": {"thread_id": name, "checkpoint_ns": ""}})
                if checkpoint and (messages := _finished_messages(checkpoint.checkpoint)):
                    with self._transaction(name) as (transcript, _):
                        transcript.append(name, messages)
            return Transcript(self._run).threads()

    def transcript(self, thread: str, *, after: int = -1, most: int | None = None) -> list[Entry]:
        """The messages of a thread, oldest first; an unknown thread has none.

        Args:
            thread: its name.
            after: only messages behind this position, so that a long thread can be read page by page.
            most: most messages; default: all.
        """
        with self._errors():
            return Transcript(self._run).entries(check_name(thread), after, most)

    def newest_turns(self, thread: str, turns: int) -> list[Entry]:
        """The messages of a thread's last turns, oldest first; an unknown thread has none."""
        with self._errors():
            return Transcript(self._run).newest(check_name(thread), turns)

    def settings(self, thread: str) -> dict[str, Any]:
        """What `set_settings` stored with a thread; empty if nothing is stored."""
        with self._errors():
            return Transcript(self._run).settings(check_name(thread))

    def set_settings(self, thread: str, settings: Mapping[str, Any]) -> None:
        """Store with a thread what is needed to continue it, as JSON, in place of what was stored before.

        It is stored as plain text: never pass keys, passwords or tokens.
        """
        thread = check_name(thread)
        with self._errors(), self._transaction(thread) as (transcript, _):
            transcript.set_settings(thread, settings)

    @abstractmethod
    def close(self) -> None:
        """Close the database; a second time changes nothing. Every later use is a StoreFailed."""

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def turn(self, thread: str) -> AbstractContextManager[None]:
        """As for every checkpointer with turns. Raises StoreFailed if the store is closed."""
        self._check_open()
        return super().turn(thread)

    def aturn(self, thread: str) -> AbstractAsyncContextManager[None]:
        """As `turn`."""
        self._check_open()
        return super().aturn(thread)

    def _check_open(self) -> None:
        if self._closed:
            raise closed_store(self.place)

    @abstractmethod
    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement, which SQLite and PostgreSQL both accept."""

    @abstractmethod
    def _transaction(self, thread: str) -> AbstractContextManager[tuple[Transcript, BaseCheckpointSaver[str]]]:
        """A transaction on a thread: its transcript, and LangGraph's own checkpointer over the same connection."""

    @abstractmethod
    def _keep_latest(self, threads: Sequence[str]) -> None:
        """Delete all checkpoints of each thread but the latest."""

    def _check_tables(self) -> None:
        """Create our tables if they are missing. Raises ValueError if a foreign table has the name of one."""
        for name, table, columns in zip(
            ("transcript", "thread_settings"), (TABLE, SETTINGS_TABLE), COLUMNS, strict=True
        ):
            self._run(table, [])
            try:
                self._run(columns, [])
            except self.failures as error:
                raise ValueError(
                    f"store: {self.place!r} has a table {name!r} that this version of sagechain does not know; "
                    "upgrade sagechain, or name another place"
                ) from error

    def _errors(self) -> AbstractContextManager[None]:
        self._check_open()
        return store_errors(self.place, self.failures)

    def _save(
        self,
        thread: str,
        checkpoints: Sequence[SavedCheckpoint],
        writes: Sequence[SavedWrites],
        removed: Collection[str] = (),
    ) -> None:
        """Save checkpoints, and those of their finished turns that the transcript lacks, in one transaction."""
        with self._errors(), self._transaction(thread) as (transcript, saver):
            transcript.remove_last(thread, removed)
            for each in checkpoints:
                if not each.config["configurable"].get("checkpoint_ns"):
                    transcript.append(thread, _finished_messages(each.checkpoint))
                saver.put(each.config, each.checkpoint, each.metadata, each.new_versions)
            for written in writes:
                saver.put_writes(written.config, written.writes, written.task_id, written.task_path)

    def _delete_decisions(self, thread: str, decisions: Sequence[tuple[str, str, str]]) -> None:
        with self._errors(), self._transaction(thread):
            for address in decisions:
                self._run(DELETE_DECISION.format(self.writes_table), [thread, *address, RESUME])

    # LangGraph's interface

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        # Its turn is that of now: a cancelled one may have ended before a Python thread is free.
        saved = SavedCheckpoint(with_checked_name(config), checkpoint, metadata, new_versions)
        return await asyncio.to_thread(self._put, self._turn_of(saved.config), saved)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        saved = SavedWrites(with_checked_name(config), writes, task_id, task_path)
        await asyncio.to_thread(self._put_writes, self._turn_of(saved.config), saved)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread, its transcript, its settings and its lock file."""
        thread_id = check_name(thread_id)
        self._forget_turn(thread_id)
        with self._errors(), self._transaction(thread_id) as (transcript, saver):
            transcript.delete(thread_id)
            saver.delete_thread(thread_id)
        self.thread_locks.forget(thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete all checkpoints of each thread but the latest; with `strategy="delete"` whole threads, as `delete_thread`.

        Raises:
            ValueError: another strategy.
            NotImplementedError: a thread uses a `DeltaChannel`, whose latest value needs older checkpoints too.
        """
        if strategy == "delete":
            for thread in thread_ids:
                self.delete_thread(thread)
        elif strategy == "keep_latest":
            with self._errors():
                self._keep_latest([check_name(thread) for thread in thread_ids])
        else:
            raise unknown_name("strategy", strategy, ["keep_latest", "delete"])

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's."""
        with self._errors():
            return super().get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """As LangGraph's, but read completely first."""
        with self._errors():
            return super().list(config, filter=filter, before=before, limit=limit)

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """As LangGraph's."""
        with self._errors():
            return super().get_delta_channel_history(config=config, channels=channels)


def _finished_messages(checkpoint: Checkpoint) -> list[BaseMessage]:
    messages = checkpoint["channel_values"].get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, BaseMessage) for message in messages):
        return []
    return finished_turns(messages)
