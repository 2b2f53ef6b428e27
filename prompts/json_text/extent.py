"""Where an object or array that a model wrote ends, also where it is not quite JSON.

    extent("{'a': [1, 2} and so on", 0)   # Extent(end=12, complete=True, fault="")

Models write single quotes, trailing commas, comments, quotes inside quotes, and forget closers. The end is found by
brackets and quotes alone; what is said of it is whether more than closers may be missing. A `Scan` goes on where it
stopped, so that a value that comes in many pieces is read once. What the value holds is `json_value.py`'s.
"""

import re
from dataclasses import dataclass

_OPENER = {"}": "{", "]": "["}
_CLOSING_QUOTES = {'"': '"', "'": "'", "“": '”“"', "”": '”“"', "‘": "’‘'", "’": "’‘'"}
# What ends an unfinished value outside a string: a tag of the call around it, a fence, a special token.
_END = re.compile(r"</?\s*(?:tool|function|invoke|parameter)|```|<\||</s>|\[/tool", re.IGNORECASE)
_COMMENT = re.compile(r"(?://|#\s)[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z)", re.DOTALL)
_BARE = re.compile(r"(?:[^\s,:{}\[\]\"“”<`]|:(?=//))+|.", re.DOTALL)
# After a closing quote; with other text after it a quote is part of the string.
_AFTER_STRING = re.compile(rf"\s*(?:[,:}}\])]|//|/\*|#\s|{_END.pattern}|\Z)|\s+[\"'“‘]|[^\S\n]*\n", re.IGNORECASE)
_UNDECIDED = re.compile(r"\s*(?:/|#|<[/|]?\s*\w*|`{1,2}|\[/?\w*)?\Z")
_IN_STRING = {
    quote: re.compile(rf"\\.|[{closing}]|\n\s*</\s*tool_", re.DOTALL) for quote, closing in _CLOSING_QUOTES.items()
}
# What may become one of these when more comes.
_END_BEGUN = re.compile(r"(?:<[/|]?\s*\w*|`{1,2}|\[(?:/\w*)?)\Z")
_IN_STRING_BEGUN = re.compile(r"(?:\\|\n\s*(?:<[/\s\w]*)?)\Z")
_BARE_GOES_ON = re.compile(r"(?::/?)?\Z")


@dataclass(frozen=True)
class Extent:
    """How far a value goes.

    Attributes:
        end: the position after it.
        complete: whether its last bracket is closed.
        fault: why what stands there may be less than was meant; empty where at most closers are missing.
    """

    end: int
    complete: bool
    fault: str


def extent(text: str, start: int) -> Extent:
    """The extent of the object or array at `start` of a text that is whole."""
    reach = Scan(start).extent(text, final=True)
    assert reach is not None
    return reach


@dataclass
class _Frame:
    """An open bracket, and what is due in it: a key, its colon, a value, or after that a comma (`done`)."""

    bracket: str
    due: str


class Scan:
    """Looks for the extent of the object or array at `start` of a text that grows."""

    def __init__(self, start: int) -> None:
        self.start = self.position = start
        self.text, self.final = "", False
        self.frames: list[_Frame] = []
        self.last = ""  # "closer", "string" or "bare": what a value ended with
        self.hollow = False
        self.looked = 0  # how far the string at `position` has no end

    def extent(self, text: str, *, final: bool) -> Extent | None:
        """The extent; None where the text may go on (not `final`) and leaves it open.

        Args:
            text: what there was at the last call, and what came after it.
        """
        self.text, self.final = text, final
        while self.position < len(text):
            if self.frames and self._ends_here():
                return Extent(self.position, complete=False, fault=self._fault(closed=True))
            if not final and _END_BEGUN.match(text, self.position):
                return None
            character = text[self.position]
            if character in "{[":
                self._open(character)
            elif character in "}]":
                if self._close(character):
                    return Extent(self.position, complete=True, fault=self._hollow_fault())
            elif character in _CLOSING_QUOTES and self._begins_string():
                end = self._string_end(character)
                if end is None:
                    return self._unfinished("it ends inside a string")
                if end < 0:
                    return Extent(-end, complete=False, fault="it ends inside a string")
                self._ended("string", end)
            elif not self._other(character):
                return None
        return self._unfinished(self._fault(closed=False))

    def _unfinished(self, fault: str) -> Extent | None:
        return Extent(len(self.text), complete=False, fault=fault) if self.final else None

    def _ends_here(self) -> bool:
        """Whether something stands here that no value goes on with, although brackets are open."""
        if _END.match(self.text, self.position):
            return True
        top = self.frames[-1]
        if top.due != "done" or self.last != "closer":
            return False
        here, before = self.text[self.position], self.text[self.position - 1]
        return (here == "{" and top.bracket == "{") or (here.isalpha() and before == "\n")

    def _open(self, character: str) -> None:
        self.frames.append(_Frame(character, "key" if character == "{" else "value"))
        self.position += 1

    def _close(self, character: str) -> bool:
        self.position += 1
        if all(frame.bracket != _OPENER[character] for frame in self.frames):
            return False
        closed = ""
        while closed != _OPENER[character]:
            frame = self.frames.pop()
            self.hollow |= frame.bracket == "{" and frame.due in ("colon", "value")
            closed = frame.bracket
            if self.frames:
                self._ended("closer", self.position)
        return not self.frames

    def _begins_string(self) -> bool:
        before = self.text[self.position - 1] if self.position > self.start else " "
        return before.isspace() or before in "{[(,:=/" or before in _CLOSING_QUOTES

    def _string_end(self, quote: str) -> int | None:
        """The position after the closing quote; negated, where a closing tag stands on a line of its own; None: open."""
        text, start = self.text, self.position
        if not self.final and len(text) < start + 3:
            return None
        if text.startswith('"""', start):
            end = text.find('"""', start + 3)
            return None if end < 0 else end + 3
        self.looked = max(self.looked, start + 1)
        for found in _IN_STRING[quote].finditer(text, self.looked):
            if found[0][0] == "\n":
                return -found.start()
            if found[0][0] != "\\":
                if not self.final and _UNDECIDED.match(text, found.end()):
                    return None
                if _AFTER_STRING.match(text, found.end()):
                    return found.end()
            self.looked = found.end()
        begun = _IN_STRING_BEGUN.search(text, self.looked)
        self.looked = begun.start() if begun else len(text)
        return None

    def _other(self, character: str) -> bool:
        """Go over what is neither bracket nor string; False where it may go on."""
        top = self.frames[-1]
        if character.isspace():
            self.position += 1
        elif comment := _COMMENT.match(self.text, self.position):
            if not self.final and comment.end() == len(self.text):
                return False
            self.position = comment.end()
        elif character == ",":
            self.hollow |= top.bracket == "{" and top.due in ("colon", "value")
            top.due = "key" if top.bracket == "{" else "value"
            self.position += 1
        elif character == ":":
            top.due = "value"
            self.position += 1
        else:
            bare = _BARE.match(self.text, self.position)
            assert bare is not None
            if not self.final and _BARE_GOES_ON.match(self.text, bare.end()):
                return False
            self._ended("bare", bare.end())
        return True

    def _ended(self, what: str, end: int) -> None:
        """A key or a value ends; where a comma was due, it is a key whose comma is missing."""
        top = self.frames[-1]
        key = top.bracket == "{" and (
            (top.due == "key" and what != "closer") or (top.due == "done" and what == "string")
        )
        top.due = "colon" if key else "done"
        self.last, self.position = what, end

    def _fault(self, *, closed: bool) -> str:
        if not self.frames or self.frames[-1].due != "done":
            return "it ends before a value that is due"
        if self.last == "bare" and not closed:
            return "it ends right after a number or word, which may go on"
        return self._hollow_fault()

    def _hollow_fault(self) -> str:
        return "a value is missing" if self.hollow else ""
