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
from ..wire_error import NotStreamed, WireError, unexpected_reply
from .answers import finish_info, finish_reason, message_content, usage
from .messages import openai_messages, openai_output_format
from .tool_calls import ToolCallReader


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
    end_marker: ClassVar[str] = "a finish reason, and `data: [DONE]` on most servers"
    carries_model: ClassVar[bool] = True
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
        answers[0].generation_info = {**(answers[0].generation_info or {}), **usage(reply)}
        return answers

    def decoder(self) -> "ChatDecoder":
        """A new reader of server-sent events."""
        return ChatDecoder()


class ChatDecoder(LineDecoder):
    """Reads `{"choices": [{"delta": {"content", "tool_calls"}, "finish_reason"}], "usage"}` until `[DONE]`.

    `transformers serve` sends no `[DONE]`: a stream that ends cleanly after a finish reason is whole.
    """

    last_line: ClassVar[bytes] = b"[DONE]"
    _has_finish_reason = False

    def __init__(self) -> None:
        super().__init__()
        self._tool_calls = ToolCallReader()

    def flush(self) -> Iterator[GenerationChunk]:
        """As for every stream."""
        yield from super().flush()
        self.ended = self.ended or self._has_finish_reason

    def _end(self) -> None:
        if not self._has_finish_reason:
            raise WireError("the stream ended without a finish reason.")
        super()._end()

    def _event(self, event: dict[str, Any]) -> Iterator[GenerationChunk]:
        choices = event.get("choices")
        if choices is None and not ("choices" in event or "usage" in event):
            raise unexpected_reply(event)
        if not isinstance(choices, list | None):
            raise unexpected_reply(event)
        text, deltas = "", list[dict[str, Any]]()
        info: dict[str, Any] = {**usage(event)}
        for choice in choices or ():
            message = _delta(choice, event)
            if choice.get("index"):
                raise WireError("the stream contains a second answer; only one was requested.")
            more, beside = message_content(message)
            text += more
            info |= beside
            deltas += self._tool_calls.deltas(message)
            info |= finish_info(finish_reason(choice, message, event), has_tool_calls=self._tool_calls.found)
        self._has_finish_reason = self._has_finish_reason or "finish_reason" in info
        info |= {"tool_calls": deltas} if deltas else {}
        if text or info:
            yield GenerationChunk(text=text, generation_info=info or None)


def _delta(choice: Any, event: Any) -> dict[str, Any]:
    if not isinstance(choice, dict) or (len(event["choices"]) > 1 and choice.get("index") is None):
        raise unexpected_reply(event)
    if "delta" not in choice and "message" in choice:
        raise NotStreamed(event)
    delta = choice.get("delta") or ({} if "delta" in choice or choice.get("finish_reason") else None)
    if not isinstance(delta, dict):
        raise unexpected_reply(event)
    return delta


def _answer(choice: Any, reply: Any) -> GenerationChunk:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise unexpected_reply(reply)
    reason, tool_calls = finish_reason(choice, message), ToolCallReader()
    deltas, (text, beside) = tool_calls.whole(message), message_content(message)
    is_empty_answer = reason in ("stop", "length") and "content" in message
    if message.get("content") is None and not (deltas or beside or is_empty_answer):
        raise unexpected_reply(reply)
    info = {**finish_info(reason, has_tool_calls=tool_calls.found), **beside}
    return GenerationChunk(text=text, generation_info=info | ({"tool_calls": deltas} if deltas else {}))
