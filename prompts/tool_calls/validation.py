"""From calls as a model wrote them to LangChain's: checked against the tools, or invalid with the reason."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call

from ..escaping import Escaping
from .envelopes import KnownTools, Written

AnswerPart = str | ToolCall | InvalidToolCall
"""Of an answer: text, or a call."""


class Judge:
    """Judges the calls of one answer.

    Args:
        known: the tools that may be called.
        parallel: whether there may be several calls.
        escaping: what was escaped in what the model read; names and arguments that repeat it are restored.

    Attributes:
        called: whether there was any call, valid or not.
    """

    def __init__(self, known: KnownTools, *, parallel: bool, escaping: Escaping) -> None:
        self._known, self._parallel, self._escaping = known, parallel, escaping
        self.called = self._valid = False

    def parts(self, found: Iterable[str | Written]) -> list[AnswerPart]:
        """Text as it is, each call as LangChain has it; what was said inside a call stands before it."""
        parts: list[AnswerPart] = []
        for each in found:
            if isinstance(each, str):
                parts.append(each)
                continue
            parts += [each.said] if each.said else []
            parts.append(self._call(each))
            self.called = True
        return parts

    def _call(self, call: Written) -> ToolCall | InvalidToolCall:
        known = self._known
        name = known.named(self._escaping.unescape(call.name)) if call.name else None
        number = f"call_{uuid4().hex}"
        try:
            if call.error:
                raise ValueError(call.error)
            if name is None:
                raise ValueError(known.unknown(call.name) if call.name else "name: there is none")
            arguments: dict[str, Any] = known.coerce(name, self._escaping.unescape_values(call.arguments))
            if self._valid and not self._parallel:
                raise ValueError("one call at a time: wait for the result of the first")
        except ValueError as error:
            return invalid_tool_call(name=name or call.name, args=call.raw, id=number, error=str(error))
        self._valid = True
        return tool_call(name=name, args=arguments, id=number)
