"""Model containers: what stands behind an endpoint and answers `/invocations`, one class a wire.

A container knows nothing of SageMaker. It gets a body and the custom attributes, and gives back a `Reply`: a status and
either bytes or a stream of bytes. `server.py` puts SageMaker's framing around it.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import GenerationChunk
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sagechain.llms.errors import LLMError
from sagechain.llms.text_model import TextModel
from sagechain.prompts import get_family

DEFAULT_NEW_TOKENS = {"tgi": 100, "llama2-dialog": 256}
EULA_MESSAGE = (
    "This model has a licence to accept first: pass custom_attributes='accept_eula=true' with the request. "
    "By doing so you accept the end-user licence agreement of the model."
)


@dataclass(frozen=True)
class Reply:
    """What a container answers: `body` is whole, or a stream."""

    status: int
    content_type: str
    body: bytes | AsyncGenerator[bytes, None]


class Container(ABC):
    """A model and the wire that it speaks."""

    def __init__(self, llm: TextModel) -> None:
        self.llm = llm

    async def invoke(self, body: bytes, attributes: str) -> Reply:
        """Answer one request. What the model refuses is a reply too."""
        try:
            return await self.answer(body, attributes)
        except (ValueError, LLMError) as error:
            return self.refusal(422 if isinstance(error, ValueError) else 500, str(error))

    @abstractmethod
    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request; a ValueError or LLMError becomes a refusal."""

    def refusal(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        return _json({"error": message, "error_type": "validation" if status < 500 else "generation"}, status)


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
        except json.JSONDecodeError as error:
            return Reply(
                400, "text/plain; charset=utf-8", f"Failed to parse the request body as JSON: {error}".encode()
            )
        except UnicodeDecodeError as error:
            return Reply(400, "text/plain; charset=utf-8", f"The request body is not UTF-8: {error}".encode())
        except ValidationError as error:
            return self.refusal(422, "Input validation error: " + _complaints(error))
        tokens = _tokens(self.llm, request)
        if request.stream:
            return await _begun(_events(tokens, request))
        async with aclosing(tokens):
            async for token in tokens:
                if token.last is not None:
                    answer = _final(token.last, request)
                    return _json(
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
    limit = asked.max_new_tokens or DEFAULT_NEW_TOKENS["tgi"]
    names = ("repetition_penalty", "do_sample", "temperature", "top_k", "top_p", "seed")
    given = {name: value for name in names if (value := getattr(asked, name)) is not None}
    text, count, held = "", 0, None
    async with aclosing(llm.apieces(request.inputs, stop=[], max_new_tokens=limit, **_greedy(given))) as pieces:
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


class DialogMessage(BaseModel):
    """One message of a dialog."""

    model_config = ConfigDict(extra="forbid", strict=True)
    role: Literal["system", "user", "assistant"]
    content: str


class DialogParameters(BaseModel):
    """What the Llama 2 container of JumpStart reads."""

    model_config = ConfigDict(extra="ignore", strict=True)
    max_new_tokens: Annotated[int, Field(gt=0)] | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None


class DialogRequest(BaseModel):
    """The body of a request: a batch of dialogs."""

    model_config = ConfigDict(extra="ignore", strict=True)
    inputs: Annotated[list[Annotated[list[DialogMessage], Field(min_length=1)]], Field(min_length=1)]
    parameters: DialogParameters = DialogParameters()


class DialogContainer(Container):
    """JumpStart's Llama 2 chat, version 2.x: dialogs in, one answer each, the EULA accepted by an attribute."""

    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request."""
        if "accept_eula=true" not in attributes.replace(" ", ""):
            return self.refusal(424, EULA_MESSAGE)
        try:
            request = DialogRequest.model_validate(json.loads(body))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            return self.refusal(400, f"the body is not JSON: {error}")
        except ValidationError as error:
            return self.refusal(400, _complaints(error))
        for dialog in request.inputs:
            if complaint := _out_of_turn(dialog):
                return self.refusal(400, complaint)
        given = request.parameters.model_dump(exclude_none=True, exclude={"max_new_tokens"})
        limit = request.parameters.max_new_tokens or DEFAULT_NEW_TOKENS["llama2-dialog"]
        texts = [await self._reply(dialog, {**_greedy(given), "max_new_tokens": limit}) for dialog in request.inputs]
        return _json([{"generation": {"role": "assistant", "content": text}} for text in texts])

    async def _reply(self, dialog: list[DialogMessage], parameters: dict[str, Any]) -> str:
        """The model's own template lays the dialog out, unless its URI names a family."""
        kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
        messages = [kinds[message.role](message.content) for message in dialog]
        if self.llm.takes_roles:
            return (await self.llm.acomplete(messages, stop=[], **parameters))[0].text
        rendered = get_family(self.llm.family or "plain").render(messages)
        return (await self.llm.acomplete(rendered.text, stop=rendered.stop, **parameters))[0].text

    def refusal(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        return _json({"code": status, "message": "prediction failure", "error": message}, status)


CONTAINERS: Mapping[str, type[Container]] = {"tgi": TgiContainer, "llama2-dialog": DialogContainer}


def _out_of_turn(dialog: list[DialogMessage]) -> str | None:
    roles = [message.role for message in dialog]
    exchange = roles[1:] if roles[0] == "system" else roles
    if (
        exchange
        and exchange[-1] == "user"
        and all(role == ("user", "assistant")[position % 2] for position, role in enumerate(exchange))
    ):
        return None
    return "a dialog may begin with 'system', then goes 'user', 'assistant', 'user' … and ends with 'user'"


def _greedy(given: dict[str, Any]) -> dict[str, Any]:
    """Without a temperature, or anything else that asks for chance, the likeliest token is taken."""
    return given if given else {"do_sample": False}


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


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, "application/json", json.dumps(value, ensure_ascii=False).encode())


def _complaints(error: ValidationError) -> str:
    return "; ".join(f"`{'.'.join(map(str, each['loc']))}`: {each['msg']}" for each in error.errors())
