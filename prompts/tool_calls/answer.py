"""Separate the calls of a whole answer from its text.

Whatever a model quotes, considers, rejects or repeats is text. A call is one in the declared form (`<tool_call>…`), or one
in any form that begins on a line of its own and ends the answer; a run of calls that ends it counts as a whole. Neither
counts in

- reasoning: `<think>…</think>`, and all before a `</think>` that nothing opens, because the prompt opened it;
- lines that quote (`> …`), text between quotation marks, struck out text, and inline code;
- a fence or an indented block of code that prose continues after;
- a text whose tags are escaped, since the model repeats what it was shown, and a result that it invents.
"""

import json
import re
from dataclasses import replace

from ..reasoning_tags import REASONING_END, REASONING_START
from .call_parser import CallParser, Unit
from .callable_tools import CallableTools
from .envelopes import RawCall
from .formats import CLOSING_TAG, DECLARED_TAG, FENCE

_MENTION = r"(?<![`\"'“‘\\])"
_EVENT = re.compile(
    rf"(?P<line>\n[^\S\n]*+(?=\S))|(?P<paragraph>\n[^\S\n]*+(?=\n))|(?P<reasoning>{_MENTION}(?:{REASONING_START.pattern}))"
    rf"|(?P<reasoning_end>{_MENTION}(?:{REASONING_END.pattern}))|(?P<declared>(?<!\\)(?:{DECLARED_TAG.pattern}))"
    r"|(?P<escaped><\\+\s{0,9}tool(?:s|_calls?|_response)[\s>])|(?P<result><tool_response[\s>])"
    rf"|(?P<closing>{CLOSING_TAG.pattern})|(?P<mark>`+|~~|\"{3}|'{3}|[\"'“”„«»‘’‚‹›「」『』《》])"
    r"|(?P<quoted>(?<!`)<(?:code|pre|samp|kbd|tt|del|s|blockquote|q)(?:\s[^<>]{0,200})?>|(?<!`)<!--)",
    re.IGNORECASE,
)
_RESULT_END = re.compile(r"</tool_response>", re.IGNORECASE)
_INVENTED_RESULT = re.compile(r"\*{0,2}Observation[*\d \t]{0,9}:|<tool_response[\s>]", re.IGNORECASE)
_QUOTED_END = re.compile(r"</(?:code|pre|samp|kbd|tt|del|s|blockquote|q)\s*+>|-->", re.IGNORECASE)
_OPENING_MARK = re.compile(
    r"`+|(?P<double>~~|\"{3}|'{3})|(?<![\w\"])\"(?=\S)|[“„«‹「『《]|(?<!\w)(?:[‘‚](?=\S)|'(?=<))"
)
# Inline code, struck out text, and what may be an apostrophe end with the paragraph; other quotations may have several.
_IN_PARAGRAPH = {"`": "`+", "~~": "~~", "'": r"'(?!\w)", "‘": r"’(?!\w)", "‚": r"[‘’](?!\w)"}
_IN_PARAGRAPHS = {'"': r"(?<=\S)\"(?!\w)", '"""': '"""', "'''": "'''"}
_IN_PARAGRAPHS |= {"“": "”", "„": "[“”]", "«": "»", "‹": "›", "「": "」", "『": "』", "《": "》"}
_CLOSERS = {
    **{mark: re.compile(rf"(?P<mark>{closer})|\n[^\S\n]*+\n") for mark, closer in _IN_PARAGRAPH.items()},
    **{mark: re.compile(rf"(?P<mark>{closer})|{re.escape(mark)}") for mark, closer in _IN_PARAGRAPHS.items()},
}
_QUOTED_LINE = re.compile(r"(?:(?:[-*+]|\d{1,9}[.)])[^\S\n]{1,9})?>")
_INDENTED = re.compile(r"\n[^\S\n]*+\n(?: {4}|\t)[^\S\n]*+\Z")
_MAX_INDENT = 200
_BETWEEN_CALLS = re.compile(r"[\s,;\]]*+")
_BLANK = " \t\n\r,;[]"
_BLANKS = re.compile(r"\s*+")
_BLANK_REST = re.compile(r"\s*+\Z")


def read_answer(text: str, tools: CallableTools, *, truncated: bool, declared_only: bool) -> list[str | RawCall]:
    """The calls that count, and the text between them.

    Args:
        text: the answer.
        tools: the tools that may be called.
        truncated: it ended at the token limit.
        declared_only: only the declared form counts.
    """
    answer = _Answer(text, tools, truncated=truncated, declared_only=declared_only)
    units = _counted(text[: answer.end], answer.units)
    return _parts(text[: answer.end], _without_drafts(units))


class _Answer:
    """The units of an answer, found in one pass.

    Attributes:
        units: what may be calls, in order.
        end: where the answer ends: before a result that the model invents.
    """

    def __init__(
        self, text: str, tools: CallableTools, *, truncated: bool, declared_only: bool, in_fence: bool = False
    ) -> None:
        self.units: list[Unit] = []
        self.end = len(text)
        self._text, self._tools = text, tools
        self._truncated, self._declared_only, self._in_fence = truncated, declared_only, in_fence
        self._parser = CallParser(text, tools, truncated=truncated)
        self._mark: str | None = None  # began in this paragraph
        self._outer_mark: str | None = None  # began in an earlier one
        self._closers: dict[str, re.Match[str] | None] = {}
        self._no_end_of_quoted = False
        self._escaped = False
        self._position = 0
        self._read_line(0)
        while self._position < self.end and (event := _EVENT.search(text, self._position)):
            self._position = event.end()
            self._handle(event)

    def _handle(self, event: re.Match[str]) -> None:
        match event.lastgroup:
            case "line":
                self._read_line(event.end())
            case "paragraph":
                self._outer_mark = self._mark if self._mark in _IN_PARAGRAPHS else self._outer_mark
                self._mark = None
            case "reasoning":
                self._skip_to(REASONING_END)
                self._read_line(self._position)
            case "reasoning_end":
                self.units.clear()
                self._read_line(self._position)
            case "declared":
                self._read_declared(event)
            case "escaped":
                self._escaped = True
            case "result":
                self._skip_to(_RESULT_END)
            case "quoted":
                self._position = self._end_of_quoted(event.end())
            case "closing":
                self._escaped = False
                if self.units:
                    self.units.append(Unit(event.start(), event.end(), [], declared=True))
            case _:
                self._read_mark(event.start())

    def _skip_to(self, end: re.Pattern[str]) -> None:
        found = end.search(self._text, self._position)
        self._position = found.end() if found else len(self._text)

    def _end_of_quoted(self, position: int) -> int:
        """The end of an element of HTML that shows or quotes; the position itself if nothing ends it."""
        end = None if self._no_end_of_quoted else _QUOTED_END.search(self._text, position)
        self._no_end_of_quoted = end is None
        return end.end() if end else position

    def _read_mark(self, position: int) -> None:
        """A mark that begins or ends inline code or a quotation."""
        if self._mark:
            self._mark = None if self._is_closer(self._mark, position) else self._mark
        elif self._outer_mark and self._is_closer(self._outer_mark, position):
            self._outer_mark = None
        elif opening := _OPENING_MARK.match(self._text, position):
            self._mark = opening["double"] or self._text[position]

    def _is_closer(self, mark: str, position: int) -> bool:
        closer = _CLOSERS[mark].match(self._text, position)
        return closer is not None and bool(closer["mark"])

    def _read_declared(self, tag: re.Match[str]) -> None:
        unit = self._parser.tagged(tag.start(), declared=True)
        marks = [mark for mark in (self._mark, self._outer_mark) if mark]
        mark_end = next(filter(None, (self._mark_end(mark, unit.end) for mark in marks)), None)
        self._mark, self._outer_mark, self._escaped = None, None, False
        if mark_end is None:
            self._read_line(self._add(unit))
        else:
            self._position = mark_end

    def _mark_end(self, mark: str, position: int) -> int | None:
        """Where the inline code or quotation ends that a mark began; None if nothing ends it, or the next one begins."""
        closer = self._closers.get(mark)
        if mark not in self._closers or (closer and closer.start() < position):
            closer = self._closers[mark] = _CLOSERS[mark].search(self._text, position)
        return closer.end() if closer and closer["mark"] else None

    def _add(self, unit: Unit) -> int | None:
        """Add a unit; returns where the next may begin."""
        self.units.append(unit)
        self._mark, self._position = None, unit.end
        return _skip(_BETWEEN_CALLS, self._text, unit.end) if unit.parts else None

    def _read_line(self, position: int | None) -> None:
        """What begins at the start of a line, or right after a call."""
        while position is not None:
            self._position = _skip(_BLANKS, self._text, position)
            position = self._read_unit(self._position) if self._position < len(self._text) else None

    def _read_unit(self, position: int) -> int | None:
        """The unit there, if there is one; returns where the next may begin."""
        text = self._text
        if _QUOTED_LINE.match(text, position):
            end = text.find("\n", position)
            self._position = len(text) if end < 0 else end
        elif not self._in_fence and _INVENTED_RESULT.match(text, position):
            self.end = position
        elif DECLARED_TAG.match(text, position):
            return None  # the next event
        elif not self._in_fence and (fence := FENCE.match(text, position)):
            return self._read_fence(fence)
        elif not (self._escaped or self._declared_only) and (unit := self._parser.untagged(position)):
            return self._add(unit)
        return None

    def _read_fence(self, fence: re.Match[str]) -> int | None:
        """A fence of nothing but calls is one unit; of others, the declared calls count, if the answer ends there."""
        text = self._text
        closing = _fence_end(fence["fence"]).search(text, fence.end())
        content = text[fence.end() : closing.start() if closing else len(text)]
        end = closing.end() if closing else len(text)
        truncated = self._truncated and not closing
        inner = _Answer(content, self._tools, truncated=truncated, declared_only=self._declared_only, in_fence=True)
        units = [] if self._escaped else _counted(content, inner.units)
        self._mark, self._position = None, end
        if units and not content[0].isspace() and _is_blank_around(content, units):
            return self._add(Unit(fence.start(), end, _parts(content, units)))
        if _BLANK_REST.match(text, end):
            shift = fence.end()
            declared = [unit for unit in units if unit.declared]
            self.units += [replace(unit, start=unit.start + shift, end=unit.end + shift) for unit in declared]
        return None


def _skip(blanks: re.Pattern[str], text: str, position: int) -> int:
    match = blanks.match(text, position)
    assert match is not None
    return match.end()


def _fence_end(fence: str) -> re.Pattern[str]:
    """At the start of a line, or after a bracket at the end of one."""
    run = rf"{fence[0]}{{{len(fence)},}}"
    return re.compile(rf"^[^\S\n]*+{run}(?![{fence[0]}\w])|(?<=[}}\])>]){run}(?=[^\S\n]*+$)", re.MULTILINE)


def _counted(text: str, units: list[Unit]) -> list[Unit]:
    """The units that count: the declared ones, and the run that ends the answer."""
    counted, end, ends_answer = list[Unit](), len(text), True
    for unit in reversed(units):
        ends_answer = ends_answer and bool(unit.parts) and not text[unit.end : end].strip(_BLANK)
        if ends_answer or (unit.declared and not _INDENTED.search(text, max(0, unit.start - _MAX_INDENT), unit.start)):
            counted.append(unit)
        end = unit.start
    return counted[::-1]


def _without_drafts(units: list[Unit]) -> list[Unit]:
    """The units without those that show, in another form, calls that stand in the declared form as well."""
    declared = {_key(call) for unit in units if unit.declared for call in unit.parts}
    return [unit for unit in units if unit.declared or not {_key(call) for call in unit.parts} <= declared]


def _key(call: str | RawCall) -> str:
    return call if isinstance(call, str) else json.dumps([call.name, call.arguments], sort_keys=True)


def _is_blank_around(text: str, units: list[Unit]) -> bool:
    ends, starts = [0, *(unit.end for unit in units)], [*(unit.start for unit in units), len(text)]
    return not any(text[end:start].strip(_BLANK) for end, start in zip(ends, starts, strict=True))


def _parts(text: str, units: list[Unit]) -> list[str | RawCall]:
    """The calls of these units, and the text between them without the blanks around calls."""
    parts, position = list[str | RawCall](), 0
    for unit in units:
        before = text[position : unit.start]
        before = before.rstrip() if position == 0 else before.strip()
        parts += [before] if before.strip(_BLANK) else []
        parts += unit.parts
        position = unit.end
    rest = text[position:] if position == 0 else text[position:].strip()
    return [*parts, rest] if rest and (position == 0 or rest.strip(_BLANK)) else parts
