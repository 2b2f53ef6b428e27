"""Threads in a PostgreSQL database, for any number of processes and machines.

The locks on threads are advisory locks of one connection, the session; the server releases them when the process dies or
the connection breaks. A connection pooler in between must therefore preserve sessions (pgbouncer: `pool_mode = session`).
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any, LiteralString

import psycopg
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row, tuple_row
from psycopg_pool import ConnectionPool
from sagechain.llms import never_delete, renew_in_child

from .base import Store
from .errors import StoreFailed, store_errors
from .locks import ThreadLocks
from .transcripts import Transcript

CONNECT_SECONDS = 10
# Keeps an idle connection in routers' tables, and notices a lost server within a minute.
KEEPALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
CONNECTIONS = 4
SETUP_LOCK = ""  # not the name of a thread
FAILURES = (psycopg.Error,)


class PostgresStore(Store, PostgresSaver):
    """Threads in a PostgreSQL database.

    Args:
        url: as libpq reads it; missing parts come from libpq's own settings (PGUSER, PGPASSWORD, ~/.pgpass …).

    Raises:
        ValueError: a malformed URL, or tables of another program.
        StoreFailed: the server cannot be reached, or refuses.
    """

    failures = FAILURES
    writes_table = "checkpoint_writes"
    thread_locks: "SessionLocks"

    def __init__(self, url: str) -> None:
        self.place = _without_password(url)
        self._url = make_conninfo("", **{**KEEPALIVE, **conninfo_to_dict(url)})
        self.thread_locks = SessionLocks(self.place, self._url)
        with self._errors():
            self._closed, self._pool = False, self._new_pool()
            super().__init__(self._pool)
            renew_in_child(self, PostgresStore._renew)
            try:
                # Processes that created LangGraph's tables at the same time would deadlock.
                with self.thread_locks.lock(SETUP_LOCK):
                    self.setup()
                    self._check_tables()
            except BaseException:
                self.close()
                raise

    def _new_pool(self) -> "Pool":
        return Pool(
            self._url,
            kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
            min_size=1,
            max_size=CONNECTIONS,
            timeout=CONNECT_SECONDS,
            check=Pool.check_connection,
            open=False,
        )

    def _renew(self) -> None:
        """In a forked child: the parent's connections are left alone, and the threads of its pool do not exist."""
        if not self._closed:
            never_delete(self._pool)
            self.lock = threading.Lock()
            self.conn = self._pool = self._new_pool()

    def close(self) -> None:
        """Close all connections and release the remaining locks."""
        self._closed = True
        self._pool.close()
        self.thread_locks.close()

    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._pool.connection() as connection:
            return _rows(connection, statement, values)

    @contextmanager
    def _transaction(self, thread: str) -> Iterator[tuple[Transcript, BaseCheckpointSaver[str]]]:
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_key("append", thread)])
            self.thread_locks.check(thread)
            transcript = Transcript(lambda statement, values: _rows(connection, statement, values))
            yield transcript, PostgresSaver(connection, serde=self.serde)

    def _keep_latest(self, threads: Sequence[str]) -> None:
        PostgresSaver.prune(self, threads)


class Pool(ConnectionPool[psycopg.Connection[DictRow]]):
    """A pool that connects when it is first used: a forked child may never use its own."""

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[psycopg.Connection[DictRow]]:
        """As psycopg's."""
        self.open()
        with super().connection(timeout) as connection:
            yield connection


class SessionLocks(ThreadLocks):
    """Advisory locks of one long-lived connection.

    Args:
        place: the store's address, for messages.
        url: the database.

    Raises:
        StoreFailed: the server cannot be reached, or refuses.
    """

    _session: psycopg.Connection[tuple[Any, ...]] | None

    def __init__(self, place: str, url: str) -> None:
        self._place, self._url, self._closed = place, url, False
        super().__init__()
        with store_errors(place, FAILURES):
            self._session = self._connection()

    def _renew(self) -> None:
        super()._renew()
        # A session may acquire its own lock again, so the locks of this process are recorded here.
        self._acquired: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}
        self._session = None

    def try_acquire(self, thread: str) -> bool:
        """Acquire a thread's lock if it is free; over a new connection if the old one broke."""
        with self._guard, store_errors(self._place, FAILURES):
            if self._closed:
                raise psycopg.OperationalError("the store is closed")
            if thread in self._acquired:
                return False
            session = self._session = self._session or self._connection()
            try:
                acquired = self._select(session, "SELECT pg_try_advisory_lock(%s)", thread)
            except psycopg.OperationalError:
                if self._is_alive(session):
                    raise
                session = self._session = self._connection()
                acquired = self._select(session, "SELECT pg_try_advisory_lock(%s)", thread)
            if acquired:
                self._acquired[thread] = session
            return acquired

    def release(self, thread: str) -> None:
        """Release a thread's lock; if the session broke, the server has released it already."""
        with self._guard:
            if session := self._acquired.pop(thread, None):
                try:
                    self._select(session, "SELECT pg_advisory_unlock(%s)", thread)
                except psycopg.OperationalError:
                    session.close()  # releases its remaining locks

    def check(self, thread: str) -> None:
        """Raise StoreFailed if this process has lost a lock it acquired: another process may have run a turn since."""
        with self._guard:
            session = self._acquired.get(thread)
            if session is not None and not (session is self._session and self._is_alive(session)):
                reason = f"The connection that owned the lock of thread {thread!r} broke; the turn is not saved."
                raise StoreFailed(self._place, reason)

    def close(self) -> None:
        """Release all locks."""
        with self._guard:
            self._closed = True
            self._acquired.clear()
            if self._session is not None:
                self._session.close()

    def _connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_SECONDS)

    def _is_alive(self, session: psycopg.Connection[tuple[Any, ...]]) -> bool:
        with suppress(psycopg.OperationalError):
            session.execute("SELECT 1")
        return not session.closed

    def _select(self, session: psycopg.Connection[tuple[Any, ...]], statement: LiteralString, thread: str) -> bool:
        row = session.execute(statement, [_key("turn", thread)]).fetchone()
        return row is not None and bool(row[0])


def _rows(connection: psycopg.Connection[DictRow], statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(statement.replace("?", "%s").encode(), values)
        return cursor.fetchall() if cursor.description else []


def _key(kind: str, thread: str) -> int:
    """The 64-bit key of an advisory lock."""
    return int.from_bytes(sha256(f"sagechain {kind} {thread}".encode()).digest()[:8], "big", signed=True)


def _without_password(url: str) -> str:
    """The address for messages.

    Raises:
        ValueError: it is malformed, or parsed so that a part of the password may have ended up in another field.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {"host": "@"}
    user, host, port, name = (str(parts.get(part, "")) for part in ("user", "host", "port", "dbname"))
    if "@" in host + name or (not port.replace(",", "0").isdigit() and port):
        # The message contains neither the URL nor the cause, which quotes it.
        raise ValueError(
            "store: the PostgreSQL URL is malformed; write postgresql://USER:PASSWORD@HOST:PORT/NAME, "
            "with %40 for an @ in the password, %2F for a / and so on"
        )
    return f"postgresql://{user}{'@' * bool(user)}{host}{':' * bool(port)}{port}/{name}"
