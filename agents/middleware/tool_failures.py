"""Tools that fail or take too long: the model gets a text that it can act on, and the log has all of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any

from langchain.agents.middleware import AgentMiddleware, AgentState, ToolErrorMiddleware
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.tools import StructuredTool, ToolException
from langgraph.types import Command

from .deadlines import OutOfTime, awithin, in_thread, within
from .turns import refusal

logger = logging.getLogger("sagechain.agents")


def tool_errors() -> ToolErrorMiddleware[Any, Any]:
    """What a tool raises goes to the model as a text, and to the logger `sagechain.agents` with its traceback.

    A `ToolException` is meant for the model, which gets its text. Of another exception it gets the kind alone: the text may
    tell what is inside.
    """
    return ToolErrorMiddleware(_told)


def _told(error: Exception, request: ToolCallRequest) -> str:
    name = request.tool_call["name"]
    if isinstance(error, ToolException):
        return str(error)
    logger.error("tool %s failed, called with %r", name, request.tool_call["args"], exc_info=error)
    return (
        f"{name} failed ({type(error).__name__}), and it is not known whether it did its work. The same call would likely "
        "fail again: call with other arguments, or answer without it and say what could not be done."
    )


class ToolTimeLimit(AgentMiddleware[AgentState[Any], Any, Any]):
    """Ends the wait for a tool. A sync tool goes on in its thread, and its result is dropped; an async one is cancelled.

    Args:
        seconds: most seconds of one call.

    Raises:
        ValueError: not above 0.
    """

    def __init__(self, *, seconds: float) -> None:
        super().__init__()
        if seconds <= 0:
            raise ValueError(f"seconds: {seconds} leaves no time for a tool; give more than 0")
        self._seconds = seconds

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Wait for the tool, in a thread."""
        try:
            return within(self._seconds, lambda: handler(request))
        except OutOfTime:
            return self._given_up(request)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Wait for the tool, then cancel it; one that is a sync function runs in a thread here too."""
        try:
            return await awithin(self._seconds, handler(_never_joined(request)))
        except OutOfTime:
            return self._given_up(request)

    def _given_up(self, request: ToolCallRequest) -> ToolMessage:
        name = request.tool_call["name"]
        logger.error("tool %s took longer than %g s, called with %r", name, self._seconds, request.tool_call["args"])
        reason = (
            f"{name} took longer than {self._seconds:g} seconds. It may have done its work all the same: do not make this "
            "call again; look whether it did, or answer and say that it is not known."
        )
        return refusal(request.tool_call, reason)


def _never_joined(request: ToolCallRequest) -> ToolCallRequest:
    """The same call; its sync function in a thread that a process does not wait for at its end."""
    tool = request.tool
    if not isinstance(tool, StructuredTool) or tool.coroutine is not None or (function := tool.func) is None:
        return request

    @wraps(function)
    async def in_its_thread(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.wrap_future(in_thread(partial(function, *args, **kwargs)))

    return request.override(tool=tool.model_copy(update={"coroutine": in_its_thread}))
