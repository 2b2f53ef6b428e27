"""From calls as a model wrote them to LangChain's: validated against the tools, or invalid with the reason."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call

from ..escaping import Escaping
from .callable_tools import CallableTools
from .envelopes import NO_NAME, RawCall

AnswerPart = str | ToolCall | InvalidToolCall
"""A part of an answer: text, or a call."""


class CallValidator:
    """Validates the calls of one answer.

    Args:
        tools: the tools that may be called.
        parallel: whether the answer may contain several calls.
        escaping: what was escaped in the prompt; names and arguments that repeat it are unescaped.
    """

    def __init__(self, tools: CallableTools, *, parallel: bool, escaping: Escaping) -> None:
        self._tools, self._parallel, self._escaping = tools, parallel, escaping
        self._any_valid = False

    def validate(self, found: Iterable[str | RawCall]) -> list[AnswerPart]:
        """Texts as they are, calls in LangChain's form; the comment in a call comes before it."""
        parts: list[AnswerPart] = []
        for each in found:
            if isinstance(each, str):
                parts.append(each)
                continue
            if each.comment:
                parts.append(each.comment)
            parts.append(self._validated(each))
        return parts

    def _validated(self, call: RawCall) -> ToolCall | InvalidToolCall:
        name = self._tools.resolve(self._escaping.unescape(call.name)) if call.name else None
        call_id = f"call_{uuid4().hex}"
        try:
            arguments = self._arguments(call, name)
        except ValueError as error:
            return invalid_tool_call(name=name or call.name, args=call.raw, id=call_id, error=str(error))
        self._any_valid = True
        return tool_call(name=str(name), args=arguments, id=call_id)

    def _arguments(self, call: RawCall, name: str | None) -> dict[str, Any]:
        if call.error:
            raise ValueError(call.error)
        if name is None:
            raise ValueError(self._tools.unknown_name(call.name) if call.name else NO_NAME)
        arguments = self._tools.coerce(name, self._escaping.unescape_values(call.arguments))
        if self._any_valid and not self._parallel:
            raise ValueError("one call at a time: wait for the result of the first")
        return arguments
