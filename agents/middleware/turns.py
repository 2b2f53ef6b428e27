"""The current turn in a list of messages, and its tool calls that have no result yet."""

from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage


def current_turn(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """The messages after the last human one."""
    starts = (i for i in range(len(messages), 0, -1) if messages[i - 1].type == "human")
    return list(messages[next(starts, 0) :])


def last_reply(messages: Sequence[AnyMessage]) -> AIMessage | None:
    """The model's last message."""
    return next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)


def open_calls(messages: Sequence[AnyMessage]) -> list[ToolCall]:
    """The tool calls of the model's last message that have no result yet."""
    if (reply := last_reply(messages)) is None:
        return []
    later = messages[messages.index(reply) + 1 :]
    answered = {message.tool_call_id for message in later if isinstance(message, ToolMessage)}
    return [call for call in reply.tool_calls if call["id"] not in answered]


def refusal(call: ToolCall, reason: str) -> ToolMessage:
    """What the model gets in place of a tool call's result."""
    return ToolMessage(reason, tool_call_id=call["id"], name=call["name"], status="error")
