"""Where a JSON value that a model wrote ends, and what it holds, also where it is not quite JSON.

    extent("{'a': [1, 2} and so on", 0)   # Extent(end=12, complete=True, fault="")
    value("{'a': [1, 2}")                 # {'a': [1, 2]}

Models write single quotes, trailing commas, comments, quotes inside quotes, and forget closers. `extent` finds the end by
brackets and quotes alone, and says whether what is missing are closers only; `value` has json-repair mend what `json` does
not read, and holds that nothing that stood there is lost by it.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

_OPENER = {"}": "{", "]": "["}
_CLOSING_QUOTES = {'"': '"', "'": "'", "“": '”“"', "”": '”“"', "‘": "’‘'", "’": "’‘'"}
# What ends an unfinished value outside a string: a tag of the call around it, a fence, a special token.
_END = re.compile(r"</?\s*(?:tool|function|invoke|parameter)|```|<\||</s>|\[/tool", re.IGNORECASE)
_COMMENT = re.compile(r"(?://|#\s)[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z)", re.DOTALL)
_BARE = re.compile(r"(?:[^\s,:{}\[\]\"“”<`]|:(?=//))+|.", re.DOTALL)
# After a closing quote; with other text after it a quote is part of the string.
_AFTER_STRING = re.compile(rf"\s*(?:[,:}}\])]|//|/\*|#\s|{_END.pattern}|\Z)|\s+[\"'“‘]|[^\S\n]*\n", re.IGNORECASE)
_UNDECIDED = re.compile(r"\s*(?:/|#|<[/|]?\s*\w*|`{1,2}|\[/?\w*)?\Z")


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


def extent(text: str, start: int, *, final: bool = True) -> Extent | None:
    """The extent of the object or array at `start`; None where `text` may go on (not `final`) and leaves it open."""
    return _Scan(text, start, final).extent()


def value(raw: str) -> Any:
    """What an object or array holds.

    Raises:
        ValueError: it can't be read, or not without losing or inventing something; the message is one line.
    """
    try:
        return _plain(raw)
    except (ValueError, RecursionError):
        return _mended(raw)


@dataclass
class _Frame:
    """An open bracket, and what is due in it: a key, its colon, a value, or after that a comma (`done`)."""

    bracket: str
    due: str


class _Scan:
    def __init__(self, text: str, start: int, final: bool) -> None:
        self.text, self.start, self.position, self.final = text, start, start, final
        self.frames: list[_Frame] = []
        self.last = ""  # "closer", "string" or "bare": what a value ended with
        self.hollow = False

    def extent(self) -> Extent | None:
        while self.position < len(self.text):
            if self.frames and self._ends_here():
                return Extent(self.position, complete=False, fault=self._fault(closed=True))
            character = self.text[self.position]
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
            else:
                self._other(character)
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
        if text.startswith('"""', start):
            end = text.find('"""', start + 3)
            return None if end < 0 else end + 3
        for found in re.compile(rf"\\.|[{_CLOSING_QUOTES[quote]}]|\n\s*</\s*tool_", re.DOTALL).finditer(
            text, start + 1
        ):
            if found[0][0] == "\n":
                return -found.start()
            if found[0][0] == "\\":
                continue
            if not self.final and _UNDECIDED.match(text, found.end()):
                return None
            if _AFTER_STRING.match(text, found.end()):
                return found.end()
        return None

    def _other(self, character: str) -> None:
        top = self.frames[-1]
        if character.isspace():
            self.position += 1
        elif comment := _COMMENT.match(self.text, self.position):
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
            self._ended("bare", bare.end())

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


def _plain(raw: str) -> Any:
    read = json.loads(raw, strict=False, object_pairs_hook=_once_each, parse_constant=_no_constant)
    if "\\u" in raw:
        json.dumps(read, ensure_ascii=False).encode()  # half a surrogate pair can't be sent to anyone
    return read


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a name is there twice")
    return read


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _mended(raw: str) -> Any:
    import json_repair

    if re.match(r"\{\s*\{", raw):  # a template's braces, doubled
        raw = raw.replace("{{", "{").replace("}}", "}")
    unquoted = re.sub(r'"""(.*?)"""', lambda found: json.dumps(found[1], ensure_ascii=False), raw, flags=re.DOTALL)
    try:
        read = json_repair.loads(unquoted, skip_json_loads=True)
        shown = json.dumps(read, ensure_ascii=False, allow_nan=False)
        shown.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("this is no JSON that could be mended") from error
    if not isinstance(read, dict | list) or _lost(raw, shown):
        raise ValueError("this is no JSON that could be mended without losing a part of it")
    return read


def _lost(raw: str, shown: str) -> bool:
    """Whether a letter or digit of `raw` is not in `shown`, in its order; comments and escapes aside."""
    kept = iter(_letters(shown))
    return not all(letter in kept for letter in _letters(re.sub(r"\\(?:u\w{4}|.)", "", _without_comments(raw))))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, re.sub(r"\bnone\b", "null", text.lower())))


def _without_comments(raw: str) -> str:
    string_or_comment = r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?<![^\s,{\[])(?://[^\n]*|\#\s[^\n]*|/\*.*?\*/)"""
    return re.sub(string_or_comment, lambda found: found[1] or "", raw, flags=re.DOTALL)
