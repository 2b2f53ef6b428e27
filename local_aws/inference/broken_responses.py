"""The faults of streams and connections: frames that are wrong or missing, connections that are reset or left open."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from ..connection import Connection
from . import event_stream
from .containers import Container

FAILURE_TEXT = "the model failed"


async def break_connection(kind: str, connection: Connection, whole_body: Callable[[], Awaitable[bytes]]) -> None:
    """Carry out a fault of the connection; `whole_body` returns the body of the response that it cuts short."""
    if kind == "hang":
        await asyncio.Event().wait()
    if kind == "reset":
        await connection.reset()
        return
    body = await whole_body()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    connection.write(head + body[: len(body) // 2])
    if kind == "reset-in-body":
        await connection.reset()
    else:
        connection.close()


async def broken_frames(
    chunks: AsyncGenerator[bytes, None], fault: Mapping[str, Any], container: Container, connection: Connection
) -> AsyncGenerator[bytes, None]:
    """The frames of a stream with a fault in it; `chunks` are the container's."""
    if reframe := _REFRAMED.get(fault["stream"]):
        async for frame in reframe(chunks, container):
            yield frame
        return
    count = 0
    async for chunk in chunks:
        if count == fault["frames"]:
            break
        yield event_stream.payload_part(chunk)
        count += 1
    else:
        return  # the stream is too short for the fault
    if fault["stream"] in ("reset", "closed", "stalled"):
        await _abandon(connection, fault["stream"])
    if fault["stream"] != "ended":  # it ends early, and otherwise as it should
        yield _broken_frame(event_stream.payload_part(chunk), fault, container)


async def _abandon(connection: Connection, kind: str) -> None:
    """End the connection, or leave it open, and never send anything more."""
    if kind == "reset":
        await connection.reset()
    elif kind == "closed":
        connection.close()
    await asyncio.Event().wait()


def _broken_frame(frame: bytes, fault: Mapping[str, Any], container: Container) -> bytes:
    """The bytes that are sent instead of an intact frame."""
    match fault["stream"]:
        case "half-frame":
            return frame[: len(frame) // 2]
        case "bad-checksum":
            return frame[:-1] + bytes([frame[-1] ^ 1])
        case "garbage-line":
            return event_stream.payload_part(b"%$ garbage\n\n")
        case "in-band-error":
            return event_stream.payload_part(container.error_event(FAILURE_TEXT))
        case "error":
            return event_stream.error(fault["code"], fault["message"])
        case _:  # "exception"
            fields = {"Message": fault["message"], **({"ErrorCode": fault["code"]} if "code" in fault else {})}
            return event_stream.exception(fault["type"], fields)


async def _keep_alive(chunks: AsyncIterator[bytes], container: Container) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield event_stream.payload_part(container.keep_alive)
        yield event_stream.payload_part(chunk)


async def _unknown_event(chunks: AsyncIterator[bytes], container: Container) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield event_stream.frame({":message-type": "event", ":event-type": "Heartbeat"}, b"{}")
        yield event_stream.payload_part(chunk)


async def _byte_frames(chunks: AsyncIterator[bytes], container: Container) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield b"".join(event_stream.payload_part(chunk[i : i + 1]) for i in range(len(chunk)))


async def _no_last_newline(chunks: AsyncIterator[bytes], container: Container) -> AsyncIterator[bytes]:
    buffered = b""
    async for chunk in chunks:
        if buffered:
            yield event_stream.payload_part(buffered)
        buffered = chunk
    yield event_stream.payload_part(buffered.rstrip(b"\n"))


_REFRAMED: Mapping[str, Callable[[AsyncIterator[bytes], Container], AsyncIterator[bytes]]] = {
    "keep-alive": _keep_alive,
    "unknown-event": _unknown_event,
    "byte-frames": _byte_frames,
    "no-last-newline": _no_last_newline,
}
