"""Where threads are kept: one door to SQLite files and PostgreSQL databases.

    with open_store("talks.sqlite") as store:                     # or "postgresql://me@host/talks"
        graph = conversation(model, checkpointer=store)           # or any other LangGraph graph
        graph.invoke({"messages": [("human", "Hi")]}, {"configurable": {"thread_id": "ada"}})
        store.threads()                                           # [ThreadInfo(name="ada", turns=1, …)]

A store is a checkpointer of LangGraph's, for `invoke` and `ainvoke` alike, that writes beside each checkpoint, in one
transaction with it, what the turn has added to the thread's transcript (`transcripts.py`). It also lets the turns of a
thread follow one another across processes (`thread_turns.py`). What differs between the databases is `sqlite_store.py`'s
and `postgres_store.py`'s.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
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
from sagechain.llms.errors import ConnectionFailed, MissingExtra
from sagechain.prompts import unknown_name

from ..conversations.turns import finished
from .async_in_threads import AsyncInThreads
from .locks import ThreadTurns
from .transcripts import COLUMNS, TABLE, Entry, ThreadInfo, Transcript

NOT_IN_TRANSCRIPT = """
SELECT DISTINCT thread_id FROM checkpoints
WHERE checkpoint_ns = '' AND NOT EXISTS (SELECT 1 FROM transcript WHERE transcript.thread = checkpoints.thread_id)"""


class StoreFailed(ConnectionFailed):
    """The database that keeps the threads cannot be reached, or refuses."""

    advice = "Check its address, that it can be reached, and that you may write there."


@contextmanager
def telling(place: str, failures: tuple[type[Exception], ...]) -> Iterator[None]:
    """What a database's library raises becomes a `StoreFailed`, in one line."""
    try:
        yield
    except failures as error:
        told = " ".join(str(error).split())
        raise StoreFailed(place, told if told.endswith((".", "?", "!")) else f"{told}.") from error


def check_name(thread: str) -> None:
    """Raises ValueError where a thread's name is one that a database cannot keep."""
    if not thread or any(character == "\x00" or "\ud800" <= character <= "\udfff" for character in thread):
        raise ValueError(f"thread: {thread!r} is no name; give one or more characters, no NUL and no broken Unicode")


def open_store(place: str | Path, *, create: bool = True) -> "Store":
    """The store at a place, to be closed, or used as a context manager.

    Args:
        place: a SQLite file, also as `sqlite:///FILE`, or a PostgreSQL database, `postgresql://USER:PASSWORD@HOST:PORT/NAME`
            (the extra `postgres`). Tables are made where they are missing.
        create: make the file and its folder where they are missing; a database must be there.

    Raises:
        ValueError: another scheme, a malformed URL, a file that is no SQLite database or is missing, tables that are of
            another program or a later version; no password is told.
        MissingExtra: the `postgres` extra is not installed.
        StoreFailed: the server or the file cannot be reached, or refuses.
    """
    scheme, is_url, rest = str(place).partition("://")
    if is_url and scheme in ("postgresql", "postgres"):
        try:
            from .postgres import PostgresStore
        except ImportError as error:
            raise MissingExtra("PostgreSQL", "postgres") from error
        return PostgresStore(str(place))
    if is_url and scheme != "sqlite":
        raise unknown_name("store: scheme", scheme, ["postgresql", "sqlite"])
    if is_url and not (rest.startswith("/") and rest[1:]):
        raise ValueError(f"store: {place!r} names no file; write sqlite:///FILE, or sqlite:////FOLDER/FILE")
    from .sqlite import SqliteStore

    return SqliteStore(Path(rest[1:] if is_url else place), create)


class Store(AsyncInThreads):
    """A checkpointer with a transcript, made by `open_store`; usable from several threads and in any event loop.

    Whatever fails in the database is a `StoreFailed`.
    """

    place: str
    """Where it is, without a password."""
    failures: ClassVar[tuple[type[Exception], ...]]
    """What the database's library raises."""
    turns: ThreadTurns

    def threads(self) -> list[ThreadInfo]:
        """All threads, that which was talked in last first; also those that were begun with a plain checkpointer."""
        with self._telling():
            for [name] in self._run(NOT_IN_TRANSCRIPT, []):
                saved = self.get_tuple({"configurable": {"thread_id": name, "checkpoint_ns": ""}})
                if saved and (said := _finished_of(saved.checkpoint)):
                    with self._transaction(name) as (transcript, _):
                        transcript.append(name, said)
            return Transcript(self._run).threads()

    def transcript(self, thread: str, *, after: int = -1, most: int | None = None) -> list[Entry]:
        """The messages of a thread, oldest first; none where there is no such thread.

        Args:
            thread: its name.
            after: only what stands behind this position, so that a long thread can be read piece by piece.
            most: how many at most; all if not given.
        """
        with self._telling():
            return Transcript(self._run).entries(thread, after, most)

    def turn(self, thread: str) -> AbstractContextManager[None]:
        """A turn of a thread, once no other process, thread or task has one."""
        check_name(thread)
        return self.turns.held(thread)

    def aturn(self, thread: str) -> AbstractAsyncContextManager[None]:
        """As `turn`."""
        check_name(thread)
        return self.turns.aheld(thread)

    @abstractmethod
    def close(self) -> None:
        """Close the database."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run one statement, of SQLite's and PostgreSQL's alike, and give its rows."""

    @abstractmethod
    def _transaction(self, thread: str) -> AbstractContextManager[tuple[Transcript, BaseCheckpointSaver[str]]]:
        """A transaction that adds to a thread: the transcript and LangGraph's own checkpointer inside it."""

    @abstractmethod
    def _keep_latest(self, threads: Sequence[str]) -> None:
        """Delete all checkpoints of threads but the latest."""

    def _check_tables(self) -> None:
        """Make the transcript's table where it is missing. Raises ValueError where there is another of that name."""
        self._run(TABLE, [])
        try:
            self._run(COLUMNS, [])
        except self.failures as error:
            raise ValueError(
                f"store: {self.place!r} has a table 'transcript' that this version of sagechain does not know; "
                "upgrade sagechain, or name another place"
            ) from error

    def _telling(self) -> AbstractContextManager[None]:
        return telling(self.place, self.failures)

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

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each thread only; with `strategy="delete"` forget them, as `delete_thread`.

        Raises:
            ValueError: another strategy.
            NotImplementedError: a thread uses a `DeltaChannel`, whose latest value needs the older checkpoints too.
        """
        if strategy == "delete":
            for thread in thread_ids:
                self.delete_thread(thread)
        elif strategy == "keep_latest":
            with self._telling():
                self._keep_latest([str(thread) for thread in thread_ids])
        else:
            raise unknown_name("strategy", strategy, ["keep_latest", "delete"])

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
        """As LangGraph's, but nothing is held while it is read: others may write meanwhile, the reader too."""
        with self._telling():
            found = tuple(super().list(config, filter=filter, before=before, limit=limit))
        yield from found

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


def _finished_of(checkpoint: Checkpoint) -> list[BaseMessage]:
    messages = checkpoint["channel_values"].get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, BaseMessage) for message in messages):
        return []
    return finished(messages)
