"""DJL Large Model Inference in its default schema: as TGI, but with JSON lines, its own names and other limits.

Source: LMI's pages "Input and output schema". LMI answers vLLM's errors before a stream starts.
"""

import json
from typing import Annotated, Any, ClassVar

from pydantic import Field

from .base import ModelContainer, Reply, json_reply
from .tgi import TgiContainer, TgiParameters, TgiRequest


class LmiParameters(TgiParameters):
    """What LMI reads."""

    max_new_tokens: Annotated[int, Field(gt=0)] = 30
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    stop: list[str] = Field(default=[], alias="stop_sequences")


class LmiRequest(TgiRequest):
    """The body of a request."""

    parameters: LmiParameters = LmiParameters()


class LmiContainer(TgiContainer):
    """Large Model Inference."""

    Request: ClassVar[type[TgiRequest]] = LmiRequest
    stream_type: ClassVar[str] = "application/jsonlines"
    keep_alive: ClassVar[bytes] = b"\n"
    invalid_status: ClassVar[int] = 400
    context_error: ClassVar[str] = ModelContainer.context_error
    checks_in_stream: ClassVar[bool] = False

    def error(self, status: int, message: str) -> Reply:
        return json_reply({"error": message, "code": status}, status)

    def whole(self, answer: dict[str, Any]) -> Any:
        """A whole reply."""
        return answer

    def event(self, event: dict[str, Any]) -> bytes:
        """One line of a stream; only the last one has more than a token."""
        fields = {name: value for name, value in event.items() if value is not None and name != "index"}
        return json.dumps(fields, ensure_ascii=False).encode() + b"\n"

    def token(self, text: str, special: bool) -> dict[str, Any]:
        """A token, as a line of a stream contains it."""
        return {"id": 0, "text": text, "log_prob": 0.0} | ({"special_token": True} if special else {})

    def error_event(self, message: str) -> bytes:
        token = self.token("", special=True) | {"id": -1, "error_msg": message}
        details = {"finish_reason": "error", "generated_tokens": None}
        return self.event({"token": token, "generated_text": "", "details": details})
