"""The wire of OpenAI's chat completions: vLLM, LMI and TGI from 1.4 on speak it; the server lays the messages out.

Source: OpenAI's API reference, "Chat completions". Only parameters of that reference are carried: what single servers add
(`top_k`, `repetition_penalty`) others drop without a word. Tools are the server's own, and so is the JSON of a schema.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from langchain_core.messages import HumanMessage
from langchain_core.outputs import GenerationChunk
from sagechain.prompts import NO_ESCAPING, OutputFormat

from ...capabilities import Capabilities
from ...generation import Prompt
from ...parameters import GenerationParameters
from ..base import FAILURES, OnUnsupported, Wire, WireError, container_error, failed_answer, wrong_shape
from ..lines import Framing, LineDecoder, ServerSentEvents
from .messages import openai_messages, openai_output_format
from .tool_calls import CallReader

BY_ITSELF = ("stop", "eos_token", "stop_sequence", "tool_calls", "function_call")
"""Finish reasons, Text Generation Inference's own among them, of an answer that was not cut."""


class ChatCompletions(Wire):
    """`{"messages", "max_tokens", …}` → `{"choices": [{"message"}], "usage"}`, or server-sent events of deltas."""

    name: ClassVar[str] = "messages"
    speakers: ClassVar[str] = "vLLM, DJL Large Model Inference, Text Generation Inference from 1.4"
    greedy_by: ClassVar[Any] = "temperature"
    capabilities: ClassVar[Capabilities] = Capabilities(
        takes_roles=True,
        requires_roles=True,
        role_escaping=NO_ESCAPING,  # the server's own template is its own to protect
        native_tools=True,
        constrained_decoding=True,
    )
    most_stops: ClassVar[int | None] = 4
    end_marker: ClassVar[str] = "`data: [DONE]`"
    parameter_names: ClassVar[Mapping[str, str]] = {
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
        output_format: OutputFormat | None = None,
        on_unsupported: OnUnsupported = "error",
    ) -> dict[str, Any]:
        """The body; a string is one user message. A stream is asked to tell its usage."""
        messages = [HumanMessage(prompt)] if isinstance(prompt, str) else prompt
        sent = {"messages": openai_messages(messages), **openai_output_format(output_format)}
        sent |= {**self.parameters(parameters, on_unsupported), "stream": stream}
        return sent | ({"stream_options": {"include_usage": True}} if stream else {})

    def laid_out(self, prompt: Prompt, output_format: OutputFormat | None = None) -> None:
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
        answers = [_answer(choice, reply) for choice in choices]
        # The usage is that of all choices together, so it stands with the first.
        answers[0].generation_info = {**(answers[0].generation_info or {}), **_usage(reply)}
        return answers

    def decoder(self) -> "ChatDecoder":
        """A reader of server-sent events."""
        return ChatDecoder(ServerSentEvents())


class ChatDecoder(LineDecoder):
    """Reads `{"choices": [{"delta": {"content", "tool_calls"}, "finish_reason"}], "usage"}` until `[DONE]`."""

    last_line: ClassVar[bytes] = b"[DONE]"
    _has_reason = False

    def __init__(self, framing: Framing) -> None:
        super().__init__(framing)
        self._calls = CallReader()

    def _end(self) -> None:
        if not self._has_reason:
            raise WireError("the stream says that it is done, but not why the answer ended.")
        super()._end()

    def _event(self, event: dict[str, Any]) -> Iterator[GenerationChunk]:
        choices = event.get("choices")
        if not isinstance(choices, list):
            raise wrong_shape(event)
        text, calls, info = "", [], _usage(event)
        for choice in choices:
            reason, delta = _reason(choice), _message(choice, "delta", event)
            if choice.get("index"):
                raise WireError("the stream has a second answer; one was asked for.")
            text += _text(delta, event)
            calls += self._calls.deltas(delta)
            info |= _told(reason, self._calls)
        self._has_reason = self._has_reason or "finish_reason" in info
        info |= {"tool_calls": calls} if calls else {}
        yield GenerationChunk(text=text, generation_info=info or None)


def _answer(choice: Any, reply: Any) -> GenerationChunk:
    reason, message, reader = _reason(choice), _message(choice, "message", reply), CallReader()
    calls = reader.whole(message)
    if message.get("content") is None and not calls:
        raise wrong_shape(reply)
    info = _told(reason, reader) | ({"tool_calls": calls} if calls else {})
    return GenerationChunk(text=_text(message, reply), generation_info=info)


def _message(choice: Any, part: str, reply: Any) -> dict[str, Any]:
    message = choice.get(part) if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise wrong_shape(reply)
    return message


def _text(message: dict[str, Any], reply: Any) -> str:
    content = message.get("content")
    if not isinstance(content, str | None):
        raise wrong_shape(reply)
    return content or ""


def _reason(choice: Any) -> Any:
    reason = choice.get("finish_reason") if isinstance(choice, dict) else None
    if reason in FAILURES:
        raise failed_answer(reason)
    return reason


def _told(reason: Any, calls: CallReader) -> dict[str, Any]:
    """Why the answer ended, in OpenAI's words; servers say `stop` in spite of calls too."""
    if reason in BY_ITSELF:
        reason = "tool_calls" if calls.found else "stop"
    return {"finish_reason": reason} if reason else {}


def _usage(reply: dict[str, Any]) -> dict[str, Any]:
    usage = reply.get("usage")
    if not isinstance(usage, dict):
        return {}
    names = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    return {ours: usage[theirs] for ours, theirs in names.items() if isinstance(usage.get(theirs), int)}
