"""Threads in a PostgreSQL database, for any number of processes and machines.

The turns of a thread are advisory locks of one connection, the session, which the server gives back when a process dies or
the connection breaks. So a pooler between the two has to keep sessions (pgbouncer: `pool_mode = session`).
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

from .base import Store, StoreFailed, telling
from .locks import ThreadTurns
from .transcripts import Transcript

CONNECT_SECONDS = 10
# So that no router forgets a connection that waits for the next turn, and a server that is gone is noticed in a minute.
ALIVE = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
CONNECTIONS = 4
SETUP = ""  # no thread's name
FAILURES = (psycopg.Error,)


class PostgresStore(Store, PostgresSaver):
    """Threads in a PostgreSQL database.

    Args:
        url: as libpq reads it; what it lacks comes from libpq's own settings (PGUSER, PGPASSWORD, ~/.pgpass …).

    Raises:
        ValueError: a malformed URL, or tables that are not ours.
        StoreFailed: the server cannot be reached, or refuses.
    """

    failures = FAILURES
    turns: "SessionTurns"

    def __init__(self, url: str) -> None:
        self.place = _without_password(url)
        url = make_conninfo("", **{**ALIVE, **conninfo_to_dict(url)})
        self.turns = SessionTurns(self.place, url)
        with self._telling():
            self._pool = ConnectionPool[psycopg.Connection[DictRow]](
                url,
                kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
                min_size=1,
                max_size=CONNECTIONS,
                timeout=CONNECT_SECONDS,
                check=ConnectionPool.check_connection,
                open=True,
            )
            super().__init__(self._pool)
            try:
                # Processes that made LangGraph's tables at once would wait for one another for ever.
                with self.turns.held(SETUP):
                    self.setup()
                    self._check_tables()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close all connections; turns that are still taken are given back."""
        self._pool.close()
        self.turns.close()

    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._pool.connection() as connection:
            return _rows(connection, statement, values)

    @contextmanager
    def _transaction(self, thread: str) -> Iterator[tuple[Transcript, BaseCheckpointSaver[str]]]:
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_key("append", thread)])
            self.turns.check(thread)
            transcript = Transcript(lambda statement, values: _rows(connection, statement, values))
            yield transcript, PostgresSaver(connection, serde=self.serde)

    def _keep_latest(self, threads: Sequence[str]) -> None:
        PostgresSaver.prune(self, threads)


class SessionTurns(ThreadTurns):
    """Turns as advisory locks of a connection that is kept.

    Args:
        place: the store, for people.
        url: the database.

    Raises:
        StoreFailed: the server cannot be reached, or refuses.
    """

    def __init__(self, place: str, url: str) -> None:
        super().__init__()
        self._place, self._url, self._closed = place, url, False
        # A session gives the same lock to itself again and again, so who holds what in this process is kept here.
        self._held: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}
        self._lock = threading.Lock()
        with telling(place, FAILURES):
            self._session = self._connection()

    def take(self, thread: str) -> bool:
        """Take a thread's one turn, if it is free; over a new connection where the old one broke."""
        with self._lock, telling(self._place, FAILURES):
            if self._closed:
                raise psycopg.OperationalError("the store is closed")
            if thread in self._held:
                return False
            try:
                taken = self._asked(self._session, "SELECT pg_try_advisory_lock(%s)", thread)
            except psycopg.OperationalError:
                if self._answers():
                    raise
                self._session = self._connection()
                taken = self._asked(self._session, "SELECT pg_try_advisory_lock(%s)", thread)
            if taken:
                self._held[thread] = self._session
            return taken

    def end(self, thread: str) -> None:
        """Give a thread's turn back; where the session broke it has gone back already."""
        with self._lock:
            if session := self._held.pop(thread, None):
                try:
                    self._asked(session, "SELECT pg_advisory_unlock(%s)", thread)
                except psycopg.OperationalError:
                    session.close()  # whatever it still has goes back

    def check(self, thread: str) -> None:
        """Raises StoreFailed where this process had a thread's turn and has lost it: another may have had one since."""
        with self._lock:
            if thread in self._held and not (self._held[thread] is self._session and self._answers()):
                what = f"The connection that held the turn of thread {thread!r} broke; the turn is not saved."
                raise StoreFailed(self._place, what)

    def close(self) -> None:
        """Give all turns back."""
        with self._lock:
            self._closed = True
            self._held.clear()
            self._session.close()

    def _connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_SECONDS)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            self._session.execute("SELECT 1")
        return not self._session.closed

    def _asked(self, session: psycopg.Connection[tuple[Any, ...]], statement: LiteralString, thread: str) -> bool:
        row = session.execute(statement, [_key("turn", thread)]).fetchone()
        return row is not None and bool(row[0])


def _rows(connection: psycopg.Connection[DictRow], statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor(row_factory=tuple_row) as cursor:
        cursor.execute(statement.replace("?", "%s").encode(), values)
        return cursor.fetchall() if cursor.description else []


def _key(kind: str, thread: str) -> int:
    """What an advisory lock goes by: 64 bits."""
    return int.from_bytes(sha256(f"sagechain {kind} {thread}".encode()).digest()[:8], "big", signed=True)


def _without_password(url: str) -> str:
    """The address for people.

    Raises:
        ValueError: it is malformed, or has been read so that a part of its password may have become something else.
    """
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {"host": "@"}
    user, host, port, name = (str(parts.get(part, "")) for part in ("user", "host", "port", "dbname"))
    if "@" in host + name or (not port.replace(",", "0").isdigit() and port):
        # Neither the URL nor the cause, which quotes it.
        raise ValueError(
            "store: the PostgreSQL URL is malformed; write postgresql://USER:PASSWORD@HOST:PORT/NAME, "
            "with %40 for an @ in the password, %2F for a / and so on"
        )
    return f"postgresql://{user}{'@' * bool(user)}{host}{':' * bool(port)}{port}/{name}"
