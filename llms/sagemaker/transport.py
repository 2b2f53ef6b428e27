"""The connection under one boto3 request: bounded by one deadline, and closed from any thread at any moment.

boto3 returns a connection only once a reply's headers have arrived, and its time limit starts again with every byte. So a
waiting request could not be cancelled, and a reply that dribbles would never end. Here urllib3's connection pools report
which connection carries the request, from before it is sent until the connection is back in the pool, and one thread closes
those whose deadline has passed:

    prepare(client)
    scope = CancelScope(Deadline(70))
    response = send(client, request, scope, stream=False)   # scope.cancel() from another thread ends it …
    body = b"".join(scope.read(response))                   # … and this

A forked child uses none of its parent's connections: clients get empty pools there, and a reply that was being read fails.

All private names of botocore and urllib3 that sagechain uses are in this module. `pyproject.toml` bounds the versions, and
`tests/llms/test_transport.py` names the one that a new version has changed.
"""

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from functools import partial
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary, WeakSet

from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from ..deadline import Deadline
from ..forks import renew_in_child

READ_BYTES = 65_536
WATCH_SECONDS = 0.2  # how late the end of a deadline may be noticed while a reply's headers or bytes dribble
IDLE_SECONDS = 5.0  # after so long without a request the watching thread ends
DRAIN_SECONDS = 0.25  # total time for the end of a complete reply to arrive, so that its connection can be used again


class CancelScope:
    """Cancels one attempt of a request, from any thread or at the deadline.

    As a context manager it covers everything that its thread sends through a prepared client inside the block.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.cancelled = self.timed_out = self._is_waiting = False
        self._reason = "the request was cancelled"
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        self._token: Token[CancelScope | None] = _current_scope.set(self)
        self._is_waiting = True
        _watcher.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_waiting = False
        _current_scope.reset(self._token)

    def cancel(self) -> None:
        """Close the connection; nothing more is sent. Any thread may cancel, at any time and more than once."""
        with self._lock:
            self.cancelled = True
            if self._socket is not None:
                try:
                    # Not SSLSocket's own shutdown, which takes the decoder away from a thread that reads.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
                except OSError:
                    self._socket = None  # the other side has closed it already

    def abandon(self) -> None:
        """In a forked child: the connection is the parent's, so it is neither used nor shut down here."""
        self._lock, self._socket, self.cancelled = threading.Lock(), None, True
        self._reason = "the process was forked while the answer was read, and its connection is the parent's"

    def cancel_if_late(self) -> None:
        """Cancel once the deadline has passed, if the other side is waited for; not while a consumer takes its time."""
        if self._is_waiting and not self.deadline.remaining():
            self.timed_out = True
            self.cancel()

    def attach(self, connection: Any) -> None:
        """Take over the connection that is about to send. Raises ConnectionAbortedError once cancelled."""
        with self._lock:
            if self.cancelled:
                connection.close()
                self._check_cancelled()
            _scopes[connection] = self
            # A replayed cassette has no real socket.
            self._socket = connection.sock if isinstance(connection.sock, socket.socket) else None

    def detach(self) -> None:
        """Release the connection: another request may use it now."""
        with self._lock:
            self._socket = None

    def time_limit(self, seconds: float | None) -> float:
        """Seconds for the next step, at most `seconds`. Raises TimeoutError once the deadline has passed."""
        remaining = self.deadline.remaining()
        if not remaining:
            raise TimeoutError("the deadline of the request has passed")
        return remaining if seconds is None else min(remaining, seconds)

    def read(self, response: Any) -> Iterator[bytes]:
        """The bytes of a response's body as they arrive.

        Raises:
            EOFError: the body is shorter than its declared length.
            ConnectionAbortedError: the request was cancelled.
            TimeoutError: the deadline has passed.
        """
        while data := self._read(response):
            yield data
        if response.length_remaining not in (0, None):
            raise EOFError(f"{response.length_remaining} bytes of the reply are missing.")

    def drain(self, response: Any) -> None:
        """Read to the end of a response whose answer is complete, if that end arrives soon, to use its connection again."""
        self.deadline = Deadline(DRAIN_SECONDS)
        with suppress(HTTPError, OSError):
            while self._read(response):
                continue

    def _read(self, response: Any) -> bytes:
        self._check_cancelled()
        self.time_limit(None)
        # One read may take many: a chunk's header can arrive byte by byte, so the watching thread looks at it too.
        self._is_waiting = True
        try:
            data: bytes = response.read1(READ_BYTES)
        finally:
            self._is_waiting = False
        self._check_cancelled()  # the end of the bytes may be that of the connection
        return data

    def _check_cancelled(self) -> None:
        if self.cancelled:
            raise ConnectionAbortedError(self._reason)


def send(client: Any, request: Mapping[str, Any], scope: CancelScope, *, stream: bool) -> Any:
    """Invoke an endpoint; urllib3's response, whose headers have arrived and whose body `scope` reads.

    Args:
        client: boto3's client for SageMaker's runtime, prepared.
        request: the arguments of `invoke_endpoint`.
        stream: request an event stream.
    """
    invoke = client.invoke_endpoint_with_response_stream if stream else client.invoke_endpoint
    with scope:
        return invoke(**request)["Body"]._raw_stream


def prepare(client: Any) -> None:
    """Make the connections of a boto3 client report to the scope of their request. A second time changes nothing."""
    client.meta.events.register_first(
        "needs-retry.sagemaker-runtime", partial(_prevent_retry, client), unique_id="sagechain"
    )
    session = client._endpoint.http_session
    if session._pool_classes_by_scheme is _POOLS:
        return
    session._pool_classes_by_scheme = _POOLS
    for manager in (session._manager, *session._proxy_managers.values()):
        manager.pool_classes_by_scheme = _POOLS
        manager.clear()  # closes idle connections only
    renew_in_child(client, renew_connections)


def renew_connections(client: Any) -> None:
    """In a forked child: no connection of the parent's is used, and no lock that one of its threads held.

    Closing a connection does not reach the parent: that would need a shutdown, or TLS's own farewell.
    """
    session = client._endpoint.http_session
    for manager in (session._manager, *session._proxy_managers.values()):
        manager.pools.lock = threading.RLock()
        for pool in manager.pools._container.values():
            for connection in filter(None, pool.pool.queue):
                connection.close()
            pool.pool.__init__(pool.pool.maxsize)  # empty, with new locks; the pool's finalizer uses this very queue
    credentials = client._request_signer._credentials
    if hasattr(credentials, "_refresh_lock"):
        credentials._refresh_lock = threading.Lock()


def _prevent_retry(
    client: Any, response: Any = None, caught_exception: Any = None, operation: Any = None, **_: Any
) -> None:
    """Raise before botocore retries: a caller's client may have retries, which would repeat a generation that is billed."""
    if _current_scope.get() is None:
        return
    if caught_exception is not None:
        raise caught_exception
    http, parsed = response
    if http.status_code >= 300:
        raise client.exceptions.from_code(parsed.get("Error", {}).get("Code"))(parsed, operation.name)


class _Watcher:
    """Cancels scopes that wait beyond their deadline: a socket's time limit starts again with every byte."""

    def __init__(self) -> None:
        self._reset()
        renew_in_child(self, _Watcher._reset)

    def _reset(self) -> None:
        self._scopes: WeakSet[CancelScope] = WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, scope: CancelScope) -> None:
        """Watch a scope for as long as it exists: adding it again for each read would cost more than the read."""
        with self._lock:
            self._scopes.add(scope)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="sagechain-deadlines", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        idle = 0.0
        while True:
            time.sleep(WATCH_SECONDS)
            with self._lock:
                idle = 0 if self._scopes else idle + WATCH_SECONDS
                if idle > IDLE_SECONDS:
                    self._thread = None
                    return
                scopes = tuple(self._scopes)
            for scope in scopes:
                scope.cancel_if_late()


class _ReportingPool:
    """Attaches its connections to the scope of the sending thread, and applies the scope's deadline."""

    def _make_request(self, conn: Any, method: str, url: str, **settings: Any) -> Any:
        scope = _current_scope.get()
        if scope is not None:
            given = settings["timeout"]
            settings["timeout"] = Timeout(
                connect=scope.time_limit(given.connect_timeout),
                # A whole deadline for each byte: it may start again later, and until then the watching thread closes.
                read=min(filter(None, (given.read_timeout, scope.deadline.seconds))),
            )
        return super()._make_request(conn, method, url, **settings)  # type: ignore[misc]

    def _validate_conn(self, conn: Any) -> None:
        super()._validate_conn(conn)  # type: ignore[misc]
        scope = _current_scope.get()
        if scope is not None:
            if conn.sock is None:
                conn.connect()
            scope.attach(conn)

    def _put_conn(self, conn: Any) -> None:
        scope = _scopes.pop(conn, None) if conn is not None else None
        if scope is not None:
            scope.detach()
        super()._put_conn(conn)  # type: ignore[misc]


class _HTTPPool(_ReportingPool, AWSHTTPConnectionPool):  # type: ignore[misc]  # botocore is untyped
    pass


class _HTTPSPool(_ReportingPool, AWSHTTPSConnectionPool):  # type: ignore[misc]
    pass


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
_watcher = _Watcher()
_current_scope: ContextVar[CancelScope | None] = ContextVar("the scope of this thread's request", default=None)
_scopes: "WeakKeyDictionary[Any, CancelScope]" = WeakKeyDictionary()


def _abandon_scopes(scopes: "WeakKeyDictionary[Any, CancelScope]") -> None:
    for scope in tuple(scopes.values()):
        scope.abandon()
    scopes.clear()


renew_in_child(_scopes, _abandon_scopes)
