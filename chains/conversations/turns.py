"""Where a turn begins and where it is over: it begins with a person's words, and ends with an answer that calls no tool.

A tool's call and its result stand between the two, so that whoever cuts at beginnings never parts them.
"""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage


def finished(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages up to the last answer: whole turns."""
    return list(messages[: _end(messages)])


def unanswered(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages after the last answer: a turn that still runs."""
    return list(messages[_end(messages) :])


def beginnings(messages: Sequence[BaseMessage]) -> list[int]:
    """Where turns begin; several messages of a person's in a row are one turn."""
    return [i for i in range(len(messages)) if begins_turn(messages[i], messages[i - 1] if i else None)]


def begins_turn(message: BaseMessage, before: BaseMessage | None) -> bool:
    """Whether a turn begins with this message, given the one before it."""
    return message.type == "human" and (before is None or before.type != "human")


def _end(messages: Sequence[BaseMessage]) -> int:
    return next((i for i in range(len(messages), 0, -1) if _is_answer(messages[i - 1])), 0)


def _is_answer(message: BaseMessage) -> bool:
    return isinstance(message, AIMessage) and not message.tool_calls
