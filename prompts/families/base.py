"""What every prompt family does: turn LangChain messages into the text and the stop strings a model was trained with.

A family is a small class (`llama2.py`, `falcon.py`, `chatml.py`, `plain.py`) that says three things: which tags are
its structure, which stop strings end a turn, and how turns are laid out. Everything else is here: the text of a
message, the order of turns, and that text from people never becomes structure.

Tool calls and tool results that a conversation holds are shown in the form of Nous Research's Hermes models:
`<tool_call>` with JSON, `<tool_response>` with the result (`tool_turns.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from ..escaping import Escaping
from ..output_format import AnyTool, OutputFormat, ToolCallFormat
from ..tool_messages import call_texts, result_text
from ..tool_prompt import output_format_text

Role = Literal["system", "user", "assistant", "tool"]

COMMON_ESCAPING = Escaping(
    [
        ("<", r"\s*/?\s*tool(?:s|_calls?|_response)(?:\s[^<>]{0,200})?>"),
        # Most tokenizers write their special tokens so, also where a model of another family stands behind a layout.
        ("<", r"\|[^|<>\s]{1,40}\|>"),
    ]
)
"""What is structure in every family: the tags of tool calls and results, and special tokens."""


TOLD_ELSEWHERE = ("tool_use", "tool_call", "thinking", "reasoning")
"""Parts of other models' answers that are no text of the turn: calls are in a message's `tool_calls`."""


@dataclass(frozen=True)
class RenderedPrompt:
    """The text to send, and the strings at which the answer ends."""

    text: str
    stop: tuple[str, ...]


@dataclass(frozen=True)
class RoleMessage:
    """One role's text, as it stands in a prompt."""

    role: Role
    text: str


class PromptFamily(ABC):
    """A prompt layout that a group of models was trained with."""

    name: ClassVar[str]
    escaping: ClassVar[Escaping]
    stop: ClassVar[tuple[str, ...]]
    context: ClassVar[int | None] = None
    """Tokens of prompt and answer together that all models of the family were trained with, where that is one figure."""
    hermes: ClassVar[bool] = False
    """Whether models of the family know Hermes' results, which name their call in JSON."""

    def render(
        self,
        messages: Sequence[BaseMessage],
        tools: Sequence[AnyTool] = (),
        *,
        output_format: OutputFormat | None = None,
    ) -> RenderedPrompt:
        """The prompt that asks the model for the turn after `messages`.

        System texts go where the layout has them. Special text inside a message is escaped.

        Args:
            messages: the conversation so far.
            tools: what the model may call, in any form that LangChain takes.
            output_format: what the answer has to be, where `tools` does not say it all.

        Raises:
            ValueError: no messages, a role that no model knows, or content other than text.
        """
        output_format = output_format or (ToolCallFormat.from_tools(tools) if tools else None)
        return RenderedPrompt(
            self.layout(to_role_messages(messages, self.escaping, output_format, hermes=self.hermes)), self.stop
        )

    @abstractmethod
    def layout(self, turns: list[RoleMessage]) -> str:
        """The prompt of turns whose texts are already safe."""


def to_role_messages(
    messages: Sequence[BaseMessage],
    escaping: Escaping,
    output_format: OutputFormat | None = None,
    *,
    hermes: bool = False,
) -> list[RoleMessage]:
    """Each message as a turn, with `tags` escaped in all that it holds; tool calls and results stand in tags of ours.

    What the answer has to be is told in the first system text, after what stands there.

    Raises:
        ValueError: no messages, a role that no model knows, or content other than text.
    """
    if not messages:
        raise ValueError("messages: the list is empty; give at least one message")
    escaping = escaping + COMMON_ESCAPING
    turns = [_turn(messages, position, escaping, hermes) for position in range(len(messages))]
    return turns if output_format is None else _told(turns, output_format_text(output_format, escaping))


def _told(turns: list[RoleMessage], told: str) -> list[RoleMessage]:
    """The turns with a text at the end of the first system text, or as one."""
    if turns[0].role != "system":
        return [RoleMessage("system", told), *turns]
    return [RoleMessage("system", f"{turns[0].text}\n\n{told}"), *turns[1:]]


def alternate_roles(turns: list[RoleMessage]) -> tuple[str, list[RoleMessage]]:
    """The system text, and turns that go user, assistant, user … and end with the user.

    System texts are joined in front, wherever they stood; a tool's turn is a user's; neighbours of one role are joined
    by a blank line; where a user's turn is missing, an empty one stands in.
    """
    system = "\n\n".join(turn.text for turn in turns if turn.role == "system")
    merged: list[RoleMessage] = []
    for turn in turns:
        if turn.role == "system":
            continue
        role: Role = "assistant" if turn.role == "assistant" else "user"
        if merged and merged[-1].role == role:
            merged[-1] = RoleMessage(role, f"{merged[-1].text}\n\n{turn.text}")
        else:
            merged.append(RoleMessage(role, turn.text))
    if not merged or merged[0].role == "assistant":
        merged.insert(0, RoleMessage("user", ""))
    if merged[-1].role == "assistant":
        merged.append(RoleMessage("user", ""))
    return system, merged


def transcript(turns: list[RoleMessage], *, system: str, names: Mapping[str, str]) -> str:
    """A line a turn, `NAME: text`, with the answerer's line left open.

    Args:
        system: the form of the system text, which stands first.
        names: what the user and the assistant are called.
    """
    said, exchange = alternate_roles([RoleMessage(turn.role, turn.text.strip()) for turn in turns])
    lines = [f"{names[turn.role]}: {turn.text}".rstrip(" ") for turn in exchange]
    return "\n".join([*([system.format(said)] if said else []), *lines, f"{names['assistant']}:"])


def _turn(messages: Sequence[BaseMessage], position: int, escaping: Escaping, hermes: bool) -> RoleMessage:
    message = messages[position]
    text = _text(message, position)
    if isinstance(message, ToolMessage):
        return RoleMessage("tool", result_text(messages, position, text, escaping, hermes=hermes))
    shown = call_texts(message, escaping) if isinstance(message, AIMessage) else []
    said = [escaping.escape(text)] if text or not shown else []
    return RoleMessage(_role(message, position), "\n".join([*said, *shown]))


def _role(message: BaseMessage, position: int) -> Role:
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, ChatMessage) and message.role in ("system", "user", "assistant"):
        return message.role  # type: ignore[return-value]  # narrowed by the line above
    role = message.role if isinstance(message, ChatMessage) else message.type
    raise ValueError(f"messages[{position}]: no turn for role {role!r}; known: system, user, assistant, tool")


def _text(message: BaseMessage, position: int) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = []
    for part in message.content:
        if isinstance(part, str):
            parts.append(part)
        elif part.get("type") == "text":
            parts.append(part["text"])
        elif part.get("type") not in TOLD_ELSEWHERE:
            kind = part.get("type", "unknown")
            raise ValueError(f"messages[{position}]: a part of type {kind!r}; this model reads text only")
    return "".join(parts)
