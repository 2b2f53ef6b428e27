"""Threads in a SQLite file, which may be used by several processes at once.

Beside the file stands a folder of lock files, one a thread (`FILE.locks/`): who has the lock has the thread's turn. The
operating system gives it back when a process dies.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver

from .base import Store, telling
from .locks import ThreadTurns
from .transcripts import Transcript

BUSY_SECONDS = 30.0  # how long a statement waits for another process's
FAILURES = (sqlite3.Error, OSError)

# As langgraph-checkpoint-postgres' own; langgraph-checkpoint-sqlite 3.1 has none.
USES_DELTA = """
SELECT 1 FROM checkpoints
WHERE thread_id = ? AND INSTR(CAST(metadata AS TEXT), '"counters_since_delta_snapshot"') LIMIT 1"""
KEEP_LATEST = (
    """DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_id < (
        SELECT MAX(latest.checkpoint_id) FROM checkpoints latest
        WHERE latest.thread_id = checkpoints.thread_id AND latest.checkpoint_ns = checkpoints.checkpoint_ns)""",
    """DELETE FROM writes WHERE thread_id = ? AND NOT EXISTS (
        SELECT 1 FROM checkpoints kept WHERE kept.thread_id = writes.thread_id
        AND kept.checkpoint_ns = writes.checkpoint_ns AND kept.checkpoint_id = writes.checkpoint_id)""",
)


class SqliteStore(Store, SqliteSaver):
    """Threads in a SQLite file, in write-ahead mode, which only its owner may read.

    Args:
        file: the database, on a disk of this machine.
        create: make the file and its folder where they are missing.

    Raises:
        ValueError: the file is missing, or no SQLite database, or its tables are not ours.
        StoreFailed: it cannot be opened.
    """

    failures = FAILURES
    turns: "FileTurns"

    def __init__(self, file: Path, create: bool) -> None:
        self.place = str(file)
        if self.place == ":memory:" or file.is_dir():
            raise ValueError(f"store: {self.place!r} is no file")
        if not create and not file.exists():
            raise ValueError(f"store: there is no file {self.place!r}")
        with self._telling():
            # One file has one folder of locks, by whatever links it is come to.
            file = file.resolve()
            locks = Path(f"{file}.locks")
            locks.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.touch(mode=0o600)
            self.turns = FileTurns(self.place, locks)
            super().__init__(sqlite3.connect(file, check_same_thread=False, timeout=BUSY_SECONDS))
            # Held around LangGraph's own statements and ours, so it must be one that is taken twice.
            self.lock = cast(threading.Lock, threading.RLock())
            try:
                with FileLock(locks / "setup.lock"):
                    self.setup()
                    self._check_tables()
            except sqlite3.DatabaseError as error:
                self.conn.close()
                if getattr(error, "sqlite_errorname", None) != "SQLITE_NOTADB":
                    raise
                raise ValueError(f"store: {self.place!r} is no SQLite database of threads: {error}") from error
            except BaseException:
                self.conn.close()
                raise

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """As LangGraph's, which commits what it has done before it failed, and what others began: neither is done here."""
        with self.lock, closing(self.conn.cursor()) as cursor:
            if not transaction or self.conn.in_transaction:
                yield cursor
                return
            cursor.execute("BEGIN IMMEDIATE")
            with self.conn:  # commits, or undoes all
                yield cursor

    def close(self) -> None:
        """Close the file; turns that are still taken are given back."""
        self.conn.close()
        self.turns.close()

    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.lock, closing(self.conn.execute(statement, values)) as cursor:
            return cursor.fetchall()

    @contextmanager
    def _transaction(self, thread: str) -> Iterator[tuple[Transcript, BaseCheckpointSaver[str]]]:
        with self.cursor():
            yield Transcript(self._run), super(Store, self)  # type: ignore[misc]

    def _keep_latest(self, threads: Sequence[str]) -> None:
        for thread in threads:
            with self._transaction(thread):
                if self._run(USES_DELTA, [thread]):
                    raise NotImplementedError(
                        f"thread {thread!r} uses a DeltaChannel: its older checkpoints are needed"
                    )
                for statement in KEEP_LATEST:
                    self._run(statement, [thread])


class FileTurns(ThreadTurns):
    """Turns as lock files.

    Args:
        place: the store, for people.
        folder: where they are.
    """

    def __init__(self, place: str, folder: Path) -> None:
        super().__init__()
        self._place, self._folder = place, folder
        self._held: dict[str, FileLock] = {}

    def take(self, thread: str) -> bool:
        """Take a thread's one turn, if it is free."""
        # Not bound to a thread: an async turn may end in another one than it began in.
        file = self._folder / f"{sha256(thread.encode()).hexdigest()[:32]}.lock"
        lock = FileLock(file, thread_local=False)
        with telling(self._place, FAILURES):
            try:
                lock.acquire(blocking=False)
            except Timeout:
                return False
        self._held[thread] = lock
        return True

    def end(self, thread: str) -> None:
        """Give a thread's turn back."""
        if lock := self._held.pop(thread, None):
            lock.release()

    def close(self) -> None:
        """Give all turns back."""
        for thread in list(self._held):
            self.end(thread)
