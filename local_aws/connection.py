"""The TCP connection under a request, for faults that happen below HTTP: resets, and responses that are cut short."""

import asyncio
import socket
import struct
from typing import Any

from starlette.requests import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

SETTLE_SECONDS = 0.05  # sent bytes arrive before a reset overtakes them


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, which passes each request the transport of its connection."""

    def connection_made(self, transport: Any) -> None:
        """Put the transport into the state of the connection's requests."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


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
