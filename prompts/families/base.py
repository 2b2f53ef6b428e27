"""What all prompt families share: LangChain messages become the prompt text and stop strings that a model was trained with.

A family is a small class (`llama2.py`, `falcon.py`, `chatml.py`, `plain.py`) with three facts: which markers are structure
to its models, which stop strings end an answer, and how role messages are laid out. This module does the rest: it takes
the text out of messages, escapes it so that it never becomes structure, and adds tools, calls and results as text.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from ..escaping import Escaping
from ..messages import message_text, replace_half_characters
from ..output_format import AnyTool, OutputFormat, ToolCallFormat
from ..tool_prompt import format_instructions, tool_call_texts, tool_result_text

Role = Literal["system", "user", "assistant", "tool"]

COMMON_ESCAPING = Escaping(
    [
        ("<", r"\s*+/?+\s*+tool(?:s|_calls?|_response)(?:\s[^<>]{0,200})?>"),
        # The form of special tokens in most tokenizers: a model of another family may be behind a layout.
        ("<", r"\|[^|<>\s]{1,40}\|>"),
    ]
)
"""Markers of every family: the tags around tool calls and results, and special tokens."""


@dataclass(frozen=True)
class RenderedPrompt:
    """The text to send, and the strings at which the answer ends."""

    text: str
    stop: tuple[str, ...]


@dataclass(frozen=True)
class RoleMessage:
    """A role and its text, escaped and ready to be laid out."""

    role: Role
    text: str


class PromptFamily(ABC):
    """A prompt layout that a group of models was trained with."""

    name: ClassVar[str]
    escaping: ClassVar[Escaping]
    """Escapes what the family's models read as structure, beside `COMMON_ESCAPING`."""
    stop: ClassVar[tuple[str, ...]]
    context: ClassVar[int | None] = None
    """Tokens of prompt and answer that all models of the family were trained with; None if they differ."""
    json_tool_results: ClassVar[bool] = False
    """Whether the models know Hermes' tool results, JSON that names its call."""

    def render(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[AnyTool] = (),
        *,
        output_format: OutputFormat | None = None,
    ) -> RenderedPrompt:
        """The prompt that makes the model write the answer to `messages`.

        Args:
            messages: the conversation so far; special text in it is escaped.
            tools: what the model may call, in any form that LangChain accepts.
            output_format: what the answer must be; replaces `tools`.

        Raises:
            ValueError: no messages, an unknown role, or content other than text.
        """
        output_format = output_format or (ToolCallFormat.from_tools(tools) if tools else None)
        role_messages = to_role_messages(
            messages, self.escaping, output_format, json_tool_results=self.json_tool_results
        )
        return RenderedPrompt(self.layout(role_messages), self.stop)

    @abstractmethod
    def layout(self, messages: list[RoleMessage]) -> str:
        """The prompt text of escaped messages."""


def to_role_messages(
    messages: Sequence[BaseMessage],
    escaping: Escaping,
    output_format: OutputFormat | None = None,
    *,
    json_tool_results: bool = False,
) -> list[RoleMessage]:
    """Each message as a role message, with tool calls and results as text.

    Args:
        messages: the conversation.
        escaping: applied to all text in messages, tools and schemas, together with `COMMON_ESCAPING`.
        output_format: described at the end of the first system text, or in a new one.
        json_tool_results: as in `PromptFamily`.

    Raises:
        ValueError: no messages, an unknown role, or content other than text.
    """
    if not messages:
        raise ValueError("messages: the list is empty; give at least one message")
    escaping = escaping + COMMON_ESCAPING
    role_messages = [_role_message(messages, i, escaping, json_tool_results) for i in range(len(messages))]
    if output_format is None:
        return role_messages
    return _with_instructions(role_messages, format_instructions(output_format, escaping))


def alternate_roles(messages: list[RoleMessage]) -> tuple[str, list[RoleMessage]]:
    """The system text, and messages whose roles alternate between user and assistant, from a user's to a user's.

    System texts are joined; tool results count as the user's; texts of one role in a row are joined with a blank line; a
    missing message of the user is empty.
    """
    system = "\n\n".join(message.text for message in messages if message.role == "system")
    merged: list[RoleMessage] = []
    for message in messages:
        if message.role == "system":
            continue
        role: Role = "assistant" if message.role == "assistant" else "user"
        if merged and merged[-1].role == role:
            merged[-1] = RoleMessage(role, f"{merged[-1].text}\n\n{message.text}")
        else:
            merged.append(RoleMessage(role, message.text))
    if not merged or merged[0].role == "assistant":
        merged.insert(0, RoleMessage("user", ""))
    if merged[-1].role == "assistant":
        merged.append(RoleMessage("user", ""))
    return system, merged


class Transcript(PromptFamily):
    """A layout with one line per message, `LABEL: text`."""

    system_format: ClassVar[str] = "{}"
    """The form of the system text, which comes first; `{}` is its place."""
    labels: ClassVar[Mapping[str, str]]
    """Of the roles `user` and `assistant`."""

    def layout(self, messages: list[RoleMessage]) -> str:
        """The conversation; the last line is open for the answer."""
        system, exchange = alternate_roles([RoleMessage(message.role, message.text.strip()) for message in messages])
        lines = [f"{self.labels[message.role]}: {message.text}".rstrip(" ") for message in exchange]
        first = [self.system_format.format(system)] if system else []
        return "\n".join([*first, *lines, f"{self.labels['assistant']}:"])


def _with_instructions(role_messages: list[RoleMessage], instructions: str) -> list[RoleMessage]:
    first, *others = role_messages
    if first.role != "system":
        return [RoleMessage("system", instructions), *role_messages]
    return [RoleMessage("system", f"{first.text}\n\n{instructions}"), *others]


def _role_message(
    messages: Sequence[BaseMessage], position: int, escaping: Escaping, json_tool_results: bool
) -> RoleMessage:
    message = messages[position]
    role, text = _role(message, position), message_text(message, position)
    if isinstance(message, ToolMessage):
        return RoleMessage(role, tool_result_text(messages, position, text, escaping, as_json=json_tool_results))
    calls = tool_call_texts(message, escaping) if isinstance(message, AIMessage) else []
    texts = [escaping.escape(text), *calls] if text or not calls else calls
    return RoleMessage(role, replace_half_characters("\n".join(texts)))


def _role(message: BaseMessage, position: int) -> Role:
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, ToolMessage):
        return "tool"
    if isinstance(message, ChatMessage) and message.role in ("system", "user", "assistant"):
        return message.role  # type: ignore[return-value]  # narrowed by the line above
    role = message.role if isinstance(message, ChatMessage) else message.type
    raise ValueError(f"messages[{position}]: role {role!r} is unknown. Known: system, user, assistant, tool")
