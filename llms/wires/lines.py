r"""Streams of JSON objects: lines out of bytes in chunks of any size, and the JSON in them.

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

from .wire_error import NotStreamed, WireError, container_error, reported_error, shortened, unexpected_reply

MAX_EVENT_BYTES = 16 * 2**20  # of one event, and of one line; SageMaker's whole replies are smaller
FIELDS = (b"", b"event", b"id", b"retry")
PINGS = ("ping", "heartbeat", "keepalive", "keep-alive")


class LineDecoder(ABC):
    """Reads one streamed reply: server-sent events, or one JSON object a line (`tgi_compat` switches LMI between them).

    Comments, which keep a connection alive, other fields than `data:`, events with other names and pings are skipped. A
    `data:` line that is complete JSON is an event, since not all servers send the blank line that ends one; otherwise the
    event's `data:` lines are joined, as the specification says.

    Source: the HTML Living Standard, "Server-sent events".
    """

    last_line: ClassVar[bytes | None] = None
    """The payload of the last line, where that is not JSON."""
    ended = False
    """Whether the wire's end marker has arrived; without it the answer is not whole."""

    def __init__(self) -> None:
        self._unfinished_line: list[bytes] = []
        self._unfinished_event: list[bytes] = []
        self._line_bytes = self._event_bytes = 0
        self._after_return = False
        self._event_name = ""
        self._has_read_event = False

    def feed(self, data: bytes) -> Iterator[GenerationChunk]:
        """The chunks of text that are complete now. Raises `WireError`, also on an error inside the stream."""
        if self._after_return:  # the second half of \r\n
            data = data.removeprefix(b"\n")
        self._after_return = data.endswith(b"\r")
        for part in data.splitlines(keepends=True):
            self._unfinished_line.append(part)
            self._line_bytes += len(part)
            if self._line_bytes + self._event_bytes > MAX_EVENT_BYTES:
                raise WireError(f"an event has more than {MAX_EVENT_BYTES} bytes.")
            if part.endswith((b"\n", b"\r")):
                line = b"".join(self._unfinished_line).rstrip(b"\r\n")
                self._unfinished_line.clear()
                self._line_bytes = 0
                yield from self._line(line)

    def flush(self) -> Iterator[GenerationChunk]:
        """The chunks of a last event without a line end. Raises `WireError`."""
        self._after_return = False
        yield from self.feed(b"\n")
        yield from self._end_of_event()

    def text_of_line(self, line: bytes) -> str:
        """The text in one line, whatever lines came before. Raises `WireError`; on a whole reply, `NotStreamed`."""
        payload = (self._payload(line) or b"").strip()
        if not payload or payload == self.last_line:
            return ""
        return "".join(chunk.text for chunk in self._read(self._parsed(payload)))

    def _line(self, line: bytes) -> Iterator[GenerationChunk]:
        if self.ended:
            return
        if not line.strip():
            yield from self._end_of_event()
            self._event_name = ""
            return
        payload = (self._payload(line) or b"").strip()
        if payload and payload == self.last_line:
            yield from self._end_of_event()
            self._end()
        elif payload:
            yield from self._add(payload, is_json_line=self._is_bare(line))

    def _add(self, payload: bytes, *, is_json_line: bool) -> Iterator[GenerationChunk]:
        """Read a line that is complete JSON; buffer one that is not, until the event ends."""
        if not self._unfinished_event:
            try:
                event = json.loads(payload)
            except (ValueError, RecursionError):
                pass
            else:
                yield from self._read(event)
                return
        self._unfinished_event.append(payload)
        self._event_bytes += len(payload)
        if is_json_line and self._has_read_event:  # a broken one; only a reply that is whole may have several lines
            yield from self._end_of_event()

    def _end_of_event(self) -> Iterator[GenerationChunk]:
        if self._unfinished_event:
            payload = b"\n".join(self._unfinished_event)
            self._unfinished_event.clear()
            self._event_bytes = 0
            yield from self._read(self._parsed(payload))

    def _payload(self, line: bytes) -> bytes | None:
        """The JSON in a line; None for a line without any. Raises `WireError` on a line that is not a field."""
        field, _, value = line.partition(b":")
        if field == b"event":
            self._event_name = value.strip().decode("utf-8", "replace")
        if field == b"data":
            return value if self._event_name in ("", "message", "error") else None
        if field in FIELDS:
            return None
        if self._is_bare(line) or self._unfinished_event:
            return line
        raise WireError(f"a line is not JSON, and not a field of an event: {shortened(line)!r}.")

    @staticmethod
    def _is_bare(line: bytes) -> bool:
        """Whether a line is JSON without a field's name."""
        return line.lstrip().startswith((b"{", b"["))

    def _parsed(self, payload: bytes) -> Any:
        try:
            return json.loads(payload)
        except (ValueError, RecursionError) as error:
            if self._event_name == "error":
                raise container_error({"error": shortened(payload)}) from error
            raise WireError(f"an event is not JSON: {shortened(payload)!r}.") from error

    def _read(self, event: Any) -> Iterator[GenerationChunk]:
        """The chunks in one event. Raises `WireError` if it is not one, or reports an error."""
        if (reported := reported_error(event)) is not None:
            raise reported
        if isinstance(event, list):
            raise NotStreamed(event)
        if event is None or event == {}:  # sent to keep a connection alive
            return
        if not isinstance(event, dict):
            raise unexpected_reply(event)
        if self._event_name == "error":
            raise container_error(event)
        self._has_read_event = True
        if event.get("type") not in PINGS:
            yield from self._event(event)

    def _end(self) -> None:
        """The last line has arrived. Raises `WireError` if the answer is not whole."""
        self.ended = True

    @abstractmethod
    def _event(self, event: dict[str, Any]) -> Iterator[GenerationChunk]:
        """The chunks in one JSON object; sets `ended` at the last."""
