"""Find the call that begins at one position of an answer, in whatever form it stands there.

    Finder("Action: clock\n", KnownTools(use), final=True).form_at(0, at_line_start=True)
    # Found(parts=[Written("Action: clock", "clock")], end=14)

None comes back where no call begins, a `More` where only more text can tell. The forms themselves are in `tool_forms.py`,
the envelopes of JSON in `tool_envelopes.py`.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Any

from ..json_text.extent import Extent, Scan, extent
from ..json_text.repair import value
from . import formats as forms
from .envelopes import KnownTools, Written, written
from .formats import Action, More

CUT = "the answer was cut at the token limit inside this call; write it again, shorter"
MOST_BRACKETS = 64
"""Opened in a text before the name of a tool has to stand in it, to be read for calls."""

_LINE_END = re.compile(r"[^\S\n]*[;.`\]]*[^\S\n]*(?:\n|<|```|\Z)")
_BLANK_LINE = re.compile(r"\n\n")
_STEP = re.compile(r"\**(?:Observation|Thought|Action|Final Answer)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Around:
    """What is open around a call.

    Attributes:
        explicit: a tag or a list, which says that calls are in it.
        fenced: a fence.
        name: the tool that the tag names.
        empty: no call has stood in it.
    """

    explicit: bool = False
    fenced: bool = False
    name: str | None = None
    empty: bool = False


@dataclass(frozen=True)
class Found:
    """The calls of a form, with text that stood between them, up to `end`; `around` is what it leaves open."""

    parts: list[str | Written]
    end: int
    around: Around = Around()


@dataclass(frozen=True)
class Finder:
    """Looks at an answer as far as it has come.

    Attributes:
        text: the answer, or the end of it.
        known: the tools that may be called.
        final: nothing more comes.
        truncated: it ended at the token limit, so that its last call may not be whole.
        called: there was a call before.
        scans: how far the JSON values of this text were scanned, by where they begin; kept while the text only grows.
    """

    text: str
    known: KnownTools
    final: bool = False
    truncated: bool = False
    called: bool = False
    scans: dict[int, Scan] = field(default_factory=dict)

    def form_at(self, place: int, *, at_line_start: bool, around: Around = Around()) -> Found | More | None:
        """The form of a call that begins there."""
        character = self.text[place]
        if character in "<[":
            opened = forms.opened_at(self.text, place, self.final)
            if isinstance(opened, More):
                return opened
            if opened is not None:
                return Found([], opened.end, Around(explicit=True, name=opened.name, empty=True))
        if character == "<":
            return self._closing_at(place)
        if character == "[":
            return self._list(place)
        if character == "`":
            return self._fence(place)
        if character == "{":
            starts = forms.object_at(self.text, place, self.known, self.final)
            return starts if isinstance(starts, More) else self.object_at(place) if starts else None
        return self._line(place, around) if at_line_start else None

    def object_at(
        self, place: int, around: Around = Around(), *, name: str | None = None, start: int | None = None
    ) -> Found | More | None:
        """The calls in the object at `place`; `name`, where it stood before it (at `start`) or in the tag around it."""
        if not around.explicit and name is None and self._rambles(place):
            return None
        scan = self.scans.pop(place, None) or Scan(place)
        reach = scan.extent(self.text, final=self.final)
        if reach is None:
            self.scans[place] = scan
            return More.INSIDE
        calls = self._read(self.text[place : reach.end].rstrip(), reach, name or around.name)
        if start is not None:
            calls = [replace(call, raw=self.text[start : reach.end].rstrip()) for call in calls]
        if not around.explicit and not any(call.sure for call in calls):
            return None
        return Found([*calls], reach.end)

    def body(self, around: Around) -> Found | More:
        """What stands in a tag that was opened just before, and begins no JSON."""
        ended = forms.BODY_END.search(self.text)
        if not ended and not self.final:
            return More.INSIDE
        body = self.text[: ended.start() if ended else len(self.text)]
        brace = body.find("{")
        if brace > 0 and "<parameter" not in body:
            reach = extent(body, brace)
            calls = self._read(body[brace : reach.end].rstrip(), reach, around.name)
            return Found([body[:brace].strip(), *calls], reach.end, replace(around, empty=False))
        cut = CUT if self.truncated and not ended else ""
        call = self._without_json(body.strip(), around.name, cut)
        return Found([call], len(body), replace(around, empty=False))

    def _without_json(self, body: str, name: str | None, cut: str) -> Written:
        if cut:
            return Written(body, name, error=cut)
        arguments = forms.argument_tags(body)
        if name and arguments:
            return Written(body, name, arguments)
        if self.known.named(body):
            return Written(body, body)
        return Written(body, name, error='this is no call; write {"name": "NAME", "arguments": {…}}')

    def _closing_at(self, place: int) -> Found | More | None:
        """A closing tag that is late: text stood between it and its call."""
        if not self.called:
            return None
        if closing := forms.CLOSING.match(self.text, place):
            return Found([], closing.end())
        return More.ANY if not self.final and forms.CLOSING_BEGUN.match(self.text, place) else None

    def _list(self, place: int) -> Found | More | None:
        first = self._after_blanks(place + 1)
        if first == len(self.text):
            return None if self.final else More.ANY
        if self.text[first] != "{" and not self.text[first].isalpha():
            return None
        found = self.form_at(first, at_line_start=True, around=Around(explicit=True))
        return replace(found, around=Around(explicit=True)) if isinstance(found, Found) else found

    def _fence(self, place: int) -> Found | More | None:
        fence = forms.fence_at(self.text, place, self.final)
        if isinstance(fence, More) or fence is None:
            return fence
        if fence[1]:
            return Found([], fence[0], Around(explicit=True, fenced=True, empty=True))
        if fence[0] == len(self.text):
            return None if self.final else More.ANY
        found = self.form_at(fence[0], at_line_start=True)
        return replace(found, around=replace(found.around, fenced=True)) if isinstance(found, Found) else found

    def _line(self, place: int, around: Around) -> Found | More | None:
        action = forms.action_at(self.text, place, self.known, self.final)
        if isinstance(action, More):
            return action
        if action is not None:
            return self._action(place, action)
        named = forms.named_at(self.text, place, self.known, self.final)
        if isinstance(named, More) or named is None:
            return named
        name, bracket = named
        if self.text[bracket] == "{":
            return self.object_at(bracket, around, name=name, start=place)
        return self._python(place, bracket, around)

    def _python(self, place: int, bracket: int, around: Around) -> Found | More | None:
        limit = (forms.BODY_END if around.explicit else _BLANK_LINE).search(self.text, place)
        text = self.text[: limit.start()] if limit else self.text
        read = forms.python_call(text, place, bracket, self.known, self.final or bool(limit))
        if read is None:
            if limit:
                return None
            if not self.final:
                return More.INSIDE
            error = CUT if self.truncated else "arguments: the closing bracket is missing"
            return Found([Written(self.text[place:], self.text[place:bracket], error=error)], len(self.text))
        call, end = read
        if not around.explicit:
            if not self.final and re.fullmatch(r"[^\S\n]*[;.`\]]*[^\S\n]*", self.text[end:]):
                return More.ANY
            if not _LINE_END.match(self.text, end):
                return None
        return Found([call], end)

    def _action(self, place: int, action: Action) -> Found | More | None:
        text = self.text
        if action.end is None:
            return Found([Written(text[place : action.next].strip(), action.name)], action.next)
        start = self._after_blanks(action.end)
        if start == len(text) and not self.final:
            return More.ANY
        fence = forms.fence_at(text, start, self.final)
        if isinstance(fence, More):
            return fence
        start = fence[0] if fence else start
        if text[start : start + 1] == "{":
            found = self.object_at(start, Around(explicit=True), name=action.name, start=place)
            return replace(found, around=Around(fenced=bool(fence))) if isinstance(found, Found) else found
        if not self.final and _begins_step(text[start:]):
            return More.ANY
        if _STEP.match(text, start):
            return Found([Written(text[place : action.end].strip(), action.name)], action.end)
        end = forms.input_end(text, start, self.final)
        if isinstance(end, More):
            return end
        raw = text[place:end].strip()
        call = forms.plain_input(raw, action.name, text[start:end], self.known)
        return Found([replace(call, error=CUT) if self.truncated and end == len(text) else call], end)

    def _after_blanks(self, place: int) -> int:
        return len(self.text) - len(self.text[place:].lstrip())

    def _read(self, raw: str, reach: Extent, name: str | None) -> list[Written]:
        unfinished = CUT if self.truncated and not reach.complete and reach.end == len(self.text) else reach.fault
        try:
            calls = self._named(value(raw), raw, name)
        except ValueError as unread:
            guess = name or next((each for each in self.known.names if re.search(rf"\b{re.escape(each)}\b", raw)), None)
            return [Written(raw, guess, error=unfinished or f"arguments: {unread}", sure=guess is not None)]
        if not unfinished:
            return calls
        error = unfinished if unfinished == CUT else f"arguments: {unfinished}; write the whole call again"
        last = calls[-1]
        likely = last.sure or bool(last.name and any(each.startswith(last.name) for each in self.known.names))
        return [*calls[:-1], replace(last, raw=raw, error=error, sure=likely)]

    def _named(self, read: Any, raw: str, name: str | None) -> list[Written]:
        calls = written(read, raw, self.known)
        if name is None or any(call.sure and call.name and self.known.named(call.name) for call in calls):
            return calls
        return [Written(raw, name, read)]

    def _rambles(self, place: int) -> bool:
        """Whether brackets are opened on and on, and no tool is named: to try at each would take the square of the time."""
        end = place
        for _ in range(MOST_BRACKETS):
            end = self.text.find("{", end + 1)
            if end < 0:
                return False
        return not self.known.only and not self.known.occur_in(self.text[place:end])


def _begins_step(text: str) -> bool:
    """Whether this may become the name of a ReAct step."""
    word = text.lstrip("*").lower()
    return any(step.startswith(word) for step in ("observation", "thought", "action", "final answer"))
