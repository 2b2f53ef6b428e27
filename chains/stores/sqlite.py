"""Threads in a SQLite file, which may be used by several processes at the same time.

A folder beside the file (`FILE.locks/`) contains a lock file for each thread; the operating system releases a lock when its
process dies.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from sagechain.llms import never_delete, renew_in_child

from .async_in_threads import AsyncInThreads
from .base import Store
from .errors import store_errors
from .locks import ProcessLocks, ThreadLocks
from .transcripts import Transcript

BUSY_SECONDS = 30.0  # how long a statement waits for another process
FAILURES = (sqlite3.Error, OSError)
HEADER = b"SQLite format 3\x00"

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
    writes_table = "writes"

    def __init__(self, file: Path, create: bool) -> None:
        self.place = str(file)
        with self._errors():
            if file.is_dir():
                raise ValueError(f"store: {self.place!r} is not a file")
            if not create and not file.exists():
                raise ValueError(f"store: the file {self.place!r} does not exist")
            # Links to one file share its folder of locks.
            file = file.resolve()
            if file.exists() and not _is_database(file):
                raise ValueError(f"store: {self.place!r} is not a SQLite database")
            locks = Path(f"{file}.locks")
            make_private_file(file)
            locks.mkdir(mode=0o700, exist_ok=True)
            self._open(file, FileLocks(self.place, locks), FileLock(locks / "setup.lock", mode=0o600))

    def _open(self, file: Path, locks: ThreadLocks, setup_lock: AbstractContextManager[Any]) -> None:
        """Connect, and create the tables under a lock."""
        self.thread_locks = locks
        self._file, self._closed = file, False
        super().__init__(self._connection())
        self._make_lock()
        renew_in_child(self, SqliteStore._renew)
        try:
            with setup_lock:
                self.setup()
                self._check_tables()
        except BaseException:
            self.conn.close()
            raise

    def _connection(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, check_same_thread=False, timeout=BUSY_SECONDS)

    def _make_lock(self) -> None:
        # Reentrant, since it is acquired around LangGraph's statements, which may run inside a statement of this class.
        self.lock = cast(threading.Lock, threading.RLock())

    def _renew(self) -> None:
        """In a forked child: SQLite's connections belong to the process that made them."""
        if self._closed:
            return
        if self.lock.acquire(blocking=False):
            self.conn.close()  # else its locks on the file would be counted as the child's
        else:
            never_delete(self.conn)  # a thread of the parent's was in it
        self._make_lock()
        self.conn = self._connection()

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
        self._closed = True
        self.conn.close()
        self.thread_locks.close()

    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self.lock, closing(self.conn.execute(statement, values)) as cursor:
            return cursor.fetchall()

    @contextmanager
    def _transaction(self, thread: str) -> Iterator[tuple[Transcript, BaseCheckpointSaver[str]]]:
        with self.cursor():
            yield Transcript(self._run), super(AsyncInThreads, self)  # type: ignore[misc]

    def _keep_latest(self, threads: Sequence[str]) -> None:
        for thread in threads:
            with self._transaction(thread):
                if self._run(USES_DELTA, [thread]):
                    raise NotImplementedError(
                        f"thread {thread!r} uses a DeltaChannel: its older checkpoints are needed"
                    )
                for statement in KEEP_LATEST:
                    self._run(statement, [thread])


class MemoryStore(SqliteStore):
    """Threads in this process's memory, for as long as the store is open; a forked child has none of them."""

    def __init__(self) -> None:
        self.place = ":memory:"
        self._open(Path(":memory:"), ProcessLocks(), nullcontext())


def _is_database(file: Path) -> bool:
    """Whether SQLite would open it; an empty file is an empty database."""
    with file.open("rb") as opened:
        return opened.read(len(HEADER)) in (HEADER, b"")


def make_private_file(file: Path) -> None:
    """Create a file and its folders, readable by their owner only; those that exist stay as they are."""
    for folder in reversed([each for each in file.parents if not each.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    if not file.exists():
        file.touch(mode=0o600)


class FileLocks(ThreadLocks):
    """Lock files.

    Args:
        place: the store's address, for messages.
        folder: the folder of the lock files.
    """

    def __init__(self, place: str, folder: Path) -> None:
        super().__init__()
        self._place, self._folder = place, folder

    def _renew(self) -> None:
        super()._renew()
        self._acquired: dict[str, FileLock] = {}  # filelock's own fork handler leaves the parent's locks as they are

    def try_acquire(self, thread: str) -> bool:
        """Acquire a thread's lock if it is free."""
        # Not thread-local: an async turn may end in another Python thread than it started in.
        lock = FileLock(self._file(thread), mode=0o600, thread_local=False)
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

    def forget(self, thread: str) -> None:
        """Delete a thread's lock file, unless another turn of it has begun."""
        is_acquired = thread in self._acquired
        if not is_acquired and not self.try_acquire(thread):
            return
        # While it is locked: filelock 4.2 acquires no file that is deleted meanwhile. Windows deletes no open file.
        with suppress(PermissionError):
            self._file(thread).unlink(missing_ok=True)
        if not is_acquired:
            self.release(thread)

    def _file(self, thread: str) -> Path:
        return self._folder / f"{sha256(thread.encode()).hexdigest()[:32]}.lock"

    def close(self) -> None:
        """Release all locks."""
        for thread in list(self._acquired):
            self.release(thread)
