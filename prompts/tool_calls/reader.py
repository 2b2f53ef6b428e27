"""Read the tool calls in what a model wrote.

    reader = ToolCallReader(use)
    for piece in pieces:
        for part in reader.feed(piece):   # text, ToolCall or InvalidToolCall
            ...
    for part in reader.flush(truncated=False):
        ...

Whatever the pieces, the parts add up to the same. Text that can't begin a call is given at once, a call as soon as its last
bracket is there. Nothing is lost and nothing raises: what was meant as a call but can't be trusted (cut short, an unknown
name, arguments that don't fit) is an `InvalidToolCall` with the text as it stood and an error that the model can act on.

Here is what is open around the next call: tags, fences, lists. What stands at one position is found in `tool_finding.py`;
whether a call may be made is judged in `tool_judging.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from ..escaping import NO_ESCAPING, Escaping
from ..json_text.extent import Scan
from ..output_format import ToolCallFormat
from . import formats as forms
from .envelopes import KnownTools, Written
from .formats import More
from .search import CUT, Around, Finder, Found
from .validation import AnswerPart, Judge

_TRIGGER = re.compile(r"[<\[{]|```|`{1,2}\Z|^[^\S\n]*(?=[\w*])", re.MULTILINE)
_MAY_END = re.compile(r"[}\])>`\n]")


class ToolCallReader:
    """Tells calls from text, whatever pieces the text comes in.

    Args:
        use: the tools, and which of them may be called.
        escaping: a family's tags; where they were escaped in what the model read, arguments that repeat them are restored.
    """

    def __init__(self, use: ToolCallFormat, escaping: Escaping = NO_ESCAPING) -> None:
        self._known = KnownTools(use)
        self._judge = Judge(self._known, parallel=use.parallel, escaping=escaping)
        self._held = ""
        self._scans: dict[int, Scan] = {}
        self._around: Around | None = None
        self._at_line_start = True
        self._inside_value = False
        self._said = self._called_since = False
        self._final, self._truncated = False, False

    def feed(self, piece: str) -> Iterator[AnswerPart]:
        """What is settled now."""
        self._held += piece
        if self._inside_value and not _MAY_END.search(piece):
            return
        yield from self._settled()

    def flush(self, *, truncated: bool = False) -> Iterator[AnswerPart]:
        """What was still held when the text ended.

        Args:
            truncated: the text ended at the token limit, so that its last call may not be whole.
        """
        self._final, self._truncated = True, truncated
        yield from self._settled()

    def _settled(self) -> Iterator[AnswerPart]:
        if not self._known.names:
            yield from [self._held] if self._held else []
            self._held = ""
            return
        while self._held or (self._final and self._around and self._around.explicit and self._around.empty):
            self._inside_value = False
            found = self._next_in_text() if self._around is None else self._next_around(self._around)
            if isinstance(found, More):
                self._inside_value = found is More.INSIDE
                return
            yield from map(self._apart, self._judge.parts(found))

    def _apart(self, part: AnswerPart) -> AnswerPart:
        """A part as it is; text after a call on a line of its own, since the blanks around calls are gone."""
        if not isinstance(part, str):
            self._called_since = True
            return part
        text = f"\n{part}" if self._said and self._called_since else part
        self._said, self._called_since = True, False
        return text

    def _next_in_text(self) -> list[str | Written] | More:
        """What comes next, at most up to a call."""
        finder = self._finder
        for trigger in _TRIGGER.finditer(self._held):
            at_line_start = trigger[0].strip() == ""
            if at_line_start and trigger.start() == 0 and not self._at_line_start:
                continue
            place = trigger.end() if at_line_start else trigger.start()
            found = finder.form_at(place, at_line_start=at_line_start)
            if isinstance(found, More):
                return self._text(place) or found
            if found is not None:
                text = self._held[:place].rstrip()
                self._taken(found)
                return [*([text] if text else []), *found.parts]
        return self._text(len(self._held)) or More.ANY

    @property
    def _finder(self) -> Finder:
        return Finder(self._held, self._known, self._final, self._truncated, self._judge.called, self._scans)

    def _text(self, end: int) -> list[str | Written]:
        """The text before `end`; blanks are kept back until it is clear that no call follows."""
        text = self._held[:end] if self._final and end == len(self._held) else self._held[:end].rstrip()
        self._drop(len(text))
        self._at_line_start = self._at_line_start and not text
        return [text] if text else []

    def _drop(self, end: int) -> None:
        """Go on at `end`."""
        if end:
            self._held = self._held[end:]
            self._scans.clear()

    def _taken(self, found: Found) -> None:
        self._drop(found.end)
        self._around, self._at_line_start = found.around, True

    def _next_around(self, around: Around) -> list[str | Written] | More:
        """What comes next where a tag, fence or list is open, or just after a call."""
        self._drop(len(self._held) - len(self._held.lstrip()))
        if not self._held:
            return self._empty(around) if self._final and around.explicit and around.empty else More.ANY
        if closing := forms.CLOSING.match(self._held):
            self._drop(closing.end())
            calls = self._empty(around) if around.explicit and around.empty else []
            self._around = replace(around, explicit=False, name=None, empty=False)
            return calls
        if around.fenced and self._held.startswith("```") and not around.empty:
            self._drop(3)
            self._around = replace(around, fenced=False, explicit=False)
            return []
        if not self._final and forms.CLOSING_BEGUN.match(self._held):
            return More.ANY
        opened = forms.opened_at(self._held, 0, self._final)
        if isinstance(opened, More):
            return opened
        if opened is not None:
            self._drop(opened.end)
            name = opened.name or (around.name if around.empty else None)
            self._around = replace(around, explicit=True, name=name, empty=True)
            return []
        if around.explicit and self._held[0] in ("[" if around.empty else "[,;)]}"):
            self._drop(1)
            return []
        return self._call_around(around)

    def _call_around(self, around: Around) -> list[str | Written] | More:
        fence = forms.fence_at(self._held, 0, self._final) if around.explicit else None
        if isinstance(fence, More):
            return fence
        if fence is not None:
            self._drop(fence[0])
            self._around = replace(around, fenced=True)
            return []
        finder = self._finder
        if around.explicit and self._held[0] == "{":
            found = finder.object_at(0, around)
        else:
            found = finder.form_at(0, at_line_start=True, around=around)
        if found is None and around.explicit and around.empty:
            found = finder.body(around)
            if isinstance(found, Found):
                self._taken(found)
                return found.parts
        if isinstance(found, More):
            return found
        if found is None:
            self._around = None
            return []
        both = replace(around, fenced=around.fenced or found.around.fenced, name=None, empty=False)
        self._taken(replace(found, around=both))
        return found.parts

    def _empty(self, around: Around) -> list[str | Written]:
        self._around = replace(around, empty=False)
        error = CUT if self._truncated and not self._held else "" if around.name else "the call is empty"
        return [Written("", around.name, error=error)]
