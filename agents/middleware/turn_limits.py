"""Limits on the seconds and tokens of a turn. A turn that reaches one ends with an answer that gives the reason.

The wait for a person (an interrupt) does not count: the turn resumes with all its seconds. At the time limit an async
generation is cancelled; a sync one runs on until its own time-out, and its answer is dropped.
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
from .turns import current_turn


class TurnState(AgentState[Any]):
    """When the turn started or resumed, by the monotonic clock; not saved with the thread."""

    started_at: NotRequired[Annotated[float, UntrackedValue, PrivateStateAttr]]


class TurnLimit(AgentMiddleware[TurnState, Any, Any]):
    """Ends a turn after a number of seconds or tokens.

    Args:
        seconds: time limit of a turn; no limit if None.
        tokens: limit on the input and output tokens of all generations of a turn: once it is reached, no other generation
            starts. No limit if None.

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
        """End the turn if a limit is reached."""
        started_at = state.get("started_at", time.monotonic())
        if self._tokens is not None and (used := _used_tokens(state)) >= self._tokens:
            return _end_turn(f"it has used {used:,} tokens of {self._tokens:,}")
        if self._seconds is not None and time.monotonic() - started_at >= self._seconds:
            return _end_turn(self._too_long)
        return {"started_at": started_at}

    @hook_config(can_jump_to=["end"])
    async def abefore_model(self, state: TurnState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """As `before_model`."""
        return self.before_model(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any] | AIMessage:
        """Wait for the model until the turn's time limit."""
        if self._seconds is None:
            return handler(request)
        try:
            return within(self._seconds_left(request), lambda: handler(request))
        except OutOfTime:
            return _limit_answer(self._too_long)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any] | AIMessage:
        """As `wrap_model_call`."""
        if self._seconds is None:
            return await handler(request)
        try:
            return await awithin(self._seconds_left(request), handler(request))
        except OutOfTime:
            return _limit_answer(self._too_long)

    @property
    def _too_long(self) -> str:
        return f"it took longer than {self._seconds:g} seconds"

    def _seconds_left(self, request: ModelRequest[Any]) -> float:
        assert self._seconds is not None
        started_at: Any = request.state.get("started_at", time.monotonic())
        return float(self._seconds - (time.monotonic() - started_at))


def _used_tokens(state: TurnState) -> int:
    """The tokens of the turn's generations; for a model that reports no usage, an estimate of its output tokens."""
    replies = [message for message in current_turn(state["messages"]) if isinstance(message, AIMessage)]
    return sum(
        reply.usage_metadata["total_tokens"] if reply.usage_metadata else count_tokens_approximately([reply])
        for reply in replies
    )


def _end_turn(reason: str) -> dict[str, Any]:
    return {"messages": [_limit_answer(reason)], "jump_to": "end"}


def _limit_answer(reason: str) -> AIMessage:
    return AIMessage(
        f"I stopped before this was done: {reason}. The answer above is incomplete. Repeat the request, or reduce it.",
        response_metadata={"finish_reason": "bound"},
    )
