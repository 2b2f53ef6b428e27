r"""Streams of one JSON object a line: lines out of bytes in chunks of any size, and the JSON in a line.

    decoder = TokenDecoder()
    decoder.feed(b'data: {"token"')                          # nothing yet
    decoder.feed(b': {"text": "Hi"}}\r\n\n: ping')           # the chunk "Hi"
    decoder.flush()                                          # reads b': ping', since a last line needs no line end

A wire subclasses `LineDecoder` and reads the JSON objects.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from langchain_core.outputs import GenerationChunk

from .wire_error import NotStreamed, WireError, container_error, shortened, unexpected_reply


class LineDecoder(ABC):
    """Reads one streamed reply of server-sent events, in chunks of any size.

    Comments, which keep a connection alive, other fields than `data:` and events with other names are skipped. Each `data:`
    line is taken as one event, although the specification joins neighbours: the servers send JSON, which contains no line
    ends, and not all send the blank line between events.

    Source: the HTML Living Standard, "Server-sent events".
    """

    last_line: ClassVar[bytes | None] = None
    """The payload of the last line, where that is not JSON."""
    ended = False
    """Whether the wire's end marker has arrived; without it the answer is not whole."""

    def __init__(self) -> None:
        self._buffer = b""
        self._event_name = ""

    def feed(self, data: bytes) -> Iterator[GenerationChunk]:
        """The chunks of text that are complete now. Raises `WireError`, also on an error inside the stream."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            yield from self._line(line.removesuffix(b"\r"))

    def flush(self) -> Iterator[GenerationChunk]:
        """The chunks of a last line without a line end. Raises `WireError`."""
        yield from self.feed(b"\n")

    def text_of_line(self, line: bytes) -> str:
        """The text in one line, whatever lines came before. Raises `WireError`; on a whole reply, `NotStreamed`."""
        payload = self._payload(line)
        if payload is None or payload.strip() == self.last_line:
            return ""
        return "".join(chunk.text for chunk in self._event(_parsed(payload)))

    def _line(self, line: bytes) -> Iterator[GenerationChunk]:
        payload = None if self.ended else self._payload(line)
        if payload is None:
            return
        if payload.strip() == self.last_line:
            self._end()
        else:
            yield from self._event(_parsed(payload))

    def _payload(self, line: bytes) -> bytes | None:
        """The JSON in a line; None for a line without any. Raises `WireError` on a line that is not a field."""
        if not line.strip():
            self._event_name = ""
            return None
        field, _, value = line.partition(b":")
        if field == b"event":
            self._event_name = value.strip().decode("utf-8", "replace")
        if field == b"data":
            return value if self._event_name in ("", "message", "error") else None
        if field in (b"", b"event", b"id", b"retry"):
            return None
        if line.lstrip().startswith((b"{", b"[")):
            raise _whole_reply(line)
        raise WireError(f"a line is not a field of an event: {shortened(line)!r}.")

    def _end(self) -> None:
        """The last line has arrived. Raises `WireError` if the answer is not whole."""
        self.ended = True

    @abstractmethod
    def _event(self, event: dict[str, Any]) -> Iterator[GenerationChunk]:
        """The chunks in one JSON object; sets `ended` at the last."""


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError(f"an event is not JSON: {shortened(payload)!r}.") from error
    if isinstance(event, list):
        raise NotStreamed
    if not isinstance(event, dict):
        raise unexpected_reply(event)
    if event.get("error"):
        raise container_error(event)
    return event


def _whole_reply(line: bytes) -> WireError:
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        reply = None
    return container_error(reply) if isinstance(reply, dict) and reply.get("error") else NotStreamed()
