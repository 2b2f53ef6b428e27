"""The TCP connection under a request: its limits, and faults that happen below HTTP: resets, and responses cut short."""

import asyncio
import socket
import struct
from typing import Any

import h11
from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 800  # at the same time; more are answered with 503
HEAD_SECONDS = 15.0  # for the head of a request
DISCARD_SECONDS = 15.0  # for the rest of a refused body
MAX_DISCARDED_BYTES = 16 * 1024**2  # of a refused body, so that its client reads why
SETTLE_SECONDS = 0.05  # sent bytes arrive before a reset overtakes them

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1 with limits: on connections, on the time of a head, and on what is left of a refused body.

    Each request is passed the transport of its connection.
    """

    def connection_made(self, transport: Any) -> None:
        """Put the transport into the state of the connection's requests."""
        self.app_state = {**self.app_state, "transport": transport}
        self._waiting_for = ""
        self._timer: asyncio.TimerHandle | None = None
        self._discarded = 0
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.write(_BUSY)
            transport.close()
        else:
            self._set_timer()

    def data_received(self, data: bytes) -> None:
        """Read what has arrived."""
        if self._is_discarding:
            self._discarded += len(data)
            if self._discarded > MAX_DISCARDED_BYTES:
                self.transport.close()
                return
        super().data_received(data)
        self._set_timer()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._discarded = 0
        super().on_response_complete()
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timer."""
        if self._timer:
            self._timer.cancel()
        super().connection_lost(exc)

    @property
    def _is_discarding(self) -> bool:
        """Whether a response has been sent before its request was read to the end."""
        return self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY

    def _set_timer(self) -> None:
        """Close the connection in time, if the client is the one to send something that is not a body."""
        limits = {"rest": DISCARD_SECONDS, "head": HEAD_SECONDS}
        waiting_for = "rest" if self._is_discarding else "head" if self.conn.their_state is h11.IDLE else ""
        if waiting_for == self._waiting_for:
            return
        self._waiting_for = waiting_for
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_later(limits[waiting_for], self.transport.close) if waiting_for else None


class Connection:
    """The connection to the client of a request."""

    def __init__(self, http: Request) -> None:
        self._transport: asyncio.Transport = http.scope["state"]["transport"]

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(data)

    async def reset(self) -> None:
        """End it with a TCP reset."""
        await asyncio.sleep(SETTLE_SECONDS)
        no_lingering = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
        self._transport.abort()

    def close(self) -> None:
        """End it as if the server's process had ended."""
        self._transport.close()
