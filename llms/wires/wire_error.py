"""Errors that a reply shows once it is read; `llms/sagemaker/aws_errors.py` maps them to the public errors."""

import json
import re
from collections.abc import Mapping
from typing import Any

from ..errors import LLMError, MalformedResponse, ModelFailed, RequestRejected, Throttled
from .formats import format_hint

FAILURES = ("error", "abort")
"""Finish reasons with which a container reports that it failed."""
SHOWN_BYTES = 200  # of a reply, in an error's message
SHOWN_CHARACTERS = 500  # of a container's own message
THROTTLED = re.compile("overloaded|rate.?limit|throttl|too.?many")
OUT_OF_MEMORY = re.compile(
    r"out.of.memory|outofmemory|\boom\b|(not enough|insufficient) memory|memoryallocation|alloc_failed|bad_alloc"
    "|(can't|cannot|failed to|tried to) allocate",
    re.IGNORECASE | re.DOTALL,
)
REJECTED = re.compile("validation|invalid|bad.?request|not.?found|context.?length|unprocessable")


class WireError(Exception):
    """The reply is not a valid answer: it breaks the wire's format, or reports an error of the container.

    Args:
        public_class: the public error for it.
        hint: what the reply is instead, with the wire that reads it, as advice of the public error.
    """

    def __init__(self, message: str, public_class: type[LLMError] = MalformedResponse, hint: str = "") -> None:
        super().__init__(message)
        self.public_class = public_class
        self.hint = hint


class NotStreamed(WireError):
    """A whole reply arrived where a stream was requested."""

    def __init__(self, reply: Any = None) -> None:
        super().__init__(
            "the reply is not a stream of events; the container did not take `stream`.", hint=format_hint(reply)
        )


def unexpected_reply(reply: Any) -> WireError:
    """The error for a reply that is JSON, but not in this wire's format."""
    try:
        shown = shortened(json.dumps(reply).encode())
    except RecursionError:
        shown = "deeply nested JSON"
    return WireError(f"the reply has an unexpected shape: {shown!r}.", hint=format_hint(reply))


def reported_error(reply: Any) -> WireError | None:
    """The error that a container reports in place of an answer; None if the reply is not one of these.

    TGI sends `{"error", "error_type"}`, OpenAI `{"error": {"message", "type", "code"}}`, vLLM `{"object": "error",
    "message", "type", "code"}`, multi-model-server `{"code", "type", "message"}`, FastAPI `{"detail"}`.
    """
    if isinstance(reply, list):
        return next(filter(None, map(reported_error, reply[:1])), None) if len(reply) == 1 else None
    if not isinstance(reply, Mapping):
        return None
    is_error = (
        reply.get("error")
        or reply.get("object") == "error"
        or (_status(reply) >= 400 and "message" in reply)
        or reply.keys() == {"detail"}
    )
    return container_error(reply) if is_error else None


def container_error(reply: Mapping[str, Any]) -> WireError:
    """The error in a reply that reports one; see `reported_error`."""
    reported = reply.get("error") or reply.get("detail") or reply
    details = reported if isinstance(reported, Mapping) else reply
    message = _text(details.get("message") or reply.get("message") or reported)
    return WireError(f"the container reports: {message}.", _public_class(details, reply, message))


def _public_class(details: Mapping[str, Any], reply: Mapping[str, Any], message: str) -> type[LLMError]:
    status = _status(details) or _status(reply)
    named = (details.get("type"), details.get("code"), reply.get("error_type"))
    words = " ".join(each for each in named if isinstance(each, str)).lower()
    if is_out_of_memory(message, words):
        return ModelFailed
    if status == 429 or (not status and THROTTLED.search(words)):
        return Throttled
    return RequestRejected if 400 <= status < 500 or (not status and REJECTED.search(words)) else ModelFailed


def is_out_of_memory(message: str, words: str = "", sent: bytes = b"") -> bool:
    """Whether a container's memory was too small, whatever its status: TGI's is 424, the Hugging Face toolkit's 400.

    Args:
        message: what the container reports.
        words: its own names for the kind of error.
        sent: the request, whose words a message may repeat.
    """
    found = (match[0].lower().encode() for match in OUT_OF_MEMORY.finditer(message))
    return "validation" not in words and any(each not in sent.lower() for each in found)


def _status(reply: Mapping[str, Any]) -> int:
    """The HTTP status in a reply; 0 without one."""
    values = (str(reply.get(name, "")) for name in ("code", "status", "status_code") if reply.get(name) is not True)
    return next((int(value) for value in values if re.fullmatch("[1-5][0-9][0-9]", value, re.ASCII)), 0)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value[:SHOWN_CHARACTERS].rstrip(". \n")
    try:
        return json.dumps(value, ensure_ascii=False)[:SHOWN_CHARACTERS]
    except RecursionError:
        return "deeply nested JSON"


def failed_answer(finish_reason: Any, container_message: Any = None) -> WireError:
    """The error for an answer whose finish reason is one of `FAILURES`, with the container's message if it sent one."""
    message = _text(container_message) if container_message else f"finish_reason is {finish_reason!r}"
    return WireError(f"the container failed: {message}.", ModelFailed)


def shortened(body: bytes) -> str:
    """The beginning of a body, for an error's message."""
    text = body[:SHOWN_BYTES].decode("utf-8", "replace")
    return text + "…" if len(body) > SHOWN_BYTES else text
