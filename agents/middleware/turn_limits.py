"""Seconds and tokens of a turn. A turn that has used them up ends with an answer that says so.

The wait for a person (an interrupt) does not count: what goes on after it has all its seconds again. A model call that is
still at work when the time is over is cancelled where it is async; where it is sync, its own time-out ends it.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, NotRequired

from langchain.agents.middleware import AgentMiddleware, AgentState, hook_config
from langchain.agents.middleware.types import ModelRequest, ModelResponse, PrivateStateAttr
from langchain_core.messages import AIMessage
from langchain_core.messages.utils import count_tokens_approximately
from langgraph.channels import UntrackedValue
from langgraph.runtime import Runtime

from .deadlines import OutOfTime, awithin, within
from .turns import this_turn


class TurnState(AgentState[Any]):
    """When the turn began, or went on after a wait, by the monotonic clock; never saved."""

    turn_began: NotRequired[Annotated[float, UntrackedValue, PrivateStateAttr]]


class TurnLimit(AgentMiddleware[TurnState, Any, Any]):
    """Ends turns that take too long, or too much.

    Args:
        seconds: most seconds from the turn's beginning; no limit if None.
        tokens: most tokens in and out of all model calls of the turn; once they are used up, no call begins. No limit if
            None.

    Raises:
        ValueError: a limit that is not above 0.
    """

    state_schema = TurnState

    def __init__(self, *, seconds: float | None = None, tokens: int | None = None) -> None:
        super().__init__()
        for name, value in (("seconds", seconds), ("tokens", tokens)):
            if value is not None and value <= 0:
                raise ValueError(f"{name}: {value} leaves no time or room for a turn; give more than 0, or None")
        self._seconds, self._tokens = seconds, tokens

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: TurnState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """End the turn where its tokens or seconds are used up."""
        began = state.get("turn_began", time.monotonic())
        if self._tokens is not None and (used := _tokens(state)) >= self._tokens:
            return _ended(f"it has used {used:,} tokens of {self._tokens:,}")
        if self._seconds is not None and time.monotonic() - began >= self._seconds:
            return _ended(self._too_long)
        return {"turn_began": began}

    @hook_config(can_jump_to=["end"])
    async def abefore_model(self, state: TurnState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `before_model`."""
        return self.before_model(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | AIMessage:
        """Wait for the model as long as the turn has time."""
        if self._seconds is None:
            return handler(request)
        try:
            return within(self._left(request), lambda: handler(request))
        except OutOfTime:
            return _stopped(self._too_long)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any] | AIMessage:
        """As `wrap_model_call`."""
        if self._seconds is None:
            return await handler(request)
        try:
            return await awithin(self._left(request), handler(request))
        except OutOfTime:
            return _stopped(self._too_long)

    @property
    def _too_long(self) -> str:
        return f"it took longer than {self._seconds:g} seconds"

    def _left(self, request: ModelRequest[Any]) -> float:
        assert self._seconds is not None
        began: Any = request.state.get("turn_began", time.monotonic())
        return float(self._seconds - (time.monotonic() - began))


def _tokens(state: TurnState) -> int:
    """What the turn's model calls have used; where a model does not tell, what it said, roughly counted."""
    replies = [message for message in this_turn(state["messages"]) if isinstance(message, AIMessage)]
    told = [reply.usage_metadata["total_tokens"] if reply.usage_metadata else None for reply in replies]
    return sum(
        count_tokens_approximately([reply]) if count is None else count
        for reply, count in zip(replies, told, strict=True)
    )


def _ended(why: str) -> dict[str, Any]:
    return {"messages": [_stopped(why)], "jump_to": "end"}


def _stopped(why: str) -> AIMessage:
    return AIMessage(
        f"I stopped before this was done: {why}. What was said before is not whole. Ask again, or ask for less.",
        response_metadata={"finish_reason": "bound"},
    )
