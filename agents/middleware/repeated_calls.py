"""The same tool call twice in one turn: the second is not executed, and the model gets the reason."""

import json
from collections import Counter
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState
from langchain_core.messages import AIMessage, ToolCall
from langgraph.runtime import Runtime

from .turns import current_turn, open_calls, refusal


class RepeatedCalls(AgentMiddleware[AgentState[Any], Any, Any]):
    """Refuses a tool call if the turn has had one with the same name and arguments.

    Args:
        allowed: how many equal calls are executed in a turn.

    Raises:
        ValueError: `allowed` is below 1.
    """

    def __init__(self, *, allowed: int = 1) -> None:
        super().__init__()
        if allowed < 1:
            raise ValueError(f"allowed: {allowed} would stop every call; give 1 or more")
        self._allowed = allowed

    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Refuse the open calls that repeat an earlier one."""
        open_ids = {call["id"] for call in open_calls(state["messages"])}
        counts = Counter[str]()
        refusals = []
        for message in current_turn(state["messages"]):
            for call in message.tool_calls if isinstance(message, AIMessage) else ():
                counts[_key(call)] += 1
                if counts[_key(call)] > self._allowed and call["id"] in open_ids:
                    refusals.append(refusal(call, _REASON.format(name=call["name"])))
        return {"messages": refusals} if refusals else None

    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `after_model`."""
        return self.after_model(state, runtime)


_REASON = (
    "Not called: {name} was called with these same arguments before in this turn, and its result stands above. "
    "Use that result, call with other arguments, or answer."
)


def _key(call: ToolCall) -> str:
    return json.dumps([call["name"], call["args"]], sort_keys=True, default=str)
