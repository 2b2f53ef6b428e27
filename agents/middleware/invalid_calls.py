"""Malformed tool calls (`invalid_tool_calls`): the model gets the reason, and may try again."""

from typing import Any
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware, AgentState, hook_config
from langchain_core.messages import AIMessage, InvalidToolCall, ToolMessage
from langgraph.runtime import Runtime

from .turns import current_turn, last_reply

MAX_SHOWN_CHARACTERS = 400  # of a malformed call, in the reply to the model


class InvalidCalls(AgentMiddleware[AgentState[Any], Any, Any]):
    """Returns malformed tool calls to the model; after too many tries the turn ends with a plain answer.

    Args:
        tries: how often the model may try again in one turn.

    Raises:
        ValueError: `tries` is negative.
    """

    def __init__(self, *, tries: int = 2) -> None:
        super().__init__()
        if tries < 0:
            raise ValueError(f"tries: {tries} is below 0")
        self._tries = tries

    @hook_config(can_jump_to=["model", "end"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Reply to every malformed call; go back to the model if all are malformed."""
        reply = last_reply(state["messages"])
        if reply is None or not reply.invalid_tool_calls:
            return None
        reply = reply.model_copy(update={"invalid_tool_calls": [_with_id(call) for call in reply.invalid_tool_calls]})
        messages: list[AIMessage | ToolMessage] = [reply, *(_reason(call) for call in reply.invalid_tool_calls)]
        if reply.tool_calls:
            return {"messages": messages}
        failures = sum(bool(m.invalid_tool_calls) for m in current_turn(state["messages"]) if isinstance(m, AIMessage))
        if failures <= self._tries:
            return {"messages": messages, "jump_to": "model"}
        return {
            "messages": [*messages, AIMessage(_LAST_ANSWER, response_metadata={"finish_reason": "bound"})],
            "jump_to": "end",
        }

    @hook_config(can_jump_to=["model", "end"])
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `after_model`."""
        return self.after_model(state, runtime)


_LAST_ANSWER = (
    "I could not do this: the tool calls that I wrote for it are malformed. Please word your request differently."
)


def _with_id(call: InvalidToolCall) -> InvalidToolCall:
    return {**call, "id": call["id"] or f"invalid-{uuid4()}"}


def _reason(call: InvalidToolCall) -> ToolMessage:
    name, arguments = call["name"] or "unknown", (call["args"] or "")[:MAX_SHOWN_CHARACTERS]
    error = call["error"] or "its arguments are not a JSON object that fits the tool"
    return ToolMessage(
        f"Not called: this call of {name} could not be read: {error}. It was: {arguments}\nCall it again, with a JSON "
        "object of the tool's own arguments, or answer without it.",
        tool_call_id=call["id"] or "",
        name=name,
        status="error",
    )
