"""Faults that an endpoint of the local runtime shows on demand, so that nobody has to wait for AWS to have them.

`faults.yaml` names them. Those in mid-stream and in the connection are done here, below HTTP where they have to be: the
connection is reset, closed or left alone while a client waits.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sagechain.prompts import read_yaml, unknown_name

from . import event_stream
from .containers import Container

SETTLE_SECONDS = 0.05  # what was sent arrives before a reset overtakes it


def faults() -> dict[str, dict[str, Any]]:
    """All faults by name."""
    found: dict[str, dict[str, Any]] = read_yaml(__package__, "faults.yaml")
    return found


def list_faults() -> list[str]:
    """The faults that an endpoint of the local runtime can show, in the order in which `faults.yaml` tells of them."""
    return list(faults())


class FaultPlan(BaseModel):
    """Which fault an endpoint shows, and how often.

    Args:
        fault: its name.
        times: requests that meet it; None: all.
        frames: frames of a stream before it, where it is in mid-stream.
        seconds: how late a `slow` answer begins.

    Raises:
        ValueError: no such fault, or a number below 0.
    """

    model_config = ConfigDict(extra="forbid")

    fault: str
    times: Annotated[int, Field(ge=0)] | None = None
    frames: Annotated[int, Field(ge=0)] = 2
    seconds: Annotated[float, Field(ge=0)] = 1.0

    @field_validator("fault")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in faults():
            raise unknown_name("fault", name, faults())
        return name

    def due(self) -> Mapping[str, Any] | None:
        """What the next request meets; None where nothing is left."""
        if self.times == 0:
            return None
        self.times = None if self.times is None else self.times - 1
        return faults()[self.fault]


class Connection:
    """The connection to a client, below HTTP."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._transport.write(data)

    async def reset(self) -> None:
        """End it with a TCP reset."""
        await asyncio.sleep(SETTLE_SECONDS)
        no_lingering = struct.pack("ii", 1, 0)
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
        self._transport.abort()

    async def close(self) -> None:
        """End it as if the server's process had ended."""
        self._transport.close()


async def break_connection(kind: str, connection: Connection, reply: Callable[[], Awaitable[bytes]]) -> None:
    """Do what a fault of the connection does to a request; `reply` gives what would have been answered."""
    if kind == "hang":
        await asyncio.Event().wait()
    if kind == "reset":
        await connection.reset()
        return
    body = await reply()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection.write(head + body[: len(body) // 2])
    await (connection.reset() if kind == "reset-in-body" else connection.close())


async def spoiled(
    chunks: AsyncGenerator[bytes, None],
    fault: Mapping[str, Any],
    plan: FaultPlan,
    container: Container,
    connection: Connection,
) -> AsyncGenerator[bytes, None]:
    """The frames of a stream with a fault in it, made of the container's bytes."""
    kind = fault["stream"]
    if kind in _REFRAMED:
        async for frame in _REFRAMED[kind](chunks, container):
            yield frame
        return
    count = 0
    async for chunk in chunks:
        frame = event_stream.payload_part(chunk)
        if count >= plan.frames:
            break
        yield frame
        count += 1
    else:
        return  # the stream was shorter
    if kind == "reset":
        await connection.reset()
        await asyncio.Event().wait()
    elif kind == "closed":
        await connection.close()
        await asyncio.Event().wait()
    elif kind == "stalled":
        await asyncio.Event().wait()
    elif kind == "half-frame":
        yield frame[: len(frame) // 2]
    elif kind == "exception":
        facts = {"Message": fault["message"], **({"ErrorCode": fault["code"]} if "code" in fault else {})}
        yield event_stream.exception(fault["type"], facts)
    elif kind == "error":
        yield event_stream.error(fault["code"], fault["message"])
    elif kind == "in-band-error":
        yield event_stream.payload_part(container.failed_event("the model failed"))
    elif kind == "bad-checksum":
        yield frame[:-1] + bytes([frame[-1] ^ 1])
    elif kind == "garbage-line":
        yield event_stream.payload_part(b"%$ garbage\n\n")
    # "ended": nothing more comes, and HTTP ends as it should.


async def _keep_alive(chunks: AsyncIterator[bytes], container: Container) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield event_stream.payload_part(container.keep_alive)
        yield event_stream.payload_part(chunk)


async def _unknown_event(chunks: AsyncIterator[bytes], container: Container) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield event_stream.frame({":message-type": "event", ":event-type": "Heartbeat"}, json.dumps({}).encode())
        yield event_stream.payload_part(chunk)


async def _byte_frames(chunks: AsyncIterator[bytes], container: Container) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield b"".join(event_stream.payload_part(chunk[i : i + 1]) for i in range(len(chunk)))


async def _no_last_newline(chunks: AsyncIterator[bytes], container: Container) -> AsyncIterator[bytes]:
    held = b""
    async for chunk in chunks:
        if held:
            yield event_stream.payload_part(held)
        held = chunk
    yield event_stream.payload_part(held.rstrip(b"\n"))


_REFRAMED: Mapping[str, Callable[[AsyncIterator[bytes], Container], AsyncIterator[bytes]]] = {
    "keep-alive": _keep_alive,
    "unknown-event": _unknown_event,
    "byte-frames": _byte_frames,
    "no-last-newline": _no_last_newline,
}
