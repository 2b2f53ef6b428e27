"""The connection under one call of boto3's: bounded by one deadline, and shut from any thread at any moment.

boto3 shows a connection only once a reply's headers have come, and gives each read a time limit of its own. So a call that
waits could not be cancelled, and one that dribbles would never end. Here urllib3's connection pools tell the call which
socket carries it, from before the request goes out until the connection is back in the pool:

    watch(client)
    with Line(Deadline(70)) as line:   # everything that this thread sends is on the line
        client.invoke_endpoint(…)      # … line.shut() from another thread ends it
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token
from functools import partial
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from urllib3.util import Timeout

READ_BYTES = 65_536
WATCH_SECONDS = 0.2  # how late the end of a deadline may be seen while a reply's headers dribble
IDLE_SECONDS = 5.0  # how long the watching thread stays with nothing to watch
DRAIN_SECONDS = 0.25  # how long a reply that is complete may take to end, so that its connection can serve again


class Deadline:
    """So many seconds from its making on, or from the last `restart`.

    Args:
        clock: seconds from any start, never going back.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self.restart()

    def restart(self) -> None:
        """Give the whole time again."""
        self._end = self._clock() + self.seconds

    def left(self) -> float:
        """Seconds that are left; 0 when it is over."""
        return max(0.0, self._end - self._clock())


class Line:
    """What carries one attempt of a call. A context manager: what its thread sends inside goes over it."""

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.is_shut = self.overdue = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self._token: Token[Line | None] = _calling.set(self)
        _watched.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _watched.discard(self)
        _calling.reset(self._token)

    def shut_if_overdue(self) -> None:
        """End what is being sent or read, once the deadline is over."""
        if not self.deadline.left():
            self.overdue = True
            self.shut()

    def hold(self, connection: Any) -> None:
        """Take the connection that is about to send. Raises ConnectionAbortedError on a line that is shut."""
        with self._lock:
            if self.is_shut:
                connection.close()
                raise ConnectionAbortedError("the call was given up")
            _lines[connection] = self
            # A replayed cassette has no real socket.
            self._socket = connection.sock if isinstance(connection.sock, socket.socket) else None

    def drop(self) -> None:
        """Let the connection go: another call may have it now."""
        with self._lock:
            self._socket = None

    def shut(self) -> None:
        """End what is being sent or read, now; nothing more goes out. Any thread may shut, at any time, also twice."""
        with self._lock:
            self.is_shut = True
            if self._socket is not None:
                try:
                    # Not SSLSocket's own, which takes the decoder from under a thread that reads.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:
                    self._socket = None  # the other side was faster

    def limited(self, seconds: float | None) -> float:
        """Seconds that the next step may take: no more than `seconds`. Raises TimeoutError when the deadline is over."""
        left = self.deadline.left()
        if not left:
            raise TimeoutError("the deadline of the call is over")
        return left if seconds is None else min(left, seconds)

    def read(self, reply: Any) -> Iterator[bytes]:
        """The bytes of a reply's body as they arrive. Raises EOFError where it is shorter than its declared length."""
        while data := self._read(reply, None):
            yield data
        if reply.length_remaining not in (0, None):
            raise EOFError(f"{reply.length_remaining} bytes of the reply are missing.")

    def drain(self, reply: Any) -> None:
        """Read on to the end of a reply that says all, if that comes soon; else the connection is of no more use."""
        while self._read(reply, DRAIN_SECONDS):
            continue

    def _read(self, reply: Any, seconds: float | None) -> bytes:
        with self._lock:
            if self._socket is not None:
                wanted, now = self.limited(seconds), self._socket.gettimeout()
                # Each change is a system call; a twentieth more is near enough.
                if now is None or now > wanted * 1.05:
                    self._socket.settimeout(wanted)
        data: bytes = reply.read1(READ_BYTES)
        return data


def watch(client: Any) -> None:
    """Let the connections of a boto3 client tell their calls of themselves. Done twice, it is done once."""
    client.meta.events.register_first(
        "needs-retry.sagemaker-runtime", partial(_no_retry, client), unique_id="sagechain"
    )
    session = client._endpoint.http_session
    if session._pool_classes_by_scheme is _POOLS:
        return
    session._pool_classes_by_scheme = _POOLS
    for manager in (session._manager, *session._proxy_managers.values()):
        manager.pool_classes_by_scheme = _POOLS
        manager.clear()  # idle connections only; those in use go on


def _no_retry(client: Any, response: Any = None, caught_exception: Any = None, operation: Any = None, **_: Any) -> None:
    """botocore's own retries, of which a client that is given has some, would repeat a generation that is being billed."""
    if _calling.get() is None:
        return
    if caught_exception is not None:
        raise caught_exception
    http, parsed = response
    if http.status_code >= 300:
        raise client.exceptions.from_code(parsed.get("Error", {}).get("Code"))(parsed, operation.name)


class _Watch:
    """Shuts lines whose replies do not begin in time: a socket's own limit begins anew with every byte of the headers."""

    def __init__(self) -> None:
        self._lines: set[Line] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, line: Line) -> None:
        """Watch a line."""
        with self._lock:
            self._lines.add(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sagechain-deadlines", daemon=True)
                self._thread.start()

    def discard(self, line: Line) -> None:
        """Watch it no longer."""
        with self._lock:
            self._lines.discard(line)

    def _run(self) -> None:
        idle = 0.0
        while True:
            time.sleep(WATCH_SECONDS)
            with self._lock:
                idle = 0 if self._lines else idle + WATCH_SECONDS
                if idle > IDLE_SECONDS:
                    self._thread = None
                    return
                lines = tuple(self._lines)
            for line in lines:
                line.shut_if_overdue()


class _TellingPool:
    """Tells the line of the thread that sends which connection it got, and keeps to the line's deadline."""

    def _make_request(self, conn: Any, method: str, url: str, **settings: Any) -> Any:
        line = _calling.get()
        if line is not None:
            given = settings["timeout"]
            settings["timeout"] = Timeout(
                connect=line.limited(given.connect_timeout), read=line.limited(given.read_timeout)
            )
        return super()._make_request(conn, method, url, **settings)  # type: ignore[misc]

    def _validate_conn(self, conn: Any) -> None:
        super()._validate_conn(conn)  # type: ignore[misc]
        line = _calling.get()
        if line is not None:
            if conn.sock is None:
                conn.connect()
            line.hold(conn)

    def _put_conn(self, conn: Any) -> None:
        line = _lines.pop(conn, None) if conn is not None else None
        if line is not None:
            line.drop()
        super()._put_conn(conn)  # type: ignore[misc]


class _HTTPPool(_TellingPool, AWSHTTPConnectionPool):  # type: ignore[misc]  # botocore is untyped
    pass


class _HTTPSPool(_TellingPool, AWSHTTPSConnectionPool):  # type: ignore[misc]
    pass


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
_watched = _Watch()
_calling: ContextVar[Line | None] = ContextVar("the line of the call that this thread makes", default=None)
_lines: "WeakKeyDictionary[Any, Line]" = WeakKeyDictionary()
