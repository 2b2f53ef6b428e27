"""The same tool call twice in one turn: the second is not made, and the model is told why."""

import json
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain_core.messages import AIMessage, ToolCall
from langgraph.runtime import Runtime

from .turns import open_calls, refusal, this_turn


class RepeatedCalls(AgentMiddleware[AgentState[Any], Any, Any]):
    """Stops calls of a name with arguments that the turn has had.

    Args:
        allowed: so many calls alike are made.

    Raises:
        ValueError: none is allowed.
    """

    def __init__(self, *, allowed: int = 1) -> None:
        super().__init__()
        if allowed < 1:
            raise ValueError(f"allowed: {allowed} would stop every call; give 1 or more")
        self._allowed = allowed

    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Answer the calls that repeat one, in place of their tools."""
        turn, waiting = this_turn(state["messages"]), {call["id"] for call in open_calls(state["messages"])}
        seen: dict[str, int] = {}
        stopped = []
        for call in (call for message in turn if isinstance(message, AIMessage) for call in message.tool_calls):
            seen[_known_by(call)] = seen.get(_known_by(call), 0) + 1
            if seen[_known_by(call)] > self._allowed and call["id"] in waiting:
                stopped.append(refusal(call, _REASON.format(name=call["name"])))
        return {"messages": stopped} if stopped else None

    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `after_model`."""
        return self.after_model(state, runtime)


_REASON = (
    "Not called: {name} was called with these same arguments before in this turn, and its result stands above. "
    "Use that result, call with other arguments, or answer."
)


def _known_by(call: ToolCall) -> str:
    return json.dumps([call["name"], call["args"]], sort_keys=True, default=str)
