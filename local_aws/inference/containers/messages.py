"""OpenAI's chat completions, as vLLM, LMI and TGI serve them: messages in, a message or server-sent events out.

The model's own template lays the messages out, or the family of a model that knows text only. Tools are told to the model
in its prompt, and its calls are read out of what it writes: so any text model becomes a server with tools.

Source: OpenAI's API reference, "Chat completions".
"""

import json
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from typing import Any, ClassVar
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.outputs import GenerationChunk
from sagechain.llms import Prompt
from sagechain.prompts import Escaping, PromptFamily, ToolCallFormat, get_family
from sagechain.prompts.families import COMMON_ESCAPING
from sagechain.prompts.tool_calls import AnswerPart, ToolCallReader

from .base import ModelContainer, Reply, greedy, json_reply, stream_reply
from .chat_requests import ChatRequest


class ChatContainer(ModelContainer):
    """A server of chat completions."""

    refuses_with: ClassVar[int] = 400
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"

    async def answer(self, body: bytes, attributes: str) -> Reply:
        """Answer one request."""
        request = ChatRequest.model_validate(json.loads(body))
        prompt, settings = self._asked(request)
        # Without a limit the answer may fill what is left.
        await self.check_room(prompt, request.max_tokens or 1, request.output_format)
        if request.stream:
            return await stream_reply(self._events(request), "text/event-stream")
        answers = await self.llm.acomplete(prompt, **settings)
        told = [_choice(answer, Answer(request.use, self._escaping)) for answer in answers]
        choices = [{"index": index, **choice} for index, choice in enumerate(told)]
        return json_reply({**_head("chat.completion"), "choices": choices, "usage": _usage(answers)})

    def refusal(self, status: int, message: str) -> Reply:
        """An error, in the form of this container."""
        kind = "invalid_request_error" if status < 500 else "server_error"
        return json_reply({"error": {"message": message, "type": kind, "code": status}}, status)

    def error_event(self, message: str) -> bytes:
        """A failure inside a stream."""
        return _event({"error": {"message": message, "type": "server_error", "code": 500}})

    def _asked(self, request: ChatRequest) -> tuple[Prompt, dict[str, Any]]:
        names = {"temperature": "temperature", "top_p": "top_p", "seed": "seed", "num_return_sequences": "n"}
        given = {ours: value for ours, theirs in names.items() if (value := getattr(request, theirs)) is not None}
        limit = {} if request.max_tokens is None else {"max_new_tokens": request.max_tokens}
        stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
        settings = {**limit, **greedy(given), "output_format": request.output_format}
        messages = request.conversation()
        if self.llm.capabilities.takes_roles:
            return messages, {**settings, "stop": stops}
        rendered = self._family.render(messages, output_format=request.output_format)
        return rendered.text, {**settings, "stop": [*stops, *rendered.stop]}

    @property
    def _family(self) -> PromptFamily:
        return get_family(self.llm.family or "plain")

    @property
    def _escaping(self) -> Escaping:
        return (
            self.llm.capabilities.role_escaping
            if self.llm.capabilities.takes_roles
            else self._family.escaping + COMMON_ESCAPING
        )

    async def _events(self, request: ChatRequest) -> AsyncGenerator[bytes, None]:
        prompt, settings = self._asked(request)
        head, arrived, reason = _head("chat.completion.chunk"), list[GenerationChunk](), "stop"
        answer, role = Answer(request.use, self._escaping), {"role": "assistant"}
        async with aclosing(self.llm.achunks(prompt, **settings)) as pieces:
            async for piece in pieces:
                arrived.append(piece)
                reason = _info(piece).get("finish_reason", reason)
                for delta in answer.deltas(answer.feed(piece.text)):
                    yield _event({**head, "choices": [{"index": 0, "delta": role | delta, "finish_reason": None}]})
                    role = {}
        for delta in answer.deltas(answer.end(reason)):
            yield _event({**head, "choices": [{"index": 0, "delta": role | delta, "finish_reason": None}]})
            role = {}
        yield _event({**head, "choices": [{"index": 0, "delta": role, "finish_reason": answer.reason(reason)}]})
        if (request.stream_options or {}).get("include_usage"):
            yield _event({**head, "choices": [], "usage": _usage(arrived)})
        yield b"data: [DONE]\n\n"


class Answer:
    """What a model writes, as text and calls in OpenAI's form.

    Args:
        use: the tools that it may call; None: all of it is text.
        escaping: what was escaped in the prompt; arguments that repeat it are restored.
    """

    def __init__(self, use: ToolCallFormat | None, escaping: Escaping) -> None:
        self._use, self._reader = use, None if use is None else ToolCallReader(use, escaping)
        self._calls = 0

    def feed(self, text: str) -> Iterator[str | dict[str, Any]]:
        """Text and calls that are complete now."""
        return self._told([text] if self._reader is None else self._reader.feed(text))

    def end(self, reason: str) -> Iterator[str | dict[str, Any]]:
        """What was still held."""
        return self._told([] if self._reader is None else self._reader.flush(truncated=reason == "length"))

    def reason(self, reason: str) -> str:
        """Why the answer ended: for its calls, unless it was cut."""
        return "tool_calls" if self._calls and reason != "length" else reason

    def deltas(self, parts: Iterable[str | dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The parts as a stream tells them: a call's name first, then its arguments."""
        for part in parts:
            if isinstance(part, str):
                yield {"content": part}
                continue
            index, function = self._calls - 1, part["function"]
            yield {"tool_calls": [{"index": index, **part, "function": {**function, "arguments": ""}}]}
            yield {"tool_calls": [{"index": index, "function": {"arguments": function["arguments"]}}]}

    def _told(self, parts: Iterable[AnswerPart]) -> Iterator[str | dict[str, Any]]:
        for part in parts:
            told = part if isinstance(part, str) else _call(part)
            if isinstance(told, dict):
                if self._calls and self._use is not None and not self._use.parallel:
                    continue  # vLLM, too, keeps the first of them
                self._calls += 1
            yield told


def _choice(answer: GenerationChunk, told: Answer) -> dict[str, Any]:
    """A whole answer."""
    reason = _info(answer).get("finish_reason", "stop")
    parts = [*told.feed(answer.text), *told.end(reason)]
    text, calls = "".join(p for p in parts if isinstance(p, str)), [p for p in parts if isinstance(p, dict)]
    message = {"content": text or None, "tool_calls": calls} if calls else {"content": text}
    return {"message": {"role": "assistant", **message}, "finish_reason": told.reason(reason)}


def _call(call: ToolCall | InvalidToolCall) -> str | dict[str, Any]:
    """A call in OpenAI's form; one that cannot be read stays as the model wrote it, and is text where it has no name."""
    if call["type"] == "tool_call":
        arguments = json.dumps(call["args"], ensure_ascii=False)
    elif call["name"]:
        arguments = call["args"] or ""
    else:
        return call["args"] or ""
    return {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": arguments}}


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
