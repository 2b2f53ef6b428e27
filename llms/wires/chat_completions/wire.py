"""The wire of OpenAI's chat completions, which vLLM, LMI and TGI from 1.4 on offer; the server applies its chat template.

Source: OpenAI's API reference, "Chat completions". Only parameters of that reference are carried: what one server adds
(`top_k`, `repetition_penalty`) another one ignores silently. Tools and JSON schemas are sent in OpenAI's form.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from langchain_core.messages import HumanMessage
from langchain_core.outputs import GenerationChunk
from sagechain.prompts import NO_ESCAPING, OutputFormat

from ...capabilities import Capabilities
from ...generation import Prompt
from ..base import Wire
from ..lines import LineDecoder
from ..wire_error import FAILURES, WireError, failed_answer, unexpected_reply
from .messages import openai_messages, openai_output_format
from .tool_calls import ToolCallReader

NOT_TRUNCATED = ("stop", "eos_token", "stop_sequence", "tool_calls", "function_call")
"""Finish reasons of an answer that is not truncated, Text Generation Inference's own among them."""


class ChatCompletions(Wire):
    """`{"messages", "max_tokens", …}` → `{"choices": [{"message"}], "usage"}`, or server-sent events of deltas."""

    name: ClassVar[str] = "messages"
    servers: ClassVar[str] = "vLLM, DJL Large Model Inference, Text Generation Inference from 1.4"
    greedy_parameter: ClassVar[Any] = "temperature"
    capabilities: ClassVar[Capabilities] = Capabilities(
        takes_roles=True,
        requires_roles=True,
        role_escaping=NO_ESCAPING,  # the server's template decides what special tokens in a message mean
        native_tools=True,
        constrained_decoding=True,
    )
    max_stop_strings: ClassVar[int | None] = 4
    end_marker: ClassVar[str] = "`data: [DONE]`"
    parameter_names: ClassVar[Mapping[str, str]] = {
        "max_new_tokens": "max_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "num_return_sequences": "n",
        "stop": "stop",
        "seed": "seed",
    }

    def _body(
        self, prompt: Prompt, parameters: dict[str, Any], stream: bool, output_format: OutputFormat | None
    ) -> dict[str, Any]:
        """A text prompt becomes one user message; a stream reports its token usage in the last event."""
        messages = [HumanMessage(prompt)] if isinstance(prompt, str) else prompt
        body = {"messages": openai_messages(messages), **openai_output_format(output_format), **parameters}
        return body | {"stream": stream} | ({"stream_options": {"include_usage": True}} if stream else {})

    def rendered_prompt(self, prompt: Prompt, output_format: OutputFormat | None = None) -> None:
        """Only the server knows its model's chat template."""

    def _answers(self, reply: Any) -> list[GenerationChunk]:
        """One answer a choice."""
        choices = reply.get("choices") if isinstance(reply, dict) else None
        if not isinstance(choices, list) or not choices:
            raise unexpected_reply(reply)
        answers = [_answer(choice, reply) for choice in choices]
        # The usage is that of all choices together, so only the first has it.
        answers[0].generation_info = {**(answers[0].generation_info or {}), **_usage(reply)}
        return answers

    def decoder(self) -> "ChatDecoder":
        """A new reader of server-sent events."""
        return ChatDecoder()


class ChatDecoder(LineDecoder):
    """Reads `{"choices": [{"delta": {"content", "tool_calls"}, "finish_reason"}], "usage"}` until `[DONE]`."""

    last_line: ClassVar[bytes] = b"[DONE]"
    _has_finish_reason = False

    def __init__(self) -> None:
        super().__init__()
        self._tool_calls = ToolCallReader()

    def _end(self) -> None:
        if not self._has_finish_reason:
            raise WireError("the stream ended without a finish reason.")
        super()._end()

    def _event(self, event: dict[str, Any]) -> Iterator[GenerationChunk]:
        choices = event.get("choices")
        if not isinstance(choices, list):
            raise unexpected_reply(event)
        text, deltas, info = "", [], _usage(event)
        for choice in choices:
            reason, message = _finish_reason(choice), _message(choice, "delta", event)
            if choice.get("index"):
                raise WireError("the stream contains a second answer; only one was requested.")
            text += _text(message, event)
            deltas += self._tool_calls.deltas(message)
            info |= _finish_info(reason, self._tool_calls)
        self._has_finish_reason = self._has_finish_reason or "finish_reason" in info
        info |= {"tool_calls": deltas} if deltas else {}
        yield GenerationChunk(text=text, generation_info=info or None)


def _answer(choice: Any, reply: Any) -> GenerationChunk:
    reason, message, tool_calls = _finish_reason(choice), _message(choice, "message", reply), ToolCallReader()
    deltas = tool_calls.whole(message)
    if message.get("content") is None and not deltas:
        raise unexpected_reply(reply)
    info = _finish_info(reason, tool_calls) | ({"tool_calls": deltas} if deltas else {})
    return GenerationChunk(text=_text(message, reply), generation_info=info)


def _message(choice: Any, key: str, reply: Any) -> dict[str, Any]:
    message = choice.get(key) if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise unexpected_reply(reply)
    return message


def _text(message: dict[str, Any], reply: Any) -> str:
    content = message.get("content")
    if not isinstance(content, str | None):
        raise unexpected_reply(reply)
    return content or ""


def _finish_reason(choice: Any) -> Any:
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    if reason in FAILURES:
        raise failed_answer(reason)
    return reason


def _finish_info(reason: Any, tool_calls: ToolCallReader) -> dict[str, Any]:
    """The finish reason in OpenAI's words; some servers send `stop` although there are tool calls."""
    if reason in NOT_TRUNCATED:
        reason = "tool_calls" if tool_calls.found else "stop"
    return {"finish_reason": reason} if reason else {}


def _usage(reply: dict[str, Any]) -> dict[str, Any]:
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return {}
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    return {ours: usage[theirs] for ours, theirs in names.items() if isinstance(usage.get(theirs), int)}
