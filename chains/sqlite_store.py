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
from sagechain.chains.stores import Store
from sagechain.chains.transcripts import TABLE, Transcript

BUSY_SECONDS = 30.0  # how long a statement waits for another process's

# As langgraph-checkpoint-postgres' own; langgraph-checkpoint-sqlite 3.1 has none.
KEEP_LATEST = (
    """DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_id < (
        SELECT MAX(latest.checkpoint_id) FROM checkpoints latest
        WHERE latest.thread_id = checkpoints.thread_id AND latest.checkpoint_ns = checkpoints.checkpoint_ns)""",
    """DELETE FROM writes WHERE thread_id = ? AND NOT EXISTS (
        SELECT 1 FROM checkpoints kept WHERE kept.thread_id = writes.thread_id
        AND kept.checkpoint_ns = writes.checkpoint_ns AND kept.checkpoint_id = writes.checkpoint_id)""",
)


class SqliteStore(Store, SqliteSaver):
    """Threads in a SQLite file, in write-ahead mode.

    Args:
        file: the database.
        create: make the file and its folder where they are missing.

    Raises:
        ValueError: the file is missing, or no SQLite database.
    """

    failures = (sqlite3.Error,)

    def __init__(self, file: Path, create: bool) -> None:
        if not create and not file.exists():
            raise ValueError(f"store: there is no file {str(file)!r}")
        self.place = str(file)
        self._locks = Path(f"{file.absolute()}.locks")
        self._locks.mkdir(parents=True, exist_ok=True)
        self._turns: dict[str, FileLock] = {}
        try:
            super().__init__(sqlite3.connect(file, check_same_thread=False, timeout=BUSY_SECONDS))
        except sqlite3.Error as error:
            raise ValueError(f"store: {self.place!r} cannot be opened: {error}") from error
        # Held around LangGraph's own statements and ours, so it must be one that is taken twice.
        self.lock = cast(threading.Lock, threading.RLock())
        try:
            with FileLock(self._locks / "setup.lock"):
                self.setup()
                self.conn.execute(TABLE)
        except sqlite3.Error as error:
            self.conn.close()
            raise ValueError(f"store: {self.place!r} is no SQLite database of threads: {error}") from error

    def take_turn(self, thread: str) -> bool:
        """Take a thread's one turn among processes, if it is free."""
        # Not bound to a thread: an async turn may end in another one than it began in.
        lock = FileLock(self._lock_file(thread), thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        self._turns[thread] = lock
        return True

    def end_turn(self, thread: str) -> None:
        """Give a thread's turn back."""
        self._turns.pop(thread).release()

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Keep the latest checkpoint of each thread only; threads that use a `DeltaChannel` need the older ones too."""
        if strategy != "keep_latest":
            raise ValueError(f"strategy: {strategy!r} is unknown; give 'keep_latest', or use delete_thread")
        for thread in thread_ids:
            with self._telling(), self._transaction(thread):
                for statement in KEEP_LATEST:
                    self.conn.execute(statement, [thread])

    def close(self) -> None:
        """Close the file."""
        self.conn.close()

    def _lock_file(self, thread: str) -> Path:
        return self._locks / f"{sha256(thread.encode()).hexdigest()[:32]}.lock"

    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.lock, closing(self.conn.execute(statement, values)) as cursor:
            return cursor.fetchall()

    @contextmanager
    def _transaction(self, thread: str) -> Iterator[tuple[Transcript, BaseCheckpointSaver[str]]]:
        """LangGraph's own statement commits what came before it in the block, so it must be the last."""
        with self.lock:
            self.conn.execute("BEGIN IMMEDIATE")
            try:
                yield Transcript(self._run), super(Store, self)  # type: ignore[misc]
            except BaseException:
                self.conn.rollback()
                raise
            self.conn.commit()
