"""The wire of Text Generation Inference: JumpStart's Falcon, and its Llama 2 from model version 3.

Source: the HTTP API of TGI 2.x. Checked facts: it rejects values that mean *off* (`top_p` 1, `top_k` 0), and streams only
when the body says `"stream": true`; the last event of a stream carries `generated_text` and `details`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from langchain_core.outputs import GenerationChunk
from sagechain.prompts import OutputFormat

from ..generation import Prompt
from ..parameters import GenerationParameters
from .base import FAILURES, NotStreamed, OnUnsupported, Wire, container_error, failed_answer, wrong_shape
from .lines import Framing, LineDecoder, ServerSentEvents

FINISH_REASONS = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


class TextGenerationInference(Wire):
    """`{"inputs", "parameters", "stream"}` → `[{"generated_text"}]`, or server-sent events."""

    name: ClassVar[str] = "tgi"
    speakers: ClassVar[str] = "Text Generation Inference: JumpStart's Falcon, and its Llama 2 from model version 3"
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
    refuses_off: ClassVar[frozenset[str]] = frozenset({"top_k", "top_p"})
    most_stops: ClassVar[int | None] = 4  # TGI's default --max-stop-sequences
    end_marker: ClassVar[str] = "an event with `generated_text`"

    def request(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        output_format: OutputFormat | None = None,
        on_unsupported: OnUnsupported = "error",
    ) -> dict[str, Any]:
        """The body; `details` is asked for, since it alone tells a whole answer from one cut at the token limit."""
        sent = self.parameters(parameters, on_unsupported)
        return {"inputs": prompt, "parameters": {**sent, "details": True}, "stream": stream}

    def replies(self, reply: Any) -> list[GenerationChunk]:
        """The reply is a list of one, or the bare object."""
        items = reply if isinstance(reply, list) else [reply]
        if not items or not all(isinstance(item, dict) for item in items):
            raise wrong_shape(reply)
        return [_answer(item) for item in items]

    def decoder(self) -> "TokenDecoder":
        """A reader of server-sent events."""
        return TokenDecoder(ServerSentEvents())


class TokenDecoder(LineDecoder):
    """Reads `{"token": {"text", "special"}, "generated_text", "details"}`, a line a token."""

    def __init__(self, framing: Framing) -> None:
        super().__init__(framing)

    def _event(self, event: dict[str, Any]) -> Iterator[GenerationChunk]:
        token = event.get("token")
        info = _info(event)
        if token is None and isinstance(event.get("generated_text"), str):
            raise NotStreamed
        if not isinstance(token, dict) or not isinstance(token.get("text"), str):
            raise wrong_shape(event)
        self.ended = event.get("generated_text") is not None
        text = "" if token.get("special") or token.get("special_token") else token["text"]
        yield GenerationChunk(text=text, generation_info=info if self.ended else None)


def _answer(item: dict[str, Any]) -> GenerationChunk:
    if item.get("error"):
        raise container_error(item)
    info, text = _info(item), item.get("generated_text")
    if not isinstance(text, str):
        raise wrong_shape(item)
    return GenerationChunk(text=text, generation_info=info)


def _info(item: dict[str, Any]) -> dict[str, Any] | None:
    details = item.get("details")
    if not isinstance(details, dict):
        details = {"finish_reason": item["finish_reason"]} if "finish_reason" in item else None
    places = [place for place in (item, item.get("token"), details) if isinstance(place, dict)]
    said = next((place["error_msg"] for place in places if place.get("error_msg")), None)
    reason = details.get("finish_reason") if details else None
    if said or reason in FAILURES:
        raise failed_answer(reason, said)
    if details is None:
        return None
    info: dict[str, Any] = {"finish_reason": FINISH_REASONS.get(str(reason), reason)}
    if isinstance(details.get("generated_tokens"), int):
        info["output_tokens"] = details["generated_tokens"]
    return info
