"""Tool calls that cannot be read (`invalid_tool_calls`): the model is told what was wrong, and may try again."""

from typing import Any
from uuid import uuid4

from langchain.agents.middleware import AgentMiddleware, AgentState, hook_config
from langchain_core.messages import AIMessage, InvalidToolCall, ToolMessage
from langgraph.runtime import Runtime

from .turns import last_reply, this_turn

MOST_SHOWN = 400  # characters of what could not be read


class InvalidCalls(AgentMiddleware[AgentState[Any], Any, Any]):
    """Gives calls that cannot be read back to the model; after so many tries the turn ends with a plain answer.

    Args:
        tries: how often the model may try again in one turn.

    Raises:
        ValueError: fewer than 0 tries.
    """

    def __init__(self, *, tries: int = 2) -> None:
        super().__init__()
        if tries < 0:
            raise ValueError(f"tries: {tries} is below 0")
        self._tries = tries

    @hook_config(can_jump_to=["model", "end"])
    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Answer every call that cannot be read; go back to the model where there is no other."""
        reply = last_reply(state["messages"])
        if reply is None or not reply.invalid_tool_calls:
            return None
        known = reply.model_copy(update={"invalid_tool_calls": [_with_id(call) for call in reply.invalid_tool_calls]})
        messages: list[AIMessage | ToolMessage] = [known, *(_answer(call) for call in known.invalid_tool_calls)]
        if reply.tool_calls:
            return {"messages": messages}
        failed = sum(bool(m.invalid_tool_calls) for m in this_turn(state["messages"]) if isinstance(m, AIMessage))
        if failed <= self._tries:
            return {"messages": messages, "jump_to": "model"}
        return {
            "messages": [*messages, AIMessage(_GAVE_UP, response_metadata={"finish_reason": "bound"})],
            "jump_to": "end",
        }

    @hook_config(can_jump_to=["model", "end"])
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `after_model`."""
        return self.after_model(state, runtime)


_GAVE_UP = "I could not do this: my calls of the tools for it could not be read. Ask again in other words."


def _with_id(call: InvalidToolCall) -> InvalidToolCall:
    return {**call, "id": call["id"] or f"invalid-{uuid4()}"}


def _answer(call: InvalidToolCall) -> ToolMessage:
    name, shown = call["name"] or "unknown", (call["args"] or "")[:MOST_SHOWN]
    why = call["error"] or "its arguments are no JSON object that fits the tool"
    return ToolMessage(
        f"Not called: this call of {name} could not be read: {why}. It was: {shown}\nCall it again, with a JSON object of "
        "the tool's own arguments, or answer without it.",
        tool_call_id=call["id"] or "",
        name=name,
        status="error",
    )
