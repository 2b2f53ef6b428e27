"""The wire of OpenAI's chat completions: vLLM, LMI and TGI from 1.4 on speak it; the server lays the messages out.

Source: OpenAI's API reference, "Chat completions". Only parameters of that reference are carried: what single servers add
(`top_k`, `repetition_penalty`) others drop without a word.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from langchain_core.messages import BaseMessage, HumanMessage, convert_to_openai_messages
from langchain_core.outputs import GenerationChunk
from sagechain.llms.calls import Prompt
from sagechain.llms.parameters import GenerationParameters
from sagechain.llms.wires.base import (
    FAILURES,
    OnUnsupported,
    Wire,
    WireError,
    container_error,
    failed_answer,
    wrong_shape,
)
from sagechain.llms.wires.lines import LineDecoder, ServerSentEvents
from sagechain.prompts.shapes import Shape


class ChatCompletions(Wire):
    """`{"messages", "max_tokens", …}` → `{"choices": [{"message"}], "usage"}`, or server-sent events of deltas."""

    name: ClassVar[str] = "messages"
    speakers: ClassVar[str] = "vLLM, DJL Large Model Inference, Text Generation Inference from 1.4"
    greedy_by: ClassVar[Any] = "temperature"
    takes_roles: ClassVar[bool] = True
    most_stops: ClassVar[int | None] = 4
    end_marker: ClassVar[str] = "`data: [DONE]`"
    carries: ClassVar[Mapping[str, str]] = {
        "max_new_tokens": "max_tokens",
        "temperature": "temperature",
        "top_p": "top_p",
        "num_return_sequences": "n",
        "stop": "stop",
        "seed": "seed",
    }

    def request(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        shape: Shape | None = None,
        on_unsupported: OnUnsupported = "error",
    ) -> dict[str, Any]:
        """The body; a string is one user message. A stream is asked to tell its usage."""
        messages = [HumanMessage(prompt)] if isinstance(prompt, str) else prompt
        sent = {"messages": _openai(messages), **self.parameters(parameters, on_unsupported), "stream": stream}
        return sent | ({"stream_options": {"include_usage": True}} if stream else {})

    def laid_out(self, prompt: Prompt, shape: Shape | None = None) -> None:
        """The server alone knows its model's template."""

    def replies(self, reply: Any) -> list[GenerationChunk]:
        """One answer a choice."""
        if not isinstance(reply, dict):
            raise wrong_shape(reply)
        if reply.get("error"):
            raise container_error(reply)
        choices = reply.get("choices")
        if not isinstance(choices, list) or not choices:
            raise wrong_shape(reply)
        usage = _usage(reply)
        # The usage is that of all choices together, so it stands with the first.
        infos = [_info(choice) | (usage if i == 0 else {}) for i, choice in enumerate(choices)]
        texts = [_text(choice, "message", reply) for choice in choices]
        return [GenerationChunk(text=text, generation_info=info) for text, info in zip(texts, infos, strict=True)]

    def decoder(self) -> "ChatDecoder":
        """A reader of server-sent events."""
        return ChatDecoder(ServerSentEvents())


class ChatDecoder(LineDecoder):
    """Reads `{"choices": [{"delta": {"content"}, "finish_reason"}], "usage"}` until `[DONE]`."""

    last_line: ClassVar[bytes] = b"[DONE]"
    _has_reason = False

    def _end(self) -> None:
        if not self._has_reason:
            raise WireError("the stream says that it is done, but not why the answer ended.")
        super()._end()

    def _event(self, event: dict[str, Any]) -> Iterator[GenerationChunk]:
        choices = event.get("choices")
        if not isinstance(choices, list):
            raise wrong_shape(event)
        text, info = "", _usage(event)
        for choice in choices:
            info |= _info(choice)
            text += _text(choice, "delta", event)
            if choice.get("index"):
                raise WireError("the stream has a second answer; one was asked for.")
        self._has_reason = self._has_reason or "finish_reason" in info
        yield GenerationChunk(text=text, generation_info=info or None)


def _openai(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    if not messages:
        raise ValueError("messages: the list is empty; give at least one message")
    return convert_to_openai_messages(messages)


def _text(choice: Any, part: str, reply: Any) -> str:
    message = choice.get(part) if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else False
    # A delta may hold a role only; a message without content holds tool calls.
    if content is None and isinstance(message, dict) and (part == "delta" or message.get("tool_calls")):
        return ""
    if not isinstance(content, str):
        raise wrong_shape(reply)
    return content


def _info(choice: Any) -> dict[str, Any]:
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    if reason in FAILURES:
        raise failed_answer(reason)
    return {"finish_reason": reason} if reason else {}


def _usage(reply: dict[str, Any]) -> dict[str, Any]:
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return {}
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    return {ours: usage[theirs] for ours, theirs in names.items() if isinstance(usage.get(theirs), int)}
