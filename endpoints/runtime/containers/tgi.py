"""Text Generation Inference, as JumpStart's Falcon speaks it: text in, text or server-sent events out.

Source: the HTTP API of TGI 2.x.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from langchain_core.outputs import GenerationChunk
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sagechain.endpoints.runtime.containers.base import Container, Reply, complaints, greedy, json_reply
from sagechain.llms.text_model import TextModel

DEFAULT_NEW_TOKENS = 100  # TGI 2.x, where a request names no limit


class TgiParameters(BaseModel):
    """What Text Generation Inference reads; it ignores names that it does not know."""

    model_config = ConfigDict(extra="ignore", strict=True)
    max_new_tokens: Annotated[int, Field(gt=0)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    do_sample: bool | None = None
    temperature: Annotated[float, Field(gt=0)] | None = None
    top_k: Annotated[int, Field(gt=0)] | None = None
    top_p: Annotated[float, Field(gt=0, lt=1)] | None = None
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


class TgiContainer(Container):
    """Text Generation Inference: text in, text or server-sent events out. Stop strings stay in the text, as in TGI."""

    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request."""
        try:
            request = TgiRequest.model_validate(json.loads(body))
        except (json.JSONDecodeError, RecursionError) as error:
            return Reply(
                400, "text/plain; charset=utf-8", f"Failed to parse the request body as JSON: {error}".encode()
            )
        except UnicodeDecodeError as error:
            return Reply(400, "text/plain; charset=utf-8", f"The request body is not UTF-8: {error}".encode())
        except ValidationError as error:
            return self.refusal(422, "Input validation error: " + complaints(error))
        tokens = _tokens(self.llm, request)
        if request.stream:
            return await _begun(_events(tokens, request))
        async with aclosing(tokens):
            async for token in tokens:
                if token.last is not None:
                    answer = _final(token.last, request)
                    return json_reply(
                        [answer if request.parameters.details else {"generated_text": answer["generated_text"]}]
                    )
        raise AssertionError("the last token has `last`")


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
    limit = asked.max_new_tokens or DEFAULT_NEW_TOKENS
    names = ("repetition_penalty", "do_sample", "temperature", "top_k", "top_p", "seed")
    given = {name: value for name in names if (value := getattr(asked, name)) is not None}
    text, count, held = "", 0, None
    async with aclosing(llm.apieces(request.inputs, stop=[], max_new_tokens=limit, **greedy(given))) as pieces:
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


async def _events(tokens: AsyncGenerator[_Token, None], request: TgiRequest) -> AsyncGenerator[bytes, None]:
    index = 0
    async with aclosing(tokens):
        async for token in tokens:
            index += 1
            event: dict[str, Any] = {
                "index": index,
                "token": {"id": 0, "text": token.text, "logprob": 0.0, "special": token.special},
                "generated_text": None,
                "details": None,
            }
            if token.last is not None:
                event |= _final(token.last, request)
            yield f"data:{json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _final(end: _End, request: TgiRequest) -> dict[str, Any]:
    text = request.inputs + end.text if request.parameters.return_full_text else end.text
    details = {"finish_reason": end.reason, "generated_tokens": end.tokens, "seed": request.parameters.seed}
    return {"generated_text": text, "details": details}


def _reason(piece: GenerationChunk) -> str | None:
    return (piece.generation_info or {}).get("finish_reason")


async def _begun(events: AsyncGenerator[bytes, None]) -> Reply:
    """The stream as a reply, once its first event is there: before that an error is a refusal."""
    first = await anext(events)

    async def all_events() -> AsyncGenerator[bytes, None]:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    return Reply(200, "text/event-stream", all_events())
