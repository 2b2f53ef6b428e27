"""One invocation of a SageMaker endpoint: sent, tried again, read, and closed from any thread.

A whole reply and a stream are read here; what their bytes mean is the wire's (`wires/`), what carries them is
`connections.py`'s, what a failure is called is `failures.py`'s, and stop strings are cut in `text_model.py`.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import urllib3.exceptions
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EventStreamError, ParamValidationError
from langchain_core.outputs import GenerationChunk

from ..generation import RunningGeneration, has_answer, join_chunks
from ..wires import Wire
from ..wires.wire_error import WireError
from .aws_errors import as_llm_error
from .retry import retrying
from .transport import Deadline, Line


class EndpointCall(RunningGeneration):
    """One invocation: sent when iterated, sent again only before its first piece of text or of a tool call.

    Args:
        client: boto3's client for SageMaker's runtime, watched (`connections.watch`).
        request: the arguments of `invoke_endpoint`.
        answers: how many a whole reply has to hold.
        timeout: seconds: for a whole reply, retries included; in a stream to the first piece and between pieces.
        max_retries: attempts after the first.
        stream: read a streamed reply …
        joined: … and give it as one whole answer, all of it within `timeout`.
    """

    def __init__(
        self,
        client: Any,
        request: Mapping[str, Any],
        wire: Wire,
        *,
        answers: int,
        timeout: float,
        max_retries: int,
        stream: bool,
        joined: bool,
    ) -> None:
        self._client, self._request, self._wire, self._answers = client, request, wire, answers
        self._timeout, self._max_retries = timeout, max_retries
        self._read = self._streamed if stream else self._unary
        self._is_joined = joined
        self._closed = threading.Event()
        self._line: Line | None = None

    def __iter__(self) -> Iterator[GenerationChunk]:
        self._deadline = Deadline(self._timeout)
        begun, rest = retrying(self._attempt, max_retries=self._max_retries, deadline=self._deadline, sleep=self._sleep)
        pieces = chain(begun, rest)
        yield from join_chunks(pieces) if self._is_joined else pieces

    def close(self) -> None:
        """Shut the connection, which is how the server learns that nobody waits."""
        self._closed.set()
        line = self._line
        if line is not None:
            line.shut()

    def _attempt(self) -> tuple[list[GenerationChunk], Iterator[GenerationChunk]]:
        """The pieces up to the first that has some of the answer, and those after it."""
        begun: list[GenerationChunk] = []
        pieces = self._mapped()
        for piece in pieces:
            begun.append(piece)
            if has_answer(piece):
                break
        return begun, pieces

    def _mapped(self) -> Iterator[GenerationChunk]:
        self._line = line = Line(self._deadline)
        if self._closed.is_set():
            return
        try:
            yield from self._read(line)
        except Exception as error:
            if self._closed.is_set():
                return
            if isinstance(error, ParamValidationError):
                said = " ".join(str(error).split())
                raise ValueError(f"endpoint_kwargs: {said}") from error
            if line.overdue:
                error = TimeoutError("the deadline of the call is over")
            mapped = as_llm_error(self._request["EndpointName"], error)
            if mapped is None or mapped is error:
                raise
            raise mapped from (error.__cause__ or error if isinstance(error, WireError) else error)
        finally:
            line.shut() if self._closed.is_set() else line.drop()

    def _unary(self, line: Line) -> Iterator[GenerationChunk]:
        with line:
            reply = self._client.invoke_endpoint(**self._request)["Body"]._raw_stream
        try:
            body = b"".join(line.read(reply))
        except (urllib3.exceptions.ProtocolError, EOFError) as error:
            raise WireError(f"the reply broke off: {error}") from error
        finally:
            reply.close()  # one that was read to its end has given its connection back already
        answers = self._wire.parse_reply(body)
        if len(answers) < self._answers:
            raise WireError(f"the reply has {len(answers)} of {self._answers} answers.")
        yield from answers

    def _streamed(self, line: Line) -> Iterator[GenerationChunk]:
        with line:
            reply = self._client.invoke_endpoint_with_response_stream(**self._request)["Body"]._raw_stream
        decoder = self._wire.decoder()
        try:
            for part in _parts(line.read(reply)):
                for piece in decoder.feed(part):
                    yield piece
                    if not self._is_joined:
                        self._deadline.restart()
                if decoder.ended:
                    break
            if not decoder.ended:
                yield from decoder.flush()
            if not decoder.ended:
                raise WireError("the stream ended without its end marker.")
            _drain(line, reply)
        finally:
            reply.close()

    def _sleep(self, seconds: float) -> None:
        self._closed.wait(seconds)


def _parts(received: Iterator[bytes]) -> Iterator[bytes]:
    """The container's bytes out of an event stream; events of unknown types are passed over.

    botocore's own reader is not used: it waits for whole chunks, and does not notice a frame that breaks off.
    Raises EventStreamError on a frame that reports a failure.
    """
    frames = EventStreamBuffer()
    for data in received:
        frames.add_data(data)
        for frame in frames:
            kind = frame.headers.get(":message-type")
            if kind == "event":
                if frame.headers.get(":event-type") == "PayloadPart":
                    yield frame.payload
                continue
            raise EventStreamError(_reported(frame.headers, frame.payload), "InvokeEndpointWithResponseStream")


def _reported(headers: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    """A failure frame as botocore tells an error: an `exception` has its facts in the payload, an `error` in headers."""
    try:
        said = json.loads(payload)
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    code = headers.get(":exception-type") or headers.get(":error-code") or "Unknown"
    message = said.get("Message") or said.get("message") or headers.get(":error-message") or ""
    return {"Error": {"Code": code, "Message": message}, "ErrorCode": said.get("ErrorCode", "")}


def _drain(line: Line, reply: Any) -> None:
    try:
        line.drain(reply)
    except (urllib3.exceptions.HTTPError, OSError):
        return  # the answer is whole; only the connection can't serve again
