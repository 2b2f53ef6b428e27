"""Streams of one JSON value a line: lines out of bytes in any pieces, and what a line is in each framing.

reader = LineReader()
reader.feed(b'data: {"a"')        # nothing yet
reader.feed(b': 1}\r\n\n: ping')  # b'data: {"a": 1}', b''
reader.flush()                    # b': ping', since a last line needs no end
"""

import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from langchain_core.outputs import GenerationChunk

from .base import NotStreamed, StreamDecoder, WireError, container_error, wrong_shape


class LineReader:
    """Gives whole lines, without their ends (`\\n` or `\\r\\n`); a last line needs no end."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that are complete now."""
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")

    def flush(self) -> Iterator[bytes]:
        """The last line, if it had no end."""
        held, self._held = self._held, b""
        if held:
            yield held.removesuffix(b"\r")


class Framing(Protocol):
    """What a line holds."""

    def payload(self, line: bytes) -> bytes | None:
        """The JSON in a line; None for a line that holds none. Raises `WireError` on a line of another framing."""


class ServerSentEvents:
    """`data:` lines. Comments, which keep a connection alive, other fields and events of other names are passed over.

    Each `data:` line is taken as an event of its own, although the specification would join neighbours: the servers
    send JSON, which holds no line ends, and not all send the blank line between events.

    Source: the HTML Living Standard, "Server-sent events".
    """

    def __init__(self) -> None:
        self._event = ""

    def payload(self, line: bytes) -> bytes | None:
        """The JSON in a line; None for a line that holds none. Raises `WireError` on a line that is no field."""
        if not line.strip():
            self._event = ""
            return None
        field, _, value = line.partition(b":")
        if field == b"event":
            self._event = value.strip().decode("utf-8", "replace")
        if field == b"data":
            return value if self._event in ("", "message", "error") else None
        if field in (b"", b"event", b"id", b"retry"):
            return None
        if line.lstrip().startswith((b"{", b"[")):
            raise _whole_reply(line)
        raise WireError(f"a line is no field of an event: {line[:200]!r}.")


class JsonLines:
    """A JSON value a line; blank lines, and comments as in server-sent events, are passed over."""

    def payload(self, line: bytes) -> bytes | None:
        """The line, unless it holds nothing."""
        return None if not line.strip() or line.startswith(b":") else line


class LineDecoder(StreamDecoder):
    """Reads a stream of one JSON object a line; what an object says is the wire's (`_event`)."""

    last_line: ClassVar[bytes | None] = None
    """What the last line holds, where that is not JSON."""

    def __init__(self, framing: Framing) -> None:
        self._lines, self._framing = LineReader(), framing

    def feed(self, data: bytes) -> Iterator[GenerationChunk]:
        """Text of the lines that are complete."""
        for line in self._lines.feed(data):
            yield from self._line(line)

    def flush(self) -> Iterator[GenerationChunk]:
        """Text of a last line that had no end."""
        for line in self._lines.flush():
            yield from self._line(line)

    def text_in(self, line: bytes) -> str:
        """The text in one line, whatever lines came before."""
        payload = self._framing.payload(line)
        if payload is None or payload.strip() == self.last_line:
            return ""
        return "".join(chunk.text for chunk in self._event(_parsed(payload)))

    def _line(self, line: bytes) -> Iterator[GenerationChunk]:
        payload = None if self.ended else self._framing.payload(line)
        if payload is None:
            return
        if payload.strip() == self.last_line:
            self._end()
            return
        yield from self._event(_parsed(payload))

    def _end(self) -> None:
        """The last line is there. Raises `WireError` where the answer is not whole."""
        self.ended = True

    @abstractmethod
    def _event(self, event: dict[str, Any]) -> Iterator[GenerationChunk]:
        """The pieces in one object; sets `ended` at the last."""


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError(f"an event is not JSON: {payload[:200]!r}.") from error
    if isinstance(event, list):
        raise NotStreamed
    if not isinstance(event, dict):
        raise wrong_shape(event)
    if event.get("error"):
        raise container_error(event)
    return event


def _whole_reply(line: bytes) -> WireError:
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        reply = None
    return container_error(reply) if isinstance(reply, dict) and reply.get("error") else NotStreamed()
