"""Text Generation Inference, as JumpStart's Falcon speaks it: text in, text or server-sent events out.

Source: the HTTP API of TGI 2.x, and the limits in its router's `validation.rs`.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from langchain_core.outputs import GenerationChunk
from pydantic import Field
from sagechain.llms import TextModel

from .base import ModelContainer, Reply, RequestModel, error_text, greedy_unless, json_reply, stream_reply


class TgiParameters(RequestModel):
    """What Text Generation Inference reads."""

    max_new_tokens: Annotated[int, Field(gt=0)] = 100
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    do_sample: bool | None = None
    temperature: Annotated[float, Field(gt=0)] | None = None
    top_k: Annotated[int, Field(gt=0)] | None = None
    top_p: Annotated[float, Field(gt=0, lt=1)] | None = None
    typical_p: Annotated[float, Field(gt=0, lt=1)] | None = None  # checked; our engines do not have it
    seed: Annotated[int, Field(ge=0)] | None = None
    stop: Annotated[list[str], Field(max_length=4)] = Field(default_factory=list)
    return_full_text: bool | None = None
    details: bool = False


class TgiRequest(RequestModel):
    """The body of a request."""

    inputs: Annotated[str, Field(min_length=1)]
    parameters: TgiParameters = TgiParameters()
    stream: bool = False


class TgiContainer(ModelContainer):
    """Text Generation Inference. Stop strings stay in the text, as in TGI."""

    Request: ClassVar[type[TgiRequest]] = TgiRequest
    stream_type: ClassVar[str] = "text/event-stream"
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"
    context_error: ClassVar[str] = (
        "`inputs` tokens + `max_new_tokens` must be <= {context_size}. "
        "Given: {prompt_tokens} `inputs` tokens and {new_tokens} `max_new_tokens`"
    )
    checks_in_stream: ClassVar[bool] = True
    """Whether an invalid request for a stream is answered with an event, under status 200."""

    async def answer(self, body: bytes, attributes: str) -> Reply:
        parsed = json.loads(body)
        try:
            return await self._answer(self.Request.model_validate(parsed))
        except ValueError as error:
            is_stream = isinstance(parsed, dict) and parsed.get("stream") is True
            if not (self.checks_in_stream and is_stream):
                raise
            return Reply(200, self.stream_type, self.event(_validation_error(error_text(error))))

    async def _answer(self, request: TgiRequest) -> Reply:
        await self.check_context(request.inputs, request.parameters.max_new_tokens)
        tokens = _tokens(self.llm, request)
        if request.stream:
            return await stream_reply(self._events(tokens, request), self.stream_type)
        async with aclosing(tokens):
            async for token in tokens:
                if token.end is not None:
                    answer = _final_fields(token.end, request)
                    if not request.parameters.details:
                        del answer["details"]
                    return json_reply(self.whole(answer))
        raise AssertionError("the last token has `end`")

    def error(self, status: int, message: str) -> Reply:
        if status == 400:
            text = f"Failed to parse the request body as JSON: {message}"
            return Reply(400, "text/plain; charset=utf-8", text.encode())
        return json_reply(_validation_error(message), 422) if status == 422 else super().error(status, message)

    def whole(self, answer: dict[str, Any]) -> Any:
        """The body of a reply that is not streamed."""
        return [answer]

    def event(self, event: dict[str, Any]) -> bytes:
        """One event of a stream."""
        return f"data:{json.dumps(event, ensure_ascii=False)}\n\n".encode()

    def token(self, text: str, special: bool) -> dict[str, Any]:
        """A token, as an event contains it."""
        return {"id": 0, "text": text, "logprob": 0.0, "special": special}

    def error_event(self, message: str) -> bytes:
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
                if token.end is not None:
                    event |= _final_fields(token.end, request)
                yield self.event(event)


def _validation_error(message: str) -> dict[str, str]:
    return {"error": f"Input validation error: {message}", "error_type": "validation"}


@dataclass(frozen=True)
class _End:
    """How an answer ended, with its whole text and the number of its tokens."""

    reason: Literal["length", "eos_token", "stop_sequence"]
    text: str
    tokens: int


@dataclass(frozen=True)
class _Token:
    """A token; the last one has the answer's `end`."""

    text: str
    special: bool = False
    end: _End | None = None


async def _tokens(llm: TextModel, request: TgiRequest) -> AsyncGenerator[_Token, None]:
    """The model's chunks as TGI's tokens, each delayed by one: at the token limit, the last one has the end."""
    parameters = request.parameters
    names = ("repetition_penalty", "do_sample", "temperature", "top_k", "top_p", "seed")
    sampling = {name: value for name in names if (value := getattr(parameters, name)) is not None}
    settings = {"max_new_tokens": parameters.max_new_tokens, **greedy_unless(sampling)}
    text, count, delayed = "", 0, None
    async with aclosing(llm.achunks(request.inputs, stop=[], **settings)) as chunks:
        async for chunk in chunks:
            if delayed is not None and (chunk.text or _finish_reason(chunk) != "length"):
                yield delayed
                delayed = None
            if chunk.text:
                text, count = text + chunk.text, count + 1
                delayed = _Token(chunk.text)
                if any(text.endswith(stop) for stop in parameters.stop):
                    yield _Token(chunk.text, end=_End("stop_sequence", text, count))
                    return
            if _finish_reason(chunk) == "length":
                yield _Token(delayed.text if delayed else "", end=_End("length", text, count))
                return
            if _finish_reason(chunk):
                if delayed:
                    yield delayed
                yield _Token("<|endoftext|>", special=True, end=_End("eos_token", text, count + 1))
                return


def _final_fields(end: _End, request: TgiRequest) -> dict[str, Any]:
    """The fields of a whole answer, and of the last event of a stream."""
    text = request.inputs + end.text if request.parameters.return_full_text else end.text
    details = {"finish_reason": end.reason, "generated_tokens": end.tokens, "seed": request.parameters.seed}
    return {"generated_text": text, "details": details}


def _finish_reason(chunk: GenerationChunk) -> str | None:
    return (chunk.generation_info or {}).get("finish_reason")
