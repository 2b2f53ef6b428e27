"""What a chat model sends to its LLM: a prompt, options and the output format, from the arguments of LangChain's call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage
from sagechain.prompts import RESULT_STARTS, JsonFormat, OutputFormat, PromptFamily, ToolCallFormat

from ..generation import Prompt

CHAT_OPTIONS = (
    "model",
    "stream",
    "ls_structured_output_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
)
"""LangChain's options for a chat model itself; the others go to the LLM."""


@dataclass(frozen=True)
class ChatRequest:
    """One request to the LLM.

    Args:
        prompt: text in the family's layout, or messages for an LLM that accepts roles.
        options: parameters of the generation, `stop` among them.
        output_format: what the answer has to be.
    """

    prompt: Prompt
    options: dict[str, Any]
    output_format: OutputFormat | None

    @property
    def tools(self) -> ToolCallFormat | None:
        """The output format, if it is that of tool calls."""
        return self.output_format if isinstance(self.output_format, ToolCallFormat) else None


def chat_request(
    messages: Sequence[BaseMessage],
    stop: Sequence[str],
    options: Mapping[str, Any],
    family: PromptFamily | None,
    *,
    native_tools: bool,
) -> ChatRequest:
    """The request for an answer to these messages.

    Args:
        messages: the conversation.
        stop: stop strings of the caller; the family's are added.
        options: all of LangChain's options.
        family: lays the messages out; None if the LLM accepts roles.
        native_tools: whether the LLM has its own form of tool calls; if not, an answer ends before an invented result.
    """
    output_format = output_format_of(options)
    options = {name: value for name, value in options.items() if name not in CHAT_OPTIONS}
    prompt: Prompt = messages
    if family is not None:
        rendered = family.render(messages, output_format=output_format)
        prompt, stop = rendered.text, [*stop, *rendered.stop]
    if isinstance(output_format, ToolCallFormat) and output_format.callable_tools and not native_tools:
        stop = [*stop, *RESULT_STARTS]
    return ChatRequest(prompt, {**options, "stop": list(dict.fromkeys(stop))}, output_format)


def output_format_of(options: Mapping[str, Any]) -> OutputFormat | None:
    """What the answer has to be. Raises ValueError if both tools and a response format are given."""
    tools, response_format = options.get("tools"), options.get("response_format")
    json_format = None if response_format is None else JsonFormat.from_response_format(response_format)
    if tools and json_format:
        raise ValueError("response_format: give it or tools, not both")
    if tools:
        return ToolCallFormat.from_tools(tools, options.get("tool_choice"), options.get("parallel_tool_calls"))
    return json_format
