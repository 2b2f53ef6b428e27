"""Find the calls that begin at one position of an answer, in any form that models write.

    CallFinder("Action: clock\\n", tools, final=True).calls_at(0, at_line_start=True)
    # FoundCalls(parts=[RawCall("Action: clock", "clock")], end=14)

As in `formats.py`, None means that no call begins there, a `NeedsMore` that only more text can decide.
"""

import re
from dataclasses import dataclass, field, replace

from ..json_text.extent import Extent, ExtentScanner, find_extent
from ..json_text.repair import parse_json
from .callable_tools import CallableTools
from .envelopes import RawCall, calls_in_json
from .formats import (
    BODY_END,
    CLOSING_TAG,
    PARTIAL_CLOSING_TAG,
    NeedsMore,
    argument_tags,
    fence_at,
    may_be_call_object_at,
    named_call_at,
    opening_tag_at,
)
from .python_calls import call_end, parse_python_call
from .react import Action, action_at, begins_step, input_end, plain_input_call

TRUNCATED = "the answer was truncated at the token limit inside this call; write it again, shorter"
MAX_BRACKETS = 64
"""Brackets of an object to search for a tool's name; without one it is text."""

_LINE_END = re.compile(r"[^\S\n]*[;.`\]]*[^\S\n]*(?:\n|<|```|\Z)")
_PARTIAL_LINE_END = re.compile(r"[^\S\n]*[;.`\]]*[^\S\n]*\Z")
_BLANK_LINE = re.compile(r"\n\n")


@dataclass(frozen=True)
class Enclosure:
    """What is open around a call.

    Attributes:
        declared: a tag or list for calls is open.
        fenced: a fence is open.
        tool_name: the tool that the tag names.
        is_empty: no call has been found in it yet.
    """

    declared: bool = False
    fenced: bool = False
    tool_name: str | None = None
    is_empty: bool = False


NOTHING_OPEN = Enclosure()
DECLARED = Enclosure(declared=True)


@dataclass(frozen=True)
class FoundCalls:
    """Calls, and text between them, up to `end`; `enclosure` is what they leave open."""

    parts: list[str | RawCall]
    end: int
    enclosure: Enclosure = NOTHING_OPEN


@dataclass(frozen=True)
class CallFinder:
    """Searches an answer, or the end of one, as far as it has arrived.

    Attributes:
        text: what is searched.
        tools: the tools that may be called.
        final: no more text comes.
        truncated: the text ended at the token limit, so its last call may be incomplete.
        after_call: a call came before this text.
        scanners: of unfinished JSON values, by their start; valid while the text only grows.
    """

    text: str
    tools: CallableTools
    final: bool = False
    truncated: bool = False
    after_call: bool = False
    scanners: dict[int, ExtentScanner] = field(default_factory=dict)

    def calls_at(
        self, position: int, *, at_line_start: bool, enclosure: Enclosure = NOTHING_OPEN
    ) -> FoundCalls | NeedsMore | None:
        """The calls that begin there, in any form."""
        character = self.text[position]
        if character in "<[":
            tag = opening_tag_at(self.text, position, final=self.final)
            if isinstance(tag, NeedsMore):
                return tag
            if tag is not None:
                return FoundCalls([], tag.end, Enclosure(declared=True, tool_name=tag.tool_name, is_empty=True))
        if character == "<":
            return self._late_closing_tag(position)
        if character == "[":
            return self._list(position)
        if character == "`":
            return self._fenced(position)
        if character == "{":
            may_be_call = may_be_call_object_at(self.text, position, self.tools, final=self.final)
            if isinstance(may_be_call, NeedsMore):
                return may_be_call
            return self.object_at(position) if may_be_call else None
        return self._line(position, enclosure) if at_line_start else None

    def object_at(
        self,
        position: int,
        enclosure: Enclosure = NOTHING_OPEN,
        *,
        tool_name: str | None = None,
        start: int | None = None,
    ) -> FoundCalls | NeedsMore | None:
        """The calls in the object at `position`.

        Args:
            position: of its bracket.
            enclosure: what is open around it.
            tool_name: the tool that is named before the object.
            start: where that name begins.
        """
        if not enclosure.declared and tool_name is None and self._has_many_brackets_and_no_name(position):
            return None
        scanner = self.scanners.pop(position, None) or ExtentScanner(position)
        extent = scanner.scan(self.text, final=self.final)
        if extent is None:
            self.scanners[position] = scanner
            return NeedsMore.END_OF_VALUE
        calls = self._calls_in(position, extent, tool_name or enclosure.tool_name)
        if start is not None:
            calls = [replace(call, raw=self.text[start : extent.end].rstrip()) for call in calls]
        if not enclosure.declared and not any(call.certain for call in calls):
            return None
        return FoundCalls([*calls], extent.end)

    def tag_body(self, enclosure: Enclosure) -> FoundCalls | NeedsMore:
        """What the text, which begins right after an opening tag, contains before its closing tag, if that is not JSON."""
        body_end = BODY_END.search(self.text)
        if not body_end and not self.final:
            return NeedsMore.END_OF_VALUE
        body = self.text[: body_end.start() if body_end else len(self.text)]
        bracket = body.find("{")
        enclosure = replace(enclosure, is_empty=False)
        if bracket > 0 and "<parameter" not in body:
            extent = find_extent(body, bracket)
            calls = self._calls_in(bracket, extent, enclosure.tool_name)
            return FoundCalls([body[:bracket].strip(), *calls], extent.end, enclosure)
        call = self._call_without_json(body.strip(), enclosure.tool_name, closed=bool(body_end))
        return FoundCalls([call], len(body), enclosure)

    def _call_without_json(self, body: str, tool_name: str | None, *, closed: bool) -> RawCall:
        if self.truncated and not closed:
            return RawCall(body, tool_name, error=TRUNCATED)
        arguments = argument_tags(body)
        if tool_name and arguments:
            return RawCall(body, tool_name, arguments)
        if self.tools.resolve(body):
            return RawCall(body, body)
        return RawCall(body, tool_name, error='this is not a call; write {"name": "NAME", "arguments": {…}}')

    def _late_closing_tag(self, position: int) -> FoundCalls | NeedsMore | None:
        """A closing tag with text between it and its call."""
        if not self.after_call:
            return None
        if tag := CLOSING_TAG.match(self.text, position):
            return FoundCalls([], tag.end())
        return NeedsMore.TEXT if not self.final and PARTIAL_CLOSING_TAG.match(self.text, position) else None

    def _list(self, position: int) -> FoundCalls | NeedsMore | None:
        """The first call of a list."""
        first = self._skip_blanks(position + 1)
        if first == len(self.text):
            return None if self.final else NeedsMore.TEXT
        if self.text[first] != "{" and not self.text[first].isalpha():
            return None
        found = self.calls_at(first, at_line_start=True, enclosure=DECLARED)
        return replace(found, enclosure=DECLARED) if isinstance(found, FoundCalls) else found

    def _fenced(self, position: int) -> FoundCalls | NeedsMore | None:
        fence = fence_at(self.text, position, final=self.final)
        if isinstance(fence, NeedsMore) or fence is None:
            return fence
        if fence.declares_calls:
            return FoundCalls([], fence.end, Enclosure(declared=True, fenced=True, is_empty=True))
        if fence.end == len(self.text):
            return None if self.final else NeedsMore.TEXT
        found = self.calls_at(fence.end, at_line_start=True)
        return (
            replace(found, enclosure=replace(found.enclosure, fenced=True)) if isinstance(found, FoundCalls) else found
        )

    def _line(self, position: int, enclosure: Enclosure) -> FoundCalls | NeedsMore | None:
        """The call in a line that begins with a word."""
        action = action_at(self.text, position, self.tools, final=self.final)
        if isinstance(action, NeedsMore):
            return action
        if action is not None:
            return self._action(position, action)
        named = named_call_at(self.text, position, self.tools, final=self.final)
        if isinstance(named, NeedsMore) or named is None:
            return named
        if self.text[named.bracket] == "{":
            return self.object_at(named.bracket, enclosure, tool_name=named.name, start=position)
        return self._python_call(position, named.bracket, enclosure)

    def _python_call(self, position: int, bracket: int, enclosure: Enclosure) -> FoundCalls | NeedsMore | None:
        limit = (BODY_END if enclosure.declared else _BLANK_LINE).search(self.text, position)
        text = self.text[: limit.start()] if limit else self.text
        end = call_end(text, bracket, final=self.final or bool(limit))
        if end is None:
            return None if limit else self._unclosed_python_call(position, bracket)
        if not enclosure.declared:
            if not self.final and _PARTIAL_LINE_END.match(self.text, end):
                return NeedsMore.TEXT
            if not _LINE_END.match(self.text, end):
                return None
        return FoundCalls([parse_python_call(text[position:end], bracket - position, self.tools)], end)

    def _unclosed_python_call(self, position: int, bracket: int) -> FoundCalls | NeedsMore:
        if not self.final:
            return NeedsMore.END_OF_VALUE
        error = TRUNCATED if self.truncated else "arguments: the closing bracket is missing"
        call = RawCall(self.text[position:], self.text[position:bracket], error=error)
        return FoundCalls([call], len(self.text))

    def _action(self, position: int, action: Action) -> FoundCalls | NeedsMore | None:
        text = self.text
        without_input = FoundCalls([RawCall(text[position : action.end].strip(), action.name)], action.end)
        if not action.has_input:
            return without_input
        start = self._skip_blanks(action.end)
        if start == len(text) and not self.final:
            return NeedsMore.TEXT
        fence = fence_at(text, start, final=self.final)
        if isinstance(fence, NeedsMore):
            return fence
        start = fence.end if fence else start
        if text[start : start + 1] == "{":
            found = self.object_at(start, DECLARED, tool_name=action.name, start=position)
            return replace(found, enclosure=Enclosure(fenced=bool(fence))) if isinstance(found, FoundCalls) else found
        next_step = begins_step(text, start, final=self.final)
        if isinstance(next_step, NeedsMore):
            return next_step
        return without_input if next_step else self._plain_action(position, action, start)

    def _plain_action(self, position: int, action: Action, start: int) -> FoundCalls | NeedsMore:
        """An action with the input at `start`, which is not JSON."""
        end = input_end(self.text, start, final=self.final)
        if isinstance(end, NeedsMore):
            return end
        call = plain_input_call(self.text[position:end].strip(), action.name, self.text[start:end], self.tools)
        if self.truncated and end == len(self.text):
            call = replace(call, error=TRUNCATED)
        return FoundCalls([call], end)

    def _skip_blanks(self, position: int) -> int:
        return len(self.text) - len(self.text[position:].lstrip())

    def _calls_in(self, position: int, extent: Extent, tool_name: str | None) -> list[RawCall]:
        """The calls in the JSON value at `position`."""
        raw = self.text[position : extent.end].rstrip()
        is_truncated = self.truncated and not extent.complete and extent.end == len(self.text)
        fault = TRUNCATED if is_truncated else extent.fault
        try:
            value = parse_json(raw)
        except ValueError as error:
            name = tool_name or self._name_in(raw)
            return [RawCall(raw, name, error=fault or f"arguments: {error}", certain=name is not None)]
        calls = calls_in_json(value, raw, self.tools)
        if tool_name and not any(call.certain and call.name and self.tools.resolve(call.name) for call in calls):
            calls = [RawCall(raw, tool_name, value)]  # the arguments alone
        return [*calls[:-1], self._with_fault(calls[-1], raw, fault)] if fault else calls

    def _with_fault(self, call: RawCall, raw: str, fault: str) -> RawCall:
        error = fault if fault == TRUNCATED else f"arguments: {fault}; write the whole call again"
        begins_name = bool(call.name) and any(name.startswith(str(call.name)) for name in self.tools.names)
        return replace(call, raw=raw, error=error, certain=call.certain or begins_name)

    def _name_in(self, text: str) -> str | None:
        return next((name for name in self.tools.names if re.search(rf"\b{re.escape(name)}\b", text)), None)

    def _has_many_brackets_and_no_name(self, position: int) -> bool:
        """Whether `MAX_BRACKETS` are opened before any tool is named; scanning from each would take quadratic time."""
        end = position
        for _ in range(MAX_BRACKETS):
            end = self.text.find("{", end + 1)
            if end < 0:
                return False
        return not self.tools.required_tool and not self.tools.may_be_named_in(self.text[position:end])
