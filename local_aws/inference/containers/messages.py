"""OpenAI's chat completions, as vLLM, LMI and TGI serve them: messages in, a message or server-sent events out.

The messages are laid out by the model's own template, or by its family if it knows text only. Tools are put into the
prompt, and tool calls are read from the model's text: so any text model becomes a server with tools.

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

from .base import ModelContainer, Reply, greedy_unless, json_reply, stream_reply
from .chat_requests import ChatRequest


class ChatContainer(ModelContainer):
    """A server of chat completions."""

    invalid_status: ClassVar[int] = 400
    keep_alive: ClassVar[bytes] = b": keep-alive\n\n"

    async def answer(self, body: bytes, attributes: str) -> Reply:
        request = ChatRequest.model_validate(json.loads(body))
        prompt, settings = self._prompt_and_settings(request)
        # Without a limit the answer may fill the rest of the context.
        await self.check_context(prompt, request.token_limit or 1, request.output_format)
        if request.stream:
            return await stream_reply(self._events(request, prompt, settings), "text/event-stream")
        answers = await self.llm.acomplete(prompt, **settings)
        choices = [
            {"index": index, **ChatAnswer(request.tool_call_format, self._escaping).choice(answer)}
            for index, answer in enumerate(answers)
        ]
        return json_reply({**_head("chat.completion"), "choices": choices, "usage": _usage(answers)})

    def error(self, status: int, message: str) -> Reply:
        kind = "invalid_request_error" if status < 500 else "server_error"
        return json_reply({"error": {"message": message, "type": kind, "code": status}}, status)

    def error_event(self, message: str) -> bytes:
        return _event({"error": {"message": message, "type": "server_error", "code": 500}})

    def _prompt_and_settings(self, request: ChatRequest) -> tuple[Prompt, dict[str, Any]]:
        names = {"temperature": "temperature", "top_p": "top_p", "seed": "seed", "num_return_sequences": "n"}
        sampling = {ours: value for ours, openai in names.items() if (value := getattr(request, openai)) is not None}
        limit = {} if request.token_limit is None else {"max_new_tokens": request.token_limit}
        settings = {**limit, **greedy_unless(sampling), "output_format": request.output_format}
        stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
        messages = request.conversation()
        if self.llm.capabilities.takes_roles:
            return messages, {**settings, "stop": stop}
        rendered = self._family.render(messages, output_format=request.output_format)
        return rendered.text, {**settings, "stop": [*stop, *rendered.stop]}

    @property
    def _family(self) -> PromptFamily:
        return get_family(self.llm.family or "plain")

    @property
    def _escaping(self) -> Escaping:
        capabilities = self.llm.capabilities
        return capabilities.role_escaping if capabilities.takes_roles else self._family.escaping + COMMON_ESCAPING

    async def _events(
        self, request: ChatRequest, prompt: Prompt, settings: dict[str, Any]
    ) -> AsyncGenerator[bytes, None]:
        head, received, reason = _head("chat.completion.chunk"), list[GenerationChunk](), "stop"
        answer = ChatAnswer(request.tool_call_format, self._escaping)
        role = {"role": "assistant"}  # in the first event only

        def event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": role | delta, "finish_reason": finish_reason}
            role.clear()
            return _event({**head, "choices": [choice]})

        async with aclosing(self.llm.achunks(prompt, **settings)) as chunks:
            async for chunk in chunks:
                received.append(chunk)
                reason = _info(chunk).get("finish_reason", reason)
                for delta in _deltas(answer.feed(chunk.text)):
                    yield event(delta)
        for delta in _deltas(answer.flush(reason)):
            yield event(delta)
        yield event({}, answer.finish_reason(reason))
        if (request.stream_options or {}).get("include_usage"):
            yield _event({**head, "choices": [], "usage": _usage(received)})
        yield b"data: [DONE]\n\n"


class ChatAnswer:
    """A model's text as text and tool calls in OpenAI's form; each tool call has its `index`.

    Args:
        tool_call_format: the tools that the model may call; None: the answer is text.
        escaping: of the prompt; it is undone in arguments that repeat the prompt.
    """

    def __init__(self, tool_call_format: ToolCallFormat | None, escaping: Escaping) -> None:
        self._format = tool_call_format
        self._reader = None if tool_call_format is None else ToolCallReader(tool_call_format, escaping)
        self._tool_calls = 0

    def feed(self, text: str) -> Iterator[str | dict[str, Any]]:
        """The text and tool calls that are complete after more of the model's text."""
        return self._convert([text] if self._reader is None else self._reader.feed(text))

    def flush(self, reason: str) -> Iterator[str | dict[str, Any]]:
        """The remaining text and tool calls, once the model has ended for this reason."""
        return self._convert([] if self._reader is None else self._reader.flush(truncated=reason == "length"))

    def finish_reason(self, reason: str) -> str:
        """The answer's finish reason: its tool calls, unless it was truncated."""
        return "tool_calls" if self._tool_calls and reason != "length" else reason

    def choice(self, answer: GenerationChunk) -> dict[str, Any]:
        """A whole answer."""
        reason = _info(answer).get("finish_reason", "stop")
        parts = [*self.feed(answer.text), *self.flush(reason)]
        text = "".join(part for part in parts if isinstance(part, str))
        tool_calls = [{**part} for part in parts if isinstance(part, dict)]
        for tool_call in tool_calls:
            del tool_call["index"]
        message = {"content": text or None, "tool_calls": tool_calls} if tool_calls else {"content": text}
        return {"message": {"role": "assistant", **message}, "finish_reason": self.finish_reason(reason)}

    def _convert(self, parts: Iterable[AnswerPart]) -> Iterator[str | dict[str, Any]]:
        for part in parts:
            converted = part if isinstance(part, str) else _tool_call(part)
            if isinstance(converted, dict):
                if self._tool_calls and self._format is not None and self._format.parallel is False:
                    continue  # vLLM, too, keeps the first of them
                converted = {"index": self._tool_calls, **converted}
                self._tool_calls += 1
            yield converted


def _deltas(parts: Iterable[str | dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The parts as a stream contains them: a tool call's name first, then its arguments."""
    for part in parts:
        if isinstance(part, str):
            yield {"content": part}
            continue
        index, function = part["index"], part["function"]
        yield {"tool_calls": [{**part, "function": {**function, "arguments": ""}}]}
        yield {"tool_calls": [{"index": index, "function": {"arguments": function["arguments"]}}]}


def _tool_call(call: ToolCall | InvalidToolCall) -> str | dict[str, Any]:
    """A tool call in OpenAI's form; an invalid one is returned as the model wrote it, and as text if it has no name."""
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


def _info(chunk: GenerationChunk) -> dict[str, Any]:
    return chunk.generation_info or {}


def _usage(answers: list[GenerationChunk]) -> dict[str, int]:
    prompt_tokens = max((_info(answer).get("input_tokens", 0) for answer in answers), default=0)
    completion_tokens = sum(_info(answer).get("output_tokens", 0) for answer in answers)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
