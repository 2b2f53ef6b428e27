"""LangChain-AWS content handlers for Llama 2 and Falcon endpoints, for its own `SagemakerEndpoint`.

    SagemakerEndpoint(endpoint_name="my-falcon", content_handler=FalconContentHandler(), region_name="eu-west-1")

They translate one request and one reply. Stop strings, retries, interrupted streams and concurrent requests need more
than a handler can do: use `SageMakerLLM`, which uses the same wires.
"""

import json
from typing import Any

from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler

from ..parameters import GenerationParameters
from ..wires import get_wire
from ..wires.wire_error import NotStreamed, WireError


class WireContentHandler(LLMContentHandler):
    """A content handler for one of sagechain's wires.

    Args:
        wire: the wire's name; `sagechain.llms.wires.list_wires()` lists them.

    Raises:
        ValueError: no such wire.
    """

    content_type = "application/json"
    accepts = "application/json"

    def __init__(self, wire: str) -> None:
        self.wire = get_wire(wire)

    def transform_input(self, prompt: str, model_kwargs: dict[str, Any]) -> bytes:
        """The request's body. `model_kwargs` are inference parameters; `stream` requests a stream.

        Raises:
            ValueError: an empty prompt, or a parameter that is unknown, out of range or not carried by the wire.
        """
        if not prompt:
            raise ValueError("prompt: it is empty; give at least one character")
        values = dict(model_kwargs)
        stream = bool(values.pop("stream", False))
        return json.dumps(self.wire.request(prompt, GenerationParameters(**values), stream=stream)).encode()

    def transform_output(self, output: Any) -> str:
        """The text in a reply's body (an object with `.read()`), or in one line of a streamed reply.

        Raises:
            ValueError: the reply is not in this wire's format, or reports an error.
        """
        try:
            if hasattr(output, "read"):
                return self.wire.parse_reply(output.read())[0].text
            return self._line(output.rstrip(b"\r\n"))
        except WireError as error:
            raise ValueError(f"wire {self.wire.name}: {error}") from error

    def _line(self, line: bytes) -> str:
        if not line.strip():
            return ""
        if self.wire.streams:
            try:
                return self.wire.decoder().text_of_line(line)
            except NotStreamed:
                pass  # a whole reply, of one line
        return self.wire.parse_reply(line)[0].text


class Llama2ContentHandler(WireContentHandler):
    """For Llama 2 endpoints: `llama2-dialog` (model version 2.x) or `tgi` (from version 3)."""

    def __init__(self, wire: str = "llama2-dialog") -> None:
        super().__init__(wire)


class FalconContentHandler(WireContentHandler):
    """For Falcon endpoints, whose wire is `tgi`."""

    def __init__(self, wire: str = "tgi") -> None:
        super().__init__(wire)
