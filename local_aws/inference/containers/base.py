"""What every container does: answer a body with a status and bytes, and turn what goes wrong into a refusal.

A container knows nothing of SageMaker: `server.py` puts SageMaker's framing around its `Reply`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar

import anyio.to_thread
from pydantic import ValidationError
from sagechain.llms import Prompt, TextModel
from sagechain.llms.errors import LLMError
from sagechain.prompts import OutputFormat


@dataclass(frozen=True)
class Reply:
    """What a container answers: `body` is whole, or a stream."""

    status: int
    content_type: str
    body: bytes | AsyncGenerator[bytes, None]


class Container(ABC):
    """What stands behind an endpoint."""

    keep_alive: ClassVar[bytes] = b"\n"
    """What a stream of it may hold between two events."""

    @abstractmethod
    async def invoke(self, body: bytes, attributes: str) -> Reply:
        """Answer one request; `attributes` are SageMaker's custom attributes."""

    def error_event(self, message: str) -> bytes:
        """How a failure shows inside a stream that has begun."""
        return self.error_reply(message) + b"\n"

    def error_reply(self, message: str) -> bytes:
        """How a failure shows inside a whole reply whose status says that all is well."""
        return json.dumps({"error": message}).encode()


class ModelContainer(Container):
    """A model and the wire that it speaks."""

    refuses_with: ClassVar[int] = 422
    """The status of a body that is not valid."""
    too_long: ClassVar[str] = (
        "This model's maximum context length is {room} tokens. "
        "However, you requested {sum} tokens ({asked} in the prompt, {new} in the completion)"
    )
    """What is said of a prompt and an answer that the context has no room for; here as vLLM says it."""

    def __init__(self, llm: TextModel) -> None:
        self.llm = llm

    async def invoke(self, body: bytes, attributes: str) -> Reply:
        """Answer one request. What the model refuses is a reply too."""
        try:
            return await self.answer(body, attributes)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            return self.refusal(400, f"the body is not JSON: {error}")
        except ValueError as error:
            return self.refusal(self.refuses_with, complaints(error))
        except LLMError as error:
            return self.refusal(500, str(error))

    @abstractmethod
    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request; a ValueError or LLMError becomes a refusal."""

    def refusal(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        return json_reply({"error": message, "error_type": "validation" if status < 500 else "generation"}, status)

    async def check_room(self, prompt: Prompt, new_tokens: int, output_format: OutputFormat | None = None) -> None:
        """Refuse what the model's context has no room for. Raises ValueError."""
        room = self.llm.context_size
        asked = None if room is None else await anyio.to_thread.run_sync(self.llm.prompt_tokens, prompt, output_format)
        if room is not None and asked is not None and asked + new_tokens > room:
            raise ValueError(self.too_long.format(room=room, asked=asked, new=new_tokens, sum=asked + new_tokens))


def greedy(given: dict[str, Any]) -> dict[str, Any]:
    """Without a temperature, or anything else that asks for chance, the likeliest token is taken."""
    return given if given else {"do_sample": False}


def json_reply(value: Any, status: int = 200) -> Reply:
    """A whole reply in JSON."""
    return Reply(status, "application/json", json.dumps(value, ensure_ascii=False).encode())


async def stream_reply(events: AsyncGenerator[bytes, None], content_type: str) -> Reply:
    """A stream as a reply, once its first event is there: before that an error is a refusal."""
    first = await anext(events)

    async def all_events() -> AsyncGenerator[bytes, None]:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    return Reply(200, content_type, all_events())


async def chunks_of(reply: Reply) -> AsyncGenerator[bytes, None]:
    """The body of a reply as it comes, whole or in a stream."""
    if isinstance(reply.body, bytes):
        yield reply.body
        return
    async with aclosing(reply.body) as chunks:
        async for chunk in chunks:
            yield chunk


async def whole_body(reply: Reply) -> bytes:
    """The body of a reply, once it is complete."""
    return b"".join([chunk async for chunk in chunks_of(reply)])


def complaints(error: ValueError) -> str:
    """What is wrong with a body, in a line."""
    if not isinstance(error, ValidationError):
        return str(error)
    told = [(".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")) for each in error.errors()]
    return "; ".join(f"`{place}`: {said}" if place else said for place, said in told)
