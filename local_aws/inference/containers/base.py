"""What every container does: answer a body with a status and bytes, errors included.

A container does not know SageMaker: `inference/server.py` puts SageMaker's framing around its `Reply`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, ValidationError
from sagechain.llms import Prompt, TextModel
from sagechain.llms.errors import LLMError
from sagechain.prompts import OutputFormat


@dataclass(frozen=True)
class Reply:
    """What a container answers: its `body` is whole, or a stream."""

    status: int
    content_type: str
    body: bytes | AsyncGenerator[bytes, None]


class Container(ABC):
    """The server behind an endpoint."""

    keep_alive: ClassVar[bytes] = b"\n"
    """What its streams may contain between two events."""

    @abstractmethod
    async def invoke(self, body: bytes, attributes: str) -> Reply:
        """Answer one request; `attributes` are SageMaker's custom attributes."""

    def error_event(self, message: str) -> bytes:
        """A failure, as an event of a stream that has started."""
        return self.error_reply(message) + b"\n"

    def error_reply(self, message: str) -> bytes:
        """A failure, as a whole reply with status 200."""
        return json.dumps({"error": message}).encode()


class RequestModel(BaseModel):
    """A body, or a part of one: names that a container does not know are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True, hide_input_in_errors=True)


class ModelContainer(Container):
    """A model and the wire that it speaks."""

    invalid_status: ClassVar[int] = 422
    """The status of the reply to a body that is not valid."""
    context_error: ClassVar[str] = (
        "This model's maximum context length is {context_size} tokens. "
        "However, you requested {total} tokens ({prompt_tokens} in the prompt, {new_tokens} in the completion)"
    )
    """The error for a prompt and an answer that do not fit the context; here in vLLM's words."""

    def __init__(self, llm: TextModel) -> None:
        self.llm = llm

    async def invoke(self, body: bytes, attributes: str) -> Reply:
        """Answer one request, with an error reply where the body is not valid or the model fails."""
        try:
            return await self.answer(body, attributes)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            return self.error(400, f"the body is not JSON: {error}")
        except ValueError as error:
            return self.error(self.invalid_status, error_text(error))
        except LLMError as error:
            return self.error(500, str(error))

    @abstractmethod
    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request. A ValueError or LLMError becomes an error reply."""

    def error(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        return json_reply({"error": message, "error_type": "validation" if status < 500 else "generation"}, status)

    async def check_context(self, prompt: Prompt, new_tokens: int, output_format: OutputFormat | None = None) -> None:
        """Raise ValueError if the prompt and the new tokens do not fit the model's context."""
        context_size = self.llm.context_size
        if context_size is None:
            return
        prompt_tokens = await anyio.to_thread.run_sync(self.llm.prompt_tokens, prompt, output_format)
        if prompt_tokens is not None and prompt_tokens + new_tokens > context_size:
            counts = {"prompt_tokens": prompt_tokens, "new_tokens": new_tokens, "total": prompt_tokens + new_tokens}
            raise ValueError(self.context_error.format(context_size=context_size, **counts))


def greedy_unless(sampling: dict[str, Any]) -> dict[str, Any]:
    """The sampling parameters of a request; without any, the model decodes greedily."""
    return sampling or {"do_sample": False}


def json_reply(value: Any, status: int = 200) -> Reply:
    """A whole reply in JSON."""
    return Reply(status, "application/json", json.dumps(value, ensure_ascii=False).encode())


async def stream_reply(events: AsyncGenerator[bytes, None], content_type: str) -> Reply:
    """A stream as a reply, once its first event has arrived: an error before it becomes an error reply."""
    first = await anext(events)

    async def all_events() -> AsyncGenerator[bytes, None]:
        async with aclosing(events):
            yield first
            async for event in events:
                yield event

    return Reply(200, content_type, all_events())


async def chunks_of(reply: Reply) -> AsyncGenerator[bytes, None]:
    """The body of a reply as it arrives."""
    if isinstance(reply.body, bytes):
        yield reply.body
        return
    async with aclosing(reply.body) as chunks:
        async for chunk in chunks:
            yield chunk


async def whole_body(reply: Reply) -> bytes:
    """The body of a reply, once it is complete."""
    return b"".join([chunk async for chunk in chunks_of(reply)])


def error_text(error: ValueError) -> str:
    """Every problem of a body, in one line."""
    if not isinstance(error, ValidationError):
        return str(error)
    problems = [(".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
    return "; ".join(f"`{path}`: {message}" if path else message for path, message in problems)
