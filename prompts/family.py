"""What every prompt family does: turn LangChain messages into the text and the stop strings a model was trained with.

A family is a small class (`llama2.py`, `falcon.py`, `chatml.py`, `plain.py`) that says three things: which tags are
its structure, which stop strings end a turn, and how turns are laid out. Everything else is here: the text of a
message, the order of turns, and that text from people never becomes structure.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from sagechain.prompts.neutralise import Tags

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class RenderedPrompt:
    """The text to send, and the strings at which the answer ends."""

    text: str
    stop: tuple[str, ...]


@dataclass(frozen=True)
class Turn:
    """One role's text, as it stands in a prompt."""

    role: Role
    text: str


class PromptFamily(ABC):
    """A prompt layout that a group of models was trained with."""

    name: ClassVar[str]
    tags: ClassVar[Tags]
    stop: ClassVar[tuple[str, ...]]

    def render(self, messages: Sequence[BaseMessage]) -> RenderedPrompt:
        """The prompt that asks the model for the turn after `messages`.

        System texts go where the layout has them. Tags inside a message are neutralised.

        Raises:
            ValueError: no messages, a role that no model knows, or content other than text.
        """
        turns = [Turn(turn.role, self.tags.neutralised(turn.text)) for turn in turns_of(messages)]
        return RenderedPrompt(self.layout(turns), self.stop)

    @abstractmethod
    def layout(self, turns: list[Turn]) -> str:
        """The prompt of turns whose texts are already safe."""


def turns_of(messages: Sequence[BaseMessage]) -> list[Turn]:
    """Each message as a turn; a tool's result is a user's turn that says so.

    Raises:
        ValueError: no messages, a role that no model knows, or content other than text.
    """
    if not messages:
        raise ValueError("messages: the list is empty; give at least one message")
    return [_turn(message, position) for position, message in enumerate(messages)]


def alternating(turns: list[Turn]) -> tuple[str, list[Turn]]:
    """The system text, and turns that go user, assistant, user … and end with the user.

    System texts are joined in front, wherever they stood; neighbours of one role are joined by a blank line; where a
    user's turn is missing, an empty one stands in.
    """
    system = "\n\n".join(turn.text for turn in turns if turn.role == "system")
    merged: list[Turn] = []
    for turn in turns:
        if turn.role == "system":
            continue
        if merged and merged[-1].role == turn.role:
            merged[-1] = Turn(turn.role, f"{merged[-1].text}\n\n{turn.text}")
        else:
            merged.append(turn)
    if not merged or merged[0].role == "assistant":
        merged.insert(0, Turn("user", ""))
    if merged[-1].role == "assistant":
        merged.append(Turn("user", ""))
    return system, merged


def _turn(message: BaseMessage, position: int) -> Turn:
    text = _text(message, position)
    if isinstance(message, ToolMessage):
        return Turn("user", f"Result of {message.name or 'the tool'}: {text}")
    return Turn(_role(message, position), text)


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
        else:
            kind = part.get("type", "unknown")
            raise ValueError(f"messages[{position}]: a part of type {kind!r}; this model reads text only")
    return "".join(parts)
