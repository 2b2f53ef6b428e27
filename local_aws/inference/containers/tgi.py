"""Text Generation Inference, as JumpStart's Falcon speaks it: text in, text or server-sent events out.

Source: the HTTP API of TGI 2.x, and the limits in its router's `validation.rs`.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from langchain_core.outputs import GenerationChunk
from pydantic import BaseModel, ConfigDict, Field
from sagechain.llms import TextModel

from .base import ModelContainer, Reply, complaints, greedy, json_reply, stream_reply


class TgiParameters(BaseModel):
    """What Text Generation Inference reads; it ignores names that it does not know."""

    model_config = ConfigDict(extra="ignore", strict=True)
    max_new_tokens: Annotated[int, Field(gt=0)] = 100
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    do_sample: bool | None = None
    temperature: Annotated[float, Field(gt=0)] | None = None
    top_k: Annotated[int, Field(gt=0)] | None = None
    top_p: Annotated[float, Field(gt=0, lt=1)] | None = None
    typical_p: Annotated[float, Field(gt=0, lt=1)] | None = None  # checked, not used
    seed: Annotated[int, Field(ge=0)] | None = None
    stop: Annotated[list[str], Field(max_length=4)] = []
    return_full_text: bool | None = None
    details: bool = False


class TgiRequest(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="ignore", strict=True)
    inputs: Annotated[str, Field(min_length=1)]
    parameters: TgiParameters = TgiParameters()
    stream: bool = False


class TgiContainer(ModelContainer):
    """Text Generation Inference. Stop strings stay in the text, as in TGI."""

    Request: ClassVar[type[TgiRequest]] = TgiRequest
    stream_type: ClassVar[str] = "text/event-stream"
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"
    too_long: ClassVar[str] = (
        "`inputs` tokens + `max_new_tokens` must be <= {room}. Given: {asked} `inputs` tokens and {new} `max_new_tokens`"
    )
    checks_in_stream: ClassVar[bool] = True
    """Whether a streamed request is checked when its stream has begun, so that a refusal is an event, under status 200."""

    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request."""
        asked = json.loads(body)
        try:
            return await self._answered(self.Request.model_validate(asked))
        except ValueError as error:
            if not (self.checks_in_stream and isinstance(asked, dict) and asked.get("stream") is True):
                raise
            return Reply(200, self.stream_type, self.event(_invalid(complaints(error))))

    async def _answered(self, request: TgiRequest) -> Reply:
        await self.check_room(request.inputs, request.parameters.max_new_tokens)
        tokens = _tokens(self.llm, request)
        if request.stream:
            return await stream_reply(self._events(tokens, request), self.stream_type)
        async with aclosing(tokens):
            async for token in tokens:
                if token.last is not None:
                    answer = _final(token.last, request)
                    if not request.parameters.details:
                        del answer["details"]
                    return json_reply(self.whole(answer))
        raise AssertionError("the last token has `last`")

    def refusal(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        if status == 400:
            said = f"Failed to parse the request body as JSON: {message}"
            return Reply(400, "text/plain; charset=utf-8", said.encode())
        return json_reply(_invalid(message), 422) if status == 422 else super().refusal(status, message)

    def whole(self, answer: dict[str, Any]) -> Any:
        """A whole reply."""
        return [answer]

    def event(self, event: dict[str, Any]) -> bytes:
        """One event of a stream."""
        return f"data:{json.dumps(event, ensure_ascii=False)}\n\n".encode()

    def token(self, text: str, special: bool) -> dict[str, Any]:
        """A token, as an event tells it."""
        return {"id": 0, "text": text, "logprob": 0.0, "special": special}

    def error_event(self, message: str) -> bytes:
        """A failure inside a stream."""
        return self.event({"error": message, "error_type": "generation"})

    async def _events(self, tokens: AsyncGenerator["_Token", None], request: TgiRequest) -> AsyncGenerator[bytes, None]:
        index = 0
        async with aclosing(tokens):
            async for token in tokens:
                index += 1
                event: dict[str, Any] = {
                    "index": index,
                    "token": self.token(token.text, token.special),
                    "generated_text": None,
                    "details": None,
                }
                if token.last is not None:
                    event |= _final(token.last, request)
                yield self.event(event)


def _invalid(message: str) -> dict[str, str]:
    return {"error": f"Input validation error: {message}", "error_type": "validation"}


@dataclass(frozen=True)
class _End:
    reason: Literal["length", "eos_token", "stop_sequence"]
    text: str
    tokens: int


@dataclass(frozen=True)
class _Token:
    text: str
    special: bool = False
    last: _End | None = None


async def _tokens(llm: TextModel, request: TgiRequest) -> AsyncGenerator[_Token, None]:
    """The model's tokens as TGI gives them: one is held back, since the last one carries the end."""
    asked = request.parameters
    names = ("repetition_penalty", "do_sample", "temperature", "top_k", "top_p", "seed")
    given = {name: value for name in names if (value := getattr(asked, name)) is not None}
    text, count, held = "", 0, None
    pieces = llm.achunks(request.inputs, stop=[], max_new_tokens=asked.max_new_tokens, **greedy(given))
    async with aclosing(pieces):
        async for piece in pieces:
            if held is not None and (piece.text or _reason(piece) != "length"):
                yield held
                held = None
            if piece.text:
                text, count = text + piece.text, count + 1
                held = _Token(piece.text)
                if any(text.endswith(stop) for stop in asked.stop):
                    yield _Token(piece.text, last=_End("stop_sequence", text, count))
                    return
            if _reason(piece) == "length":
                yield _Token(held.text if held else "", last=_End("length", text, count))
                return
            if _reason(piece):
                if held:
                    yield held
                yield _Token("<|endoftext|>", special=True, last=_End("eos_token", text, count + 1))
                return


def _final(end: _End, request: TgiRequest) -> dict[str, Any]:
    text = request.inputs + end.text if request.parameters.return_full_text else end.text
    details = {"finish_reason": end.reason, "generated_tokens": end.tokens, "seed": request.parameters.seed}
    return {"generated_text": text, "details": details}


def _reason(piece: GenerationChunk) -> str | None:
    return (piece.generation_info or {}).get("finish_reason")
