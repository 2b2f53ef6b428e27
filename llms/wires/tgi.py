"""The wire of Text Generation Inference: JumpStart's Falcon, and its Llama 2 from model version 3.

Source: the HTTP API of TGI 2.x. It rejects values that mean *off* (`top_p` 1, `top_k` 0), and streams only when the body
has `"stream": true`; the last event of a stream has `generated_text` and `details`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from langchain_core.outputs import GenerationChunk

from .base import Wire, is_count
from .lines import LineDecoder
from .wire_error import FAILURES, NotStreamed, failed_answer, unexpected_reply

FINISH_REASONS = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


class TextGenerationInference(Wire):
    """`{"inputs", "parameters", "stream"}` → `[{"generated_text"}]`, or server-sent events."""

    name: ClassVar[str] = "tgi"
    servers: ClassVar[str] = "Text Generation Inference: JumpStart's Falcon, and its Llama 2 from model version 3"
    fixed_parameters: ClassVar[Mapping[str, Any]] = {"details": True}
    """Without `details` a reply does not report whether the answer was truncated."""
    parameter_names: ClassVar[Mapping[str, str]] = {
        name: name
        for name in (
            "max_new_tokens",
            "repetition_penalty",
            "do_sample",
            "temperature",
            "top_k",
            "top_p",
            "return_full_text",
            "stop",
            "seed",
        )
    }
    omitted_when_off: ClassVar[frozenset[str]] = frozenset({"top_k", "top_p"})
    max_stop_strings: ClassVar[int | None] = 4  # TGI's default --max-stop-sequences
    end_marker: ClassVar[str] = "an event with `generated_text`"

    def _answers(self, reply: Any) -> list[GenerationChunk]:
        """The reply is a list of one object, or the bare object."""
        items = reply if isinstance(reply, list) else [reply]
        if not items or not all(isinstance(item, dict) for item in items):
            raise unexpected_reply(reply)
        return [_answer(item) for item in items]

    def decoder(self) -> "TokenDecoder":
        """A new reader of server-sent events, and of LMI's JSON lines."""
        return TokenDecoder()


class TokenDecoder(LineDecoder):
    """Reads `{"token": {"text", "special"}, "generated_text", "details"}`, one line a token."""

    def _event(self, event: dict[str, Any]) -> Iterator[GenerationChunk]:
        token = event.get("token")
        info = _info(event)
        if token is None and isinstance(event.get("generated_text"), str):
            raise NotStreamed(event)
        if not isinstance(token, dict) or not isinstance(token.get("text"), str):
            raise unexpected_reply(event)
        self.ended = event.get("generated_text") is not None
        text = "" if token.get("special") or token.get("special_token") else token["text"]
        yield GenerationChunk(text=text, generation_info=info if self.ended else None)


def _answer(item: dict[str, Any]) -> GenerationChunk:
    info, text = _info(item), item.get("generated_text")
    if not isinstance(text, str):
        raise unexpected_reply(item)
    return GenerationChunk(text=text, generation_info=info)


def _info(item: dict[str, Any]) -> dict[str, Any] | None:
    """Finish reason and token count; None if the container sent neither. Raises `WireError` on a failed answer."""
    details = item.get("details")
    if not isinstance(details, dict):
        details = {"finish_reason": item["finish_reason"]} if "finish_reason" in item else None
    # LMI has put its error message into each of these, depending on its version.
    places = [place for place in (item, item.get("token"), details) if isinstance(place, dict)]
    error_message = next((place["error_msg"] for place in places if place.get("error_msg")), None)
    reason = details.get("finish_reason") if details else None
    if error_message or reason in FAILURES:
        raise failed_answer(reason, error_message)
    if not isinstance(reason, str | None):
        raise unexpected_reply(item)
    if details is None:
        return None
    info: dict[str, Any] = {"finish_reason": FINISH_REASONS.get(str(reason), reason)}
    if is_count(details.get("generated_tokens")):
        info["output_tokens"] = details["generated_tokens"]
    return info
