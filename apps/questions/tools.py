"""Tools of the user's own for one question: `--tool MODULE:FUNCTION` and `--tool FILE.py:FUNCTION`.

The model may call them in a loop, within the limits below. Each call is reported before it runs.
"""

import importlib
import importlib.util
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from sagechain.command import print_note
from sagechain.prompts import visible_line

if TYPE_CHECKING:
    from langchain.agents.middleware import AgentMiddleware
    from langchain_core.tools import BaseTool
    from langgraph.graph.state import CompiledStateGraph

MAX_GENERATIONS = 8
MAX_TOOL_CALLS = 12
MAX_SECONDS = 600.0
MAX_TOKENS = 64_000
MAX_TOOL_SECONDS = 60.0
MAX_RESULT_CHARACTERS = 100_000  # of one call; more would not fit into a context


def load_tools(places: Sequence[str]) -> "list[BaseTool]":
    """The tools at `MODULE:NAME` or `FILE.py:NAME`: functions with a docstring, or LangChain tools.

    Raises:
        ValueError: a place that cannot be imported, or holds no tool; two tools with one name.
    """
    tools = [_load_tool(place) for place in places]
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"--tool: two tools are named {name!r}")
    return tools


def agent(chat: Any, tools: "Sequence[BaseTool]", *, approve: bool) -> "CompiledStateGraph[Any, Any, Any, Any]":
    """A graph over `{"messages": […]}` in which the model calls the tools.

    Args:
        chat: the chat model.
        tools: what it may call.
        approve: ask the person before each call.
    """
    from langchain.agents import create_agent
    from langchain.agents.middleware import ModelCallLimitMiddleware, ToolCallLimitMiddleware
    from sagechain.agents.middleware import InvalidCalls, RepeatedCalls, ToolTimeLimit, TurnLimit, tool_errors

    middleware: list[AgentMiddleware[Any, Any, Any]] = [
        TurnLimit(seconds=MAX_SECONDS, tokens=MAX_TOKENS),
        _announced_calls(approve),
        tool_errors(),
        ToolTimeLimit(seconds=MAX_TOOL_SECONDS),
        RepeatedCalls(),
        InvalidCalls(),
        ToolCallLimitMiddleware(run_limit=MAX_TOOL_CALLS),
        ModelCallLimitMiddleware(run_limit=MAX_GENERATIONS, exit_behavior="error"),
    ]
    return create_agent(chat, list(tools), middleware=middleware)


def _load_tool(place: str) -> "BaseTool":
    from langchain_core.tools import BaseTool, StructuredTool

    module, _, name = place.rpartition(":")
    if not module or not name:
        raise ValueError(f"--tool {place}: give MODULE:FUNCTION or FILE.py:FUNCTION")
    found: Any = _import(module, place)
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ValueError(f"--tool {place}: {module} has no {part!r}") from None
    if isinstance(found, BaseTool):
        return found
    if not callable(found) or isinstance(found, type):
        raise ValueError(f"--tool {place}: neither a function nor a LangChain tool, but {type(found).__name__}")
    try:
        return StructuredTool.from_function(
            **{"coroutine" if _is_async(found) else "func": found}, parse_docstring=False
        )
    except Exception as error:  # noqa: BLE001 - of LangChain and pydantic, for a signature that has no schema
        raise ValueError(f"--tool {place}: not usable as a tool: {visible_line(str(error))}") from None


def _import(module: str, place: str) -> Any:
    """The module, from the current folder too. Its own failures are ValueErrors of one line."""
    try:
        if module.endswith(".py"):
            path = Path(module).expanduser().resolve()
            if not path.is_file():
                raise ValueError(f"--tool {place}: the file {module!r} does not exist")
            sys.path.insert(0, str(path.parent))
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            loaded = importlib.util.module_from_spec(spec)
            sys.modules[path.stem] = loaded
            spec.loader.exec_module(loaded)
            return loaded
        sys.path.insert(0, str(Path.cwd()))
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        if isinstance(error, ValueError) and str(error).startswith("--tool "):
            raise
        reason = visible_line(f"{type(error).__name__}: {error}")
        raise ValueError(f"--tool {place}: importing {module} failed: {reason}") from None


def _is_async(function: Callable[..., Any]) -> bool:
    import inspect

    return inspect.iscoroutinefunction(function)


def _announced_calls(approve: bool) -> "AgentMiddleware[Any, Any, Any]":
    from langchain.agents.middleware import AgentMiddleware
    from langchain.agents.middleware.types import ToolCallRequest
    from langchain_core.messages import ToolMessage
    from langgraph.types import Command

    class AnnouncedCalls(AgentMiddleware[Any, Any, Any]):
        """Prints each call before it runs, and bounds what the model gets back."""

        async def awrap_tool_call(
            self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
        ) -> ToolMessage | Command[Any]:
            call = request.tool_call
            shown = ", ".join(
                f"{name}={json.dumps(value, ensure_ascii=False, default=str)}" for name, value in call["args"].items()
            )
            line = visible_line(f"{call['name']}({shown})")
            if approve and not typer.confirm(f"Call {line}?", err=True):
                return ToolMessage(
                    "Not called: the user refused this call. Answer without it.",
                    tool_call_id=call["id"],
                    name=call["name"],
                    status="error",
                )
            if not approve:
                print_note(f"(Calling {line})")
            result = await handler(request)
            return _bounded(result) if isinstance(result, ToolMessage) else result

    return AnnouncedCalls()


def _bounded(result: Any) -> Any:
    text = result.text
    if len(text) <= MAX_RESULT_CHARACTERS:
        return result
    note = f"{text[:MAX_RESULT_CHARACTERS]}\n[cut: the result has {len(text):,} characters]"
    return result.model_copy(update={"content": note})
