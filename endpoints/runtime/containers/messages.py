"""OpenAI's chat completions, as vLLM, LMI and TGI serve them: messages in, a message or server-sent events out.

Source: OpenAI's API reference, "Chat completions". The model's own template lays the messages out. `tools` are refused.
"""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, ClassVar
from uuid import uuid4

from langchain_core.messages import BaseMessage, convert_to_messages
from langchain_core.outputs import GenerationChunk
from pydantic import BaseModel, ConfigDict, Field
from sagechain.endpoints.runtime.containers.base import ModelContainer, Reply, greedy, json_reply, stream_reply
from sagechain.prompts import get_family


class ChatRequest(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="ignore", strict=True)
    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    seed: int | None = None
    stop: Annotated[list[str], Field(max_length=4)] | str | None = None
    tools: Annotated[list[Any], Field(max_length=0)] = []
    stream: bool = False
    stream_options: dict[str, Any] = {}


class ChatContainer(ModelContainer):
    """A server of chat completions."""

    refuses_with: ClassVar[int] = 400
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"

    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request."""
        request = ChatRequest.model_validate(json.loads(body))
        prompt, settings = self._asked(request)
        await self.check_room(prompt, request.max_tokens or 1)  # without a limit the answer may fill what is left
        if request.stream:
            return await stream_reply(self._events(request), "text/event-stream")
        answers = await self.llm.acomplete(prompt, **settings)
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text},
                "finish_reason": _info(answer).get("finish_reason", "stop"),
            }
            for index, answer in enumerate(answers)
        ]
        return json_reply({**_head("chat.completion"), "choices": choices, "usage": _usage(answers)})

    def refusal(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        kind = "invalid_request_error" if status < 500 else "server_error"
        return json_reply({"error": {"message": message, "type": kind, "code": status}}, status)

    def failed_event(self, message: str) -> bytes:
        """A failure inside a stream."""
        return _event({"error": {"message": message, "type": "server_error", "code": 500}})

    def _asked(self, request: ChatRequest) -> tuple[Any, dict[str, Any]]:
        names = {"temperature": "temperature", "top_p": "top_p", "seed": "seed", "num_return_sequences": "n"}
        given = {ours: value for ours, theirs in names.items() if (value := getattr(request, theirs)) is not None}
        limit = {} if request.max_tokens is None else {"max_new_tokens": request.max_tokens}
        stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
        messages: list[BaseMessage] = convert_to_messages(request.messages)
        if self.llm.takes_roles:
            return messages, {"stop": stops, **limit, **greedy(given)}
        rendered = get_family(self.llm.family or "plain").render(messages)
        return rendered.text, {"stop": [*stops, *rendered.stop], **limit, **greedy(given)}

    async def _events(self, request: ChatRequest) -> AsyncGenerator[bytes, None]:
        prompt, settings = self._asked(request)
        head, arrived, reason = _head("chat.completion.chunk"), list[GenerationChunk](), "stop"
        delta: dict[str, Any] = {"role": "assistant"}
        async with aclosing(self.llm.apieces(prompt, **settings)) as pieces:
            async for piece in pieces:
                arrived.append(piece)
                reason = _info(piece).get("finish_reason", reason)
                delta["content"] = piece.text
                yield _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
                delta = {}
        yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if request.stream_options.get("include_usage"):
            yield _event({**head, "choices": [], "usage": _usage(arrived)})
        yield b"data: [DONE]\n\n"


def _head(kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid4().hex}", "object": kind, "created": int(time.time()), "model": "local"}


def _event(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _info(piece: GenerationChunk) -> dict[str, Any]:
    return piece.generation_info or {}


def _usage(answers: list[GenerationChunk]) -> dict[str, int]:
    asked = max((_info(answer).get("input_tokens", 0) for answer in answers), default=0)
    answered = sum(_info(answer).get("output_tokens", 0) for answer in answers)
    return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}
