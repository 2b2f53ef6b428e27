"""One invocation of a SageMaker endpoint: sent, retried, read, and closed from any thread.

Whole replies and streams are read here. The meaning of their bytes is the wire's (`llms/wires/`), connections are
`transport.py`'s, errors are mapped by `aws_errors.py`, and the answer is cut at stop strings in `llms/generation.py`.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import urllib3.exceptions
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError, ParamValidationError
from langchain_core.outputs import GenerationChunk

from ..deadline import Deadline
from ..generation import RunningGeneration, has_answer, join_chunks
from ..wires import Wire
from ..wires.wire_error import WireError
from .aws_errors import as_llm_error, refuses_streams
from .retry import retry
from .transport import CancelScope, send

MAX_REPLY_BYTES = 64 * 2**20  # SageMaker's own limit for a reply is 25 MB


class EndpointInvocation(RunningGeneration):
    """A generation on an endpoint: sent when iterated, sent again only before its first text or tool call has arrived.

    Args:
        client: boto3's client for SageMaker's runtime, prepared (`transport.prepare`).
        request: the arguments of `invoke_endpoint`, for a stream or for a whole reply.
        answers: number of answers that a whole reply must contain.
        timeout: seconds for a whole reply, retries included; in a stream to the first chunk and between chunks.
        max_retries: attempts after the first.
        stream: read a streamed reply; from an endpoint that has none, such as a serverless one, a whole reply.
        join: yield the streamed reply as one whole answer, all of it within `timeout`.
    """

    def __init__(
        self,
        client: Any,
        request: Callable[[bool], Mapping[str, Any]],
        wire: Wire,
        *,
        answers: int,
        timeout: float,
        max_retries: int,
        stream: bool,
        join: bool,
    ) -> None:
        self._client, self._request_for, self._wire, self._answers = client, request, wire, answers
        self._request, self._refused_stream = request(stream), False
        self._timeout, self._max_retries = timeout, max_retries
        self._read = self._read_stream if stream else self._read_whole
        self._join = join
        self._closed = threading.Event()
        self._scope: CancelScope | None = None

    def __iter__(self) -> Iterator[GenerationChunk]:
        self._deadline = Deadline(self._timeout)
        first, rest = retry(
            self._attempt, max_retries=self._max_retries, deadline=self._deadline, sleep=self._closed.wait
        )
        chunks = chain(first, rest)
        yield from join_chunks(chunks) if self._join else chunks

    def close(self) -> None:
        """Close the connection, so that the server stops."""
        self._closed.set()
        scope = self._scope
        if scope is not None:
            scope.cancel()

    def _attempt(self) -> tuple[list[GenerationChunk], Iterator[GenerationChunk]]:
        """Send the request: the chunks up to the first with some of the answer, and those after it."""
        first: list[GenerationChunk] = []
        chunks = self._chunks()
        for chunk in chunks:
            first.append(chunk)
            if has_answer(chunk):
                break
        return first, chunks

    def _chunks(self) -> Iterator[GenerationChunk]:
        """The chunks of one attempt; none once closed."""
        self._scope = scope = CancelScope(self._deadline)
        if self._closed.is_set():
            return
        try:
            yield from self._read(scope)
        except Exception as error:
            if self._closed.is_set():
                return
            if isinstance(error, ParamValidationError):
                raise ValueError(f"endpoint_kwargs: {' '.join(str(error).split())}") from error
            if isinstance(error, WireError) and f"`?wire={self._wire.name}`" in error.hint:
                error.hint = ""  # this wire is the right one already
            if scope.timed_out:
                error = TimeoutError("the deadline of the request has passed")
            address, sent = self._client.meta.endpoint_url, self._request["Body"]
            mapped = as_llm_error(self._request["EndpointName"], error, address=address, sent=sent)
            if mapped is None or mapped is error:
                raise
            if self._refused_stream:
                mapped = mapped.reworded(
                    f"it refuses streams, as serverless endpoints do, and `invoke` fails: {mapped.message}"
                )
            raise mapped from (error.__cause__ or error if isinstance(error, WireError) else error)
        finally:
            scope.cancel() if self._closed.is_set() else scope.detach()

    def _read_whole(self, scope: CancelScope) -> Iterator[GenerationChunk]:
        response = send(self._client, self._request, scope, stream=False)
        try:
            body = bytearray()
            for data in scope.read(response):
                body += data
                if len(body) > MAX_REPLY_BYTES:
                    raise WireError(f"the reply is longer than {MAX_REPLY_BYTES:,} bytes.")
        except (urllib3.exceptions.ProtocolError, EOFError) as error:
            raise WireError(f"the reply is incomplete: {error}") from error
        finally:
            response.close()  # one that was read to its end has returned its connection already
        answers = self._wire.parse_reply(bytes(body))
        if len(answers) < self._answers:
            raise WireError(f"the reply has {len(answers)} of {self._answers} answers.")
        yield from answers

    def _read_stream(self, scope: CancelScope) -> Iterator[GenerationChunk]:
        try:
            response = send(self._client, self._request, scope, stream=True)
        except ClientError as error:
            if not refuses_streams(error):
                raise
            self._request, self._read, self._refused_stream = self._request_for(False), self._read_whole, True
            yield from self._read_whole(scope)
            return
        decoder, started = self._wire.decoder(), False
        try:
            for payload in _payloads(scope.read(response)):
                for chunk in decoder.feed(payload):
                    yield chunk
                    # Whatever else a server sends before its first text, such as pings, is waiting for it.
                    started = started or has_answer(chunk)
                    if started and not self._join and (chunk.text or chunk.generation_info):
                        self._deadline.restart()
                if decoder.ended:
                    break
            if not decoder.ended:
                yield from decoder.flush()
            if not decoder.ended:
                raise WireError("the stream ended without its end marker.")
            scope.drain(response)
        finally:
            response.close()


def _payloads(received: Iterator[bytes]) -> Iterator[bytes]:
    """The container's bytes in an event stream; events of unknown types are skipped.

    botocore's own reader is not used: it waits for whole chunks, and does not notice an incomplete frame.

    Raises:
        EventStreamError: a frame reports an error.
    """
    frames = EventStreamBuffer()
    for data in received:
        frames.add_data(data)
        for frame in frames:
            if frame.headers.get(":message-type") != "event":
                response = _error_response(frame.headers, frame.payload)
                raise EventStreamError(response, "InvokeEndpointWithResponseStream")
            if frame.headers.get(":event-type") == "PayloadPart":
                yield frame.payload


def _error_response(headers: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    """An error frame as botocore shows errors: an `exception` has its facts in the payload, an `error` in headers."""
    try:
        facts = json.loads(payload)
    except ValueError:
        facts = None
    facts = facts if isinstance(facts, dict) else {}
    code = headers.get(":exception-type") or headers.get(":error-code") or "Unknown"
    message = facts.get("Message") or facts.get("message") or headers.get(":error-message") or ""
    return {"Error": {"Code": code, "Message": message}, "ErrorCode": facts.get("ErrorCode", "")}
