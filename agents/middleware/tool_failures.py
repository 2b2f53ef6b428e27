"""Tools that fail or take too long: the model gets a text that it can act on, and the details are logged."""

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
    """Passes a tool's exception to the model as text, and to the logger `sagechain.agents` with its traceback.

    The text of a `ToolException` is meant for the model. Of any other exception the model gets the class alone, since its
    text may contain what is internal.
    """
    return ToolErrorMiddleware(_text_for_model)


def _text_for_model(error: Exception, request: ToolCallRequest) -> str:
    name = request.tool_call["name"]
    if isinstance(error, ToolException):
        return str(error)
    logger.error("tool %s failed, called with %r", name, request.tool_call["args"], exc_info=error)
    return (
        f"{name} failed ({type(error).__name__}), and it is not known whether it did its work. The same call would likely "
        "fail again: call with other arguments, or answer without it and say what could not be done."
    )


class ToolTimeLimit(AgentMiddleware[AgentState[Any], Any, Any]):
    """Ends the wait for a tool. An async tool is cancelled; a sync one runs on in its thread, and its result is dropped.

    Args:
        seconds: time limit of one call.

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
        """Run the tool in a thread, and wait for it."""
        try:
            return within(self._seconds, lambda: handler(request))
        except OutOfTime:
            return self._timed_out(request)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Wait for the tool, and cancel it at the time limit; a sync function runs in a thread here too."""
        try:
            return await awithin(self._seconds, handler(_in_daemon_thread(request)))
        except OutOfTime:
            return self._timed_out(request)

    def _timed_out(self, request: ToolCallRequest) -> ToolMessage:
        name = request.tool_call["name"]
        logger.error("tool %s took longer than %g s, called with %r", name, self._seconds, request.tool_call["args"])
        reason = (
            f"{name} took longer than {self._seconds:g} seconds. It may have done its work all the same: do not make this "
            "call again; look whether it did, or answer and say that it is not known."
        )
        return refusal(request.tool_call, reason)


def _in_daemon_thread(request: ToolCallRequest) -> ToolCallRequest:
    """The same request, with a tool whose sync function runs in a thread that does not keep the process alive."""
    tool = request.tool
    if not isinstance(tool, StructuredTool) or tool.coroutine is not None or (function := tool.func) is None:
        return request

    @wraps(function)
    async def run(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.wrap_future(in_thread(partial(function, *args, **kwargs)))

    return request.override(tool=tool.model_copy(update={"coroutine": run}))
