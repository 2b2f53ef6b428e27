"""Errors that a reply shows once it is read; `llms/sagemaker/aws_errors.py` maps them to the public errors."""

import json
import re
from collections.abc import Mapping
from typing import Any

from ..errors import LLMError, MalformedResponse, ModelFailed, RequestRejected, Throttled

FAILURES = ("error", "abort")
"""Finish reasons with which a container reports that it failed."""
SHOWN_BYTES = 200  # of a reply, in an error's message


class WireError(Exception):
    """The reply is not a valid answer: it breaks the wire's format, or reports an error of the container.

    Args:
        public_class: the public error for it.
    """

    def __init__(self, message: str, public_class: type[LLMError] = MalformedResponse) -> None:
        super().__init__(message)
        self.public_class = public_class


class NotStreamed(WireError):
    """A whole reply arrived where a stream was requested."""

    def __init__(self) -> None:
        super().__init__("the reply is not a stream of events; the container did not take `stream`.")


def unexpected_reply(reply: Any) -> WireError:
    """The error for a reply that is JSON, but not in this wire's format."""
    return WireError(f"the reply has an unexpected shape: {shortened(json.dumps(reply).encode())!r}.")


def container_error(reply: Mapping[str, Any]) -> WireError:
    """The error that a container reports inside a reply: `{"error": "…" or {"message", "code"}, "error_type", "code"}`."""
    reported = reply["error"]
    details = reported if isinstance(reported, dict) else reply
    message = f"the container reports: {str(details.get('message') or reported).rstrip('.')}."
    code, types = str(details.get("code", "")), (details.get("type"), reply.get("error_type"))
    if code == "429" or "overloaded" in types:
        return WireError(message, Throttled)
    is_rejected = re.fullmatch("4[0-9][0-9]", code) or "validation" in types
    return WireError(message, RequestRejected if is_rejected else ModelFailed)


def failed_answer(finish_reason: Any, container_message: Any = None) -> WireError:
    """The error for an answer whose finish reason is one of `FAILURES`, with the container's message if it sent one."""
    return WireError(
        f"the container failed: {container_message or f'finish_reason is {finish_reason!r}'}.", ModelFailed
    )


def shortened(body: bytes) -> str:
    """The beginning of a body, for an error's message."""
    text = body[:SHOWN_BYTES].decode("utf-8", "replace")
    return text + "…" if len(body) > SHOWN_BYTES else text
