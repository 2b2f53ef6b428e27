"""The wire of Text Generation Inference: JumpStart's Falcon, and its Llama 2 from model version 3.

Source: the HTTP API of TGI 2.x. Checked facts: it rejects values that mean *off* (`top_p` 1, `top_k` 0), and streams only
when the body says `"stream": true`; the last event of a stream carries `generated_text` and `details`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from langchain_core.outputs import GenerationChunk
from sagechain.llms.calls import Prompt
from sagechain.llms.parameters import GenerationParameters
from sagechain.llms.wires.base import OnUnsupported, StreamDecoder, Wire, WireError, wrong_shape
from sagechain.llms.wires.lines import LineReader

MAX_STOPS = 4  # TGI's default --max-stop-sequences; further ones are cut by us alone

FINISH_REASONS = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}


class TextGenerationInference(Wire):
    """`{"inputs", "parameters", "stream"}` → `[{"generated_text"}]`, or server-sent events."""

    name: ClassVar[str] = "tgi"
    streams: ClassVar[bool] = True
    carries: ClassVar[Mapping[str, str]] = {
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

    def request(
        self, prompt: Prompt, parameters: GenerationParameters, *, stream: bool, on_unsupported: OnUnsupported = "error"
    ) -> dict[str, Any]:
        """The body; `details` is asked for, since it alone tells a whole answer from one cut at the token limit."""
        assert isinstance(prompt, str)
        sent = self.parameters(parameters, on_unsupported)
        if not parameters.samples:
            # TGI samples as soon as one of these is there, and rejects temperature 0.
            for name in ("temperature", "top_k", "top_p"):
                sent.pop(name, None)
            sent["do_sample"] = False
        else:
            sent["do_sample"] = True
        if "stop" in sent:
            sent["stop"] = sent["stop"][:MAX_STOPS]
        return {"inputs": prompt, "parameters": {**sent, "details": True}, "stream": stream}

    def replies(self, reply: Any) -> list[GenerationChunk]:
        """The reply is a list of one, or the bare object."""
        items = reply if isinstance(reply, list) else [reply]
        if not items or not all(isinstance(item, dict) for item in items):
            raise wrong_shape(reply)
        return [_answer(item) for item in items]

    def decoder(self) -> "TgiDecoder":
        """A reader of server-sent events."""
        return TgiDecoder()


class TgiDecoder(StreamDecoder):
    """Reads `data:{"token": {"text", "special"}, "generated_text", "details"}` events."""

    def __init__(self) -> None:
        self._lines = LineReader()

    def feed(self, data: bytes) -> Iterator[GenerationChunk]:
        """Text of the events that are complete."""
        for line in self._lines.feed(data):
            yield from self._event(line)

    def flush(self) -> Iterator[GenerationChunk]:
        """Text of a last event whose line had no end."""
        for line in self._lines.flush():
            yield from self._event(line)

    def _event(self, line: bytes) -> Iterator[GenerationChunk]:
        if self.ended or not line.startswith(b"data:"):
            if line.lstrip().startswith((b"{", b"[")) and not self.ended:
                raise WireError("the reply is not a stream of events; the container did not take `stream`.")
            return  # a blank line, a comment that keeps the connection alive, or a field that TGI does not use
        try:
            event = json.loads(line[5:])
        except ValueError as error:
            raise WireError(f"an event is not JSON: {line[:200]!r}.") from error
        if not isinstance(event, dict):
            raise wrong_shape(event)
        if "error" in event:
            raise WireError(f"the container says: {event['error']}.", _kind(event.get("error_type")))
        token = event.get("token")
        if not isinstance(token, dict) or not isinstance(token.get("text"), str):
            raise wrong_shape(event)
        self.ended = event.get("generated_text") is not None
        text = "" if token.get("special") else token["text"]
        yield GenerationChunk(text=text, generation_info=_info(event) if self.ended else None)


def _answer(item: dict[str, Any]) -> GenerationChunk:
    text = item.get("generated_text")
    if isinstance(text, str):
        return GenerationChunk(text=text, generation_info=_info(item))
    if "error" in item:
        raise WireError(f"the container says: {item['error']}.", _kind(item.get("error_type")))
    raise wrong_shape(item)


def _info(item: dict[str, Any]) -> dict[str, Any] | None:
    details = item.get("details")
    if not isinstance(details, dict):
        return None
    reason = details.get("finish_reason")
    info: dict[str, Any] = {"finish_reason": FINISH_REASONS.get(str(reason), reason)}
    if isinstance(details.get("generated_tokens"), int):
        info["output_tokens"] = details["generated_tokens"]
    return info


def _kind(error_type: object) -> Any:
    return "throttled" if error_type == "overloaded" else "failed"
