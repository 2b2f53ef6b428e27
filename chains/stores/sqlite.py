"""Threads in a SQLite file, which may be used by several processes at the same time.

A folder beside the file (`FILE.locks/`) contains a lock file for each thread; the operating system releases a lock when its
process dies.
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

from .base import Store
from .errors import store_errors
from .locks import ThreadLocks
from .transcripts import Transcript

BUSY_SECONDS = 30.0  # how long a statement waits for another process
FAILURES = (sqlite3.Error, OSError)

# The same statements as in langgraph-checkpoint-postgres; langgraph-checkpoint-sqlite 3.1 has no `prune`.
USES_DELTA = """
SELECT 1 FROM checkpoints
WHERE thread_id = ? AND INSTR(CAST(metadata AS TEXT), '"counters_since_delta_snapshot"') LIMIT 1"""
KEEP_LATEST = (
    """DELETE FROM checkpoints WHERE thread_id = ? AND checkpoint_id < (
        SELECT MAX(latest.checkpoint_id) FROM checkpoints latest
        WHERE latest.thread_id = checkpoints.thread_id AND latest.checkpoint_ns = checkpoints.checkpoint_ns)""",
    """DELETE FROM writes WHERE thread_id = ? AND NOT EXISTS (
        SELECT 1 FROM checkpoints latest WHERE latest.thread_id = writes.thread_id
        AND latest.checkpoint_ns = writes.checkpoint_ns AND latest.checkpoint_id = writes.checkpoint_id)""",
)


class SqliteStore(Store, SqliteSaver):
    """Threads in a SQLite file in write-ahead mode, readable by its owner only.

    Args:
        file: the database, on a disk of this machine.
        create: create the file and its folder if they are missing.

    Raises:
        ValueError: the file is missing or not a SQLite database, or its tables are of another program.
        StoreFailed: it cannot be opened.
    """

    failures = FAILURES
    thread_locks: "FileLocks"

    def __init__(self, file: Path, create: bool) -> None:
        self.place = str(file)
        if self.place == ":memory:" or file.is_dir():
            raise ValueError(f"store: {self.place!r} is not a file")
        if not create and not file.exists():
            raise ValueError(f"store: the file {self.place!r} does not exist")
        with self._errors():
            # Links to one file share its folder of locks.
            file = file.resolve()
            locks = Path(f"{file}.locks")
            locks.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                file.touch(mode=0o600)
            self.thread_locks = FileLocks(self.place, locks)
            super().__init__(sqlite3.connect(file, check_same_thread=False, timeout=BUSY_SECONDS))
            # Reentrant, since it is acquired around LangGraph's statements, which may run inside a statement of this class.
            self.lock = cast(threading.Lock, threading.RLock())
            try:
                with FileLock(locks / "setup.lock"):
                    self.setup()
                    self._check_tables()
            except sqlite3.DatabaseError as error:
                self.conn.close()
                if getattr(error, "sqlite_errorname", None) != "SQLITE_NOTADB":
                    raise
                raise ValueError(f"store: {self.place!r} is not a SQLite database of threads: {error}") from error
            except BaseException:
                self.conn.close()
                raise

    @contextmanager
    def cursor(self, transaction: bool = True) -> Iterator[sqlite3.Cursor]:
        """As LangGraph's, but a failed transaction is rolled back as a whole, and an outer one is not committed."""
        with self.lock, closing(self.conn.cursor()) as cursor:
            if not transaction or self.conn.in_transaction:
                yield cursor
                return
            cursor.execute("BEGIN IMMEDIATE")
            with self.conn:  # commits, or rolls back
                yield cursor

    def close(self) -> None:
        """Close the file and release the remaining locks."""
        self.conn.close()
        self.thread_locks.close()

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


class FileLocks(ThreadLocks):
    """Lock files.

    Args:
        place: the store's address, for messages.
        folder: the folder of the lock files.
    """

    def __init__(self, place: str, folder: Path) -> None:
        super().__init__()
        self._place, self._folder = place, folder
        self._acquired: dict[str, FileLock] = {}

    def try_acquire(self, thread: str) -> bool:
        """Acquire a thread's lock if it is free."""
        # Not thread-local: an async turn may end in another Python thread than it started in.
        file = self._folder / f"{sha256(thread.encode()).hexdigest()[:32]}.lock"
        lock = FileLock(file, thread_local=False)
        with store_errors(self._place, FAILURES):
            try:
                lock.acquire(blocking=False)
            except Timeout:
                return False
        self._acquired[thread] = lock
        return True

    def release(self, thread: str) -> None:
        """Release a thread's lock."""
        if lock := self._acquired.pop(thread, None):
            lock.release()

    def close(self) -> None:
        """Release all locks."""
        for thread in list(self._acquired):
            self.release(thread)
