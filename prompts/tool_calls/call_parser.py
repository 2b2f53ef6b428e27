"""Parse the call at one position of a whole answer, in any form that models write.

    CallParser("Action: clock\n", tools).untagged(0)
    # Unit(start=0, end=14, parts=[RawCall("Action: clock", "clock")])

Where a call counts is decided by `answer.py`; what a unit covers is read once, so that an answer takes linear time.
"""

import re
from dataclasses import dataclass, replace

from ..json_text.extent import Extent, find_extent
from ..json_text.repair import parse_json
from ..reasoning_tags import REASONING_END
from .callable_tools import CallableTools
from .envelopes import RawCall, calls_in_json
from .formats import ANY_TAG, CLOSING_TAG, DECLARED_TAG, FENCE, NAMED_CALL, may_begin_call
from .python_calls import call_end, parse_python_call
from .react import ACTION, ACTION_INPUT, plain_input_call

TRUNCATED = "the answer was truncated at the token limit inside this call; write it again, shorter"

# Ends the content of a tag that is not JSON.
_BODY_END = re.compile(
    rf"{CLOSING_TAG.pattern}|{DECLARED_TAG.pattern}|<tool_response[\s>]|<\|[^|<>\s]{{1,40}}\|>|</s>|\n```|{REASONING_END.pattern}",
    re.IGNORECASE,
)
_BETWEEN_VALUES = re.compile(r"[\s,;)\]}]*+")
_AFTER_VALUES = re.compile(
    rf"[\s,;)\]}}]*+(?:`{{3,16}}\s*+)?(?:(?:{CLOSING_TAG.pattern})\s*+)++|[\s,;.)\]}}`]*+\Z", re.IGNORECASE
)
_CLOSING_TAGS = re.compile(rf"\s*+(?:(?:{CLOSING_TAG.pattern})\s*+)++", re.IGNORECASE)
_BLANKS = re.compile(r"\s*+")
_LIST = re.compile(r"(?:\[\s{0,16}){1,4}(?=\w)")
_NAME_ATTRIBUTE = re.compile(r"\sname\s{0,9}=\s{0,9}[\"']?([\w.:-]{1,128})", re.IGNORECASE)
_PARAMETER = re.compile(r"\s*+<parameter(?:=|\s{1,9}name=)[\"']?([\w.-]{1,128})[\"']?\s{0,9}>")
_PARAMETER_END = re.compile(r"</parameter>(?=\s*+(?:<parameter|</|\Z))")


@dataclass(frozen=True)
class Unit:
    """A stretch of an answer that is one call or several.

    Attributes:
        start, end: where it stands, its tags and fences included.
        parts: the calls, and text between them; empty if it is text after all.
        declared: whether it stands in the declared form.
    """

    start: int
    end: int
    parts: list[str | RawCall]
    declared: bool = False


class CallParser:
    """Parses the calls of one answer.

    Args:
        text: the answer.
        tools: the tools that may be called.
        truncated: the text ended at the token limit, so its last call may be incomplete.
    """

    def __init__(self, text: str, tools: CallableTools, *, truncated: bool = False) -> None:
        self.text, self.tools, self.truncated = text, tools, truncated
        self._no_parameter_end_from = len(text)

    def tagged(self, start: int, *, declared: bool) -> Unit:
        """The calls in the tag at `start`, up to its closing tag if there is one."""
        text, position, tool_name = self.text, start, None
        while tag := ANY_TAG.match(text, position):  # tags in the tag, too: `<tool_call><function=search>`
            position = _skip(_BLANKS, text, tag.end())
            attribute = _NAME_ATTRIBUTE.search(tag[0])
            tool_name = tag["function"] or tag["invoked"] or (attribute and attribute[1]) or tool_name
        if fence := FENCE.match(text, position):
            position = fence.end()
        if text.startswith("<parameter", position):
            parts, end = self._parameters(position, tool_name)
        elif text[position : position + 1] == "{" or (
            text.startswith("[", position) and not _LIST.match(text, position)
        ):
            parts, end = self._values(position, tool_name)
        else:
            parts, end = self._body(position, tool_name)
        return Unit(start, _skip(_AFTER_VALUES, text, end), parts, declared)

    def untagged(self, position: int) -> Unit | None:
        """What begins at the start of a line and may be calls, in any form but the declared one."""
        text = self.text
        if not may_begin_call(text, position, self.tools, final=True):
            return None
        if ANY_TAG.match(text, position):
            return self.tagged(position, declared=False)
        unit = self._action(position) or self._call_in_line(position)
        return unit and replace(unit, end=_skip(_CLOSING_TAGS, text, unit.end))

    def _values(self, position: int, tool_name: str | None) -> tuple[list[str | RawCall], int]:
        """The calls in JSON values, one after another."""
        calls, end = list[str | RawCall](), position
        while self.text[position : position + 1] in ("{", "[") and not ANY_TAG.match(self.text, position):
            extent = self._extent(position)
            calls += self._calls_in(position, extent, tool_name)
            end = extent.end
            position = _skip(_BETWEEN_VALUES, self.text, end)
        return calls, end

    def _extent(self, position: int) -> Extent:
        """The extent of a value; one that is not complete ends with the reasoning around it."""
        extent = find_extent(self.text, position)
        if extent.complete or not (end := REASONING_END.search(self.text, position, extent.end)):
            return extent
        return Extent(end.start(), complete=False, fault=extent.fault or "it is not complete")

    def _parameters(self, position: int, tool_name: str | None) -> tuple[list[str | RawCall], int]:
        """`<parameter=NAME>value</parameter>` …"""
        text, start, arguments, error = self.text, position, dict[str, str](), ""
        while not error and (parameter := _PARAMETER.match(text, position)):
            end = self._parameter_end(parameter.end())
            if end is None:
                error = TRUNCATED if self.truncated else f"{parameter[1]}: its closing tag </parameter> is missing"
            elif parameter[1] in arguments:
                error = f"{parameter[1]}: is given twice"
            else:
                value = text[parameter.end() : end.start()]
                arguments[parameter[1]] = value.removeprefix("\n").removesuffix("\n")
            position = end.end() if end else self._body_end(parameter.end())[0]
        if not arguments and not error:
            error = "arguments: a tag <parameter=NAME> is malformed"
            position = self._body_end(position)[0]
        return [RawCall(text[start:position], tool_name, arguments, error=error)], position

    def _parameter_end(self, position: int) -> re.Match[str] | None:
        end = None if position >= self._no_parameter_end_from else _PARAMETER_END.search(self.text, position)
        if end is None:
            self._no_parameter_end_from = min(position, self._no_parameter_end_from)
        return end

    def _body(self, position: int, tool_name: str | None) -> tuple[list[str | RawCall], int]:
        """What a tag contains that begins with neither a bracket nor a parameter."""
        text = self.text
        end, closed = self._body_end(position)
        named = _LIST.match(text, position)
        if unit := self._python_calls(named.end() if named else position):
            return unit.parts, unit.end
        bracket = text.find("{", position, end)
        if bracket >= 0:
            before = text[position:bracket].strip(" \n:")
            name = before.removesuffix("[ARGS]")  # Mistral's, from its tokenizer v11 on
            is_name = self.tools.resolve(name) is not None
            calls, end = self._values(bracket, name if is_name else tool_name)
            return ([] if is_name else [before]) + calls, end
        body = text[position:end].strip()
        if self.truncated and not closed:
            error = TRUNCATED
        elif not body:
            error = "" if tool_name else "the call is empty"
        elif self.tools.resolve(body):
            tool_name, error = body, ""
        else:
            error = 'this is not a call; write {"name": "NAME", "arguments": {…}}'
        return [RawCall(body, tool_name, error=error)], end

    def _body_end(self, position: int) -> tuple[int, bool]:
        """Where the content of a tag ends that is not JSON, and whether something ends it before the text does."""
        found = _BODY_END.search(self.text, position)
        return (found.start(), True) if found else (len(self.text), False)

    def _call_in_line(self, position: int) -> Unit | None:
        """JSON, a tool's name with JSON, or Python."""
        text, start = self.text, position
        if unit := self._python_calls(_skip(_LIST, text, position)):
            return replace(unit, start=start)
        tool_name = None
        if named := NAMED_CALL.match(text, position):
            tool_name, position = named["name"], named.end()
        if not text.startswith(("{", "["), position):
            return None
        extent = self._extent(position)
        calls = self._calls_in(position, extent, tool_name)
        if tool_name:
            calls = [replace(call, raw=text[start : extent.end].rstrip()) for call in calls]
        is_call = tool_name is not None or any(call.certain for call in calls)
        return Unit(start, extent.end, [*calls] if is_call else [])

    def _python_calls(self, position: int) -> Unit | None:
        """A call in Python."""
        text = self.text
        named = NAMED_CALL.match(text, position)
        if named is None or not named[0].endswith("(") or self.tools.resolve(named["name"]) is None:
            return None
        blank_line = text.find("\n\n", position)
        limit = len(text) if blank_line < 0 else blank_line
        end = call_end(text, named.end() - 1, limit)
        if end is not None:
            call = parse_python_call(text[position:end], named["name"], text[named.end() - 1 : end], self.tools)
            return Unit(position, end, [call])
        if reasoning_end := REASONING_END.search(text, position, limit):
            limit = reasoning_end.start()
        error = TRUNCATED if self.truncated and limit == len(text) else "arguments: the closing bracket is missing"
        return Unit(position, limit, [RawCall(text[position:limit].rstrip(), named["name"], error=error)])

    def _action(self, position: int) -> Unit | None:
        """ReAct's call."""
        text = self.text
        action = ACTION.match(text, position)
        if action is None:
            return None
        name, label = action["name"], ACTION_INPUT.match(text, action.end())
        if label is None:
            raw = text[position : action.end()].strip()
            return Unit(position, action.end(), [RawCall(raw, name)] if self.tools.resolve(name) else [])
        fence = FENCE.match(text, label.end())
        start = fence.end() if fence else label.end()
        if text.startswith("{", start):
            extent = self._extent(start)
            calls = self._calls_in(start, extent, name)
            end = _skip(_AFTER_VALUES, text, extent.end) if fence else extent.end
            return Unit(position, end, [replace(call, raw=text[position : extent.end].rstrip()) for call in calls])
        end = _end_of_line(text, label.end())
        call = plain_input_call(text[position:end].strip(), name, text[label.end() : end], self.tools)
        return Unit(position, end, [replace(call, error=TRUNCATED) if self.truncated and end == len(text) else call])

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


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    """The position after what the pattern matches there, if it does."""
    match = pattern.match(text, position)
    return match.end() if match else position
