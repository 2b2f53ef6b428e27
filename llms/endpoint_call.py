"""One invocation of a SageMaker endpoint: sent, tried again, read, and closed from any thread.

A whole reply and a stream are read here; what their bytes mean is the wire's (`wires/`), what a failure is called is
`failures.py`'s, and stop strings are cut in `text_model.py`.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import ParamValidationError
from langchain_core.outputs import GenerationChunk
from sagechain.llms.calls import ModelCall
from sagechain.llms.errors import LLMError
from sagechain.llms.failures import failure
from sagechain.llms.wires import Wire
from sagechain.llms.wires.base import WireError
from tenacity import Retrying


class EndpointCall(ModelCall):
    """One invocation: sent when iterated, sent again only before its first piece.

    Args:
        client: boto3's client for SageMaker's runtime.
        request: the arguments of `invoke_endpoint`.
        attempts: makes the loop that tries again, given a way to sleep.
        stream: read a streamed reply …
        joined: … and give it as one whole answer.
    """

    def __init__(
        self,
        client: Any,
        request: Mapping[str, Any],
        wire: Wire,
        attempts: Callable[..., Retrying],
        *,
        stream: bool,
        joined: bool,
    ) -> None:
        self._client, self._request, self._wire, self._attempts = client, request, wire, attempts
        self._read = self._unary if not stream else self._joined if joined else self._streamed
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._body: Any = None

    def __iter__(self) -> Iterator[GenerationChunk]:
        try:
            first, rest = self._attempts(sleep=self._sleep)(self._attempt)
            if first is not None:
                yield first
                yield from self._mapped(rest)
        finally:
            self._release()

    def close(self) -> None:
        """Shut the connection, which is how the server learns that nobody waits."""
        with self._lock:
            self._closed.set()
            body = self._body
        # Another thread may be reading: its read ends now, and that thread gives the connection up.
        shutdown = getattr(body, "shutdown", None)
        if shutdown is not None and not body.closed:
            try:
                shutdown()
            except (OSError, RuntimeError, ValueError):
                return  # the reader was faster: nothing is left to shut

    def _attempt(self) -> tuple[GenerationChunk | None, Iterator[GenerationChunk]]:
        if self._closed.is_set():
            return None, iter(())
        pieces = self._mapped(self._read())
        try:
            return next(pieces, None), pieces
        except LLMError:
            self._release()
            raise

    def _mapped(self, pieces: Iterator[GenerationChunk]) -> Iterator[GenerationChunk]:
        try:
            yield from pieces
        except Exception as error:
            if self._closed.is_set():
                return
            if isinstance(error, ParamValidationError):
                said = " ".join(str(error).split())
                raise ValueError(f"endpoint_kwargs: {said}") from error
            mapped = failure(self._request["EndpointName"], error)
            if mapped is None or mapped is error:
                raise
            raise mapped from error

    def _unary(self) -> Iterator[GenerationChunk]:
        body = self._client.invoke_endpoint(**self._request)["Body"]
        self._hold(body._raw_stream)
        yield from self._wire.parsed(body.read())

    def _streamed(self) -> Iterator[GenerationChunk]:
        events = self._client.invoke_endpoint_with_response_stream(**self._request)["Body"]
        self._hold(events._raw_stream)
        decoder = self._wire.decoder()
        for event in events:
            if "PayloadPart" in event:
                yield from decoder.feed(event["PayloadPart"]["Bytes"])
            if decoder.ended:
                return
        yield from decoder.flush()
        if not decoder.ended and not self._closed.is_set():
            raise WireError("the stream ended without its end marker.")

    def _joined(self) -> Iterator[GenerationChunk]:
        whole = None
        for piece in self._streamed():
            whole = piece if whole is None else whole + piece
        if whole is not None:
            yield whole

    def _hold(self, body: Any) -> None:
        with self._lock:
            self._body = body
        if self._closed.is_set():
            self._release()

    def _release(self) -> None:
        if self._body is not None:
            self._body.close()

    def _sleep(self, seconds: float) -> None:
        self._closed.wait(seconds)
