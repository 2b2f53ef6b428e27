"""Threads in a PostgreSQL database, for any number of processes and machines.

The turns of a thread are advisory locks of a session, which the server gives back when a process dies or its connection
breaks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from typing import Any, LiteralString

import psycopg
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row, tuple_row
from psycopg_pool import ConnectionPool
from sagechain.chains.stores import Store
from sagechain.chains.transcripts import TABLE, Transcript

CONNECT_SECONDS = 10
CONNECTIONS = 4
SETUP = ""  # no thread's name


class PostgresStore(Store, PostgresSaver):
    """Threads in a PostgreSQL database.

    Args:
        url: as libpq reads it; what it lacks comes from libpq's own settings (PGUSER, PGPASSWORD, ~/.pgpass …).

    Raises:
        ValueError: a malformed URL.
        StoreFailed: the server cannot be reached, or refuses.
    """

    failures = (psycopg.Error,)

    def __init__(self, url: str) -> None:
        self.place, self._url = _without_password(url), url
        with self._telling():
            self._session = self._connection()
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
                with self.turn(SETUP):
                    self.setup()
                    self._run(TABLE, [])
            except BaseException:
                self.close()
                raise

    def take_turn(self, thread: str) -> bool:
        """Take a thread's one turn among processes, if it is free."""
        with self._telling():
            try:
                return self._asked("SELECT pg_try_advisory_lock(%s)", thread)
            except psycopg.OperationalError:
                if not self._session.closed:
                    raise
                self._session = self._connection()
                return self._asked("SELECT pg_try_advisory_lock(%s)", thread)

    def end_turn(self, thread: str) -> None:
        """Give a thread's turn back; where the session broke it has gone back already."""
        if not self._session.closed:
            with self._telling():
                self._asked("SELECT pg_advisory_unlock(%s)", thread)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As LangGraph's: keep the latest checkpoint of each thread only."""
        with self._telling():
            super().prune(thread_ids, strategy=strategy)

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()
        self._session.close()

    def _connection(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_SECONDS)

    def _asked(self, statement: LiteralString, thread: str) -> bool:
        row = self._session.execute(statement, [_key("turn", thread)]).fetchone()
        return row is not None and bool(row[0])

    def _run(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with self._pool.connection() as connection:
            return _rows(connection, statement, values)

    @contextmanager
    def _transaction(self, thread: str) -> Iterator[tuple[Transcript, BaseCheckpointSaver[str]]]:
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_key("append", thread)])
            transcript = Transcript(lambda statement, values: _rows(connection, statement, values))
            yield transcript, PostgresSaver(connection, serde=self.serde)


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
