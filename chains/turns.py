"""Where turns start and end in a list of messages.

A turn starts with a person's message and ends with an answer that calls no tool; tool calls and their results are inside.
"""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, BaseMessage


def finished_turns(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages up to the last answer."""
    return list(messages[: _end_of_last_answer(messages)])


def open_turn(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages after the last answer: a turn that is still running."""
    return list(messages[_end_of_last_answer(messages) :])


def turn_starts(messages: Sequence[BaseMessage]) -> list[int]:
    """The indices at which turns start; consecutive messages of a person are one turn."""
    return [i for i in range(len(messages)) if starts_turn(messages[i], messages[i - 1] if i else None)]


def starts_turn(message: BaseMessage, previous: BaseMessage | None) -> bool:
    """Whether a turn starts with this message, given the message before it."""
    return message.type == "human" and (previous is None or previous.type != "human")


def _end_of_last_answer(messages: Sequence[BaseMessage]) -> int:
    return next((i for i in range(len(messages), 0, -1) if _is_answer(messages[i - 1])), 0)


def _is_answer(message: BaseMessage) -> bool:
    return isinstance(message, AIMessage) and not message.tool_calls
