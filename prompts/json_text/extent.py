"""Find where an object or array that a model wrote ends, even if it is not quite JSON.

    find_extent("{'a': [1, 2} and so on", 0)   # Extent(end=12, complete=True, fault="")

Models write single quotes, trailing commas, comments, quotes inside quotes, and forget closing brackets. Brackets and
quotes alone decide where the value ends; `fault` is set if more than that may be missing. `ExtentScanner`
continues where it stopped, so a value that arrives in many chunks is scanned once. `repair.py` reads the value itself.
"""

import re
from dataclasses import dataclass
from typing import Literal

_OPENING = {"}": "{", "]": "["}
_CLOSING_QUOTES = {'"': '"', "'": "'", "“": '”“"', "”": '”“"', "‘": "’‘'", "’": "’‘'"}
# Ends an unfinished value, outside a string: a tag of the call around it, a fence, a special token.
_END = re.compile(r"</?\s*(?:tool|function|invoke|parameter)|```|<\||</s>|\[/tool", re.IGNORECASE)
_COMMENT = re.compile(r"(?://|#\s)[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z)", re.DOTALL)
_BARE_WORD = re.compile(r"(?:[^\s,:{}\[\]\"“”<`]|:(?=//))+|.", re.DOTALL)
# What may follow a closing quote; a quote with other text after it is part of the string.
_AFTER_STRING = re.compile(rf"\s*(?:[,:}}\])]|//|/\*|#\s|{_END.pattern}|\Z)|\s+[\"'“‘]|[^\S\n]*\n", re.IGNORECASE)
_IN_STRING = {
    quote: re.compile(rf"\\.|[{closing}]|\n\s*</\s*tool_", re.DOTALL) for quote, closing in _CLOSING_QUOTES.items()
}
# At the end of a text that may continue: what may become one of the above with the next chunk.
_PARTIAL_END = re.compile(r"(?:<[/|]?\s*\w*|`{1,2}|\[(?:/\w*)?)\Z")
_PARTIAL_AFTER_STRING = re.compile(r"\s*(?:/|#|<[/|]?\s*\w*|`{1,2}|\[/?\w*)?\Z")
_PARTIAL_IN_STRING = re.compile(r"(?:\\|\n\s*(?:<[/\s\w]*)?)\Z")
_PARTIAL_BARE_WORD = re.compile(r"(?::/?)?\Z")


@dataclass(frozen=True)
class Extent:
    """How far a value reaches.

    Attributes:
        end: the position after it.
        complete: whether its last bracket is closed.
        fault: why the value may be less than was meant; empty if at most closing brackets are missing.
    """

    end: int
    complete: bool
    fault: str


def find_extent(text: str, start: int) -> Extent:
    """The extent of the object or array that begins at `start` of a whole text."""
    extent = ExtentScanner(start).scan(text, final=True)
    assert extent is not None
    return extent


@dataclass
class _OpenBracket:
    bracket: str
    expects: Literal["key", "colon", "value", "comma"]


class ExtentScanner:
    """Scans a growing text for the extent of the object or array that begins at `start`.

    Attributes:
        position: all before it is scanned.
        string_position: how far the string at `position` is scanned, if its end has not arrived.
    """

    def __init__(self, start: int) -> None:
        self.start = self.position = start
        self.string_position = 0
        self._text, self._final = "", False
        self._open: list[_OpenBracket] = []
        self._last_value: Literal["", "bracket", "string", "bare word"] = ""
        self._misses_value = False

    def scan(self, text: str, *, final: bool) -> Extent | None:
        """The extent; None if the text so far does not decide it.

        Args:
            text: the text of the last call, and what has arrived since.
            final: whether the text is whole.
        """
        self._text, self._final = text, final
        while self.position < len(text):
            if self._open and self._ends_unclosed():
                return Extent(self.position, complete=False, fault=self._fault(at_end=False))
            if not final and _PARTIAL_END.match(text, self.position):
                return None
            character = text[self.position]
            if character in "{[":
                self._open_bracket(character)
            elif character in "}]":
                if self._close_bracket(character):
                    return Extent(self.position, complete=True, fault=self._missing_value_fault())
            elif character in _CLOSING_QUOTES and self._begins_string():
                end, closed = self._string_end(character)
                if end is None:
                    return self._incomplete("it ends inside a string")
                if not closed:
                    return Extent(end, complete=False, fault="it ends inside a string")
                self._end_value("string", end)
            elif not self._skip_other(character):
                return None
        return self._incomplete(self._fault(at_end=True))

    def _incomplete(self, fault: str) -> Extent | None:
        return Extent(len(self._text), complete=False, fault=fault) if self._final else None

    def _ends_unclosed(self) -> bool:
        """Whether the value ends here although brackets are open, since nothing in JSON continues like this."""
        if _END.match(self._text, self.position):
            return True
        innermost = self._open[-1]
        if innermost.expects != "comma" or self._last_value != "bracket":
            return False
        character, previous = self._text[self.position], self._text[self.position - 1]
        return (character == "{" and innermost.bracket == "{") or (character.isalpha() and previous == "\n")

    def _open_bracket(self, bracket: str) -> None:
        self._open.append(_OpenBracket(bracket, "key" if bracket == "{" else "value"))
        self.position += 1

    def _close_bracket(self, bracket: str) -> bool:
        """Close the brackets up to the one that this closes, if any; whether none is open then."""
        self.position += 1
        if all(each.bracket != _OPENING[bracket] for each in self._open):
            return False
        closed = ""
        while closed != _OPENING[bracket]:
            innermost = self._open.pop()
            self._note_missing_value(innermost)
            closed = innermost.bracket
            if self._open:
                self._end_value("bracket", self.position)
        return not self._open

    def _begins_string(self) -> bool:
        previous = self._text[self.position - 1] if self.position > self.start else " "
        return previous.isspace() or previous in "{[(,:=/" or previous in _CLOSING_QUOTES

    def _string_end(self, quote: str) -> tuple[int | None, bool]:
        """The end of the string at `position`, None if it has not arrived; and whether a quote closes it.

        A string that no quote closes ends before a closing tag that has a line to itself.
        """
        text, start = self._text, self.position
        if not self._final and len(text) < start + 3:
            return None, False
        if text.startswith('"""', start):
            end = text.find('"""', start + 3)
            return (None, False) if end < 0 else (end + 3, True)
        self.string_position = max(self.string_position, start + 1)
        for found in _IN_STRING[quote].finditer(text, self.string_position):
            if found[0][0] == "\n":
                return found.start(), False
            if found[0][0] != "\\":
                if not self._final and _PARTIAL_AFTER_STRING.match(text, found.end()):
                    return None, False
                if _AFTER_STRING.match(text, found.end()):
                    return found.end(), True
            self.string_position = found.end()
        partial = _PARTIAL_IN_STRING.search(text, self.string_position)
        self.string_position = partial.start() if partial else len(text)
        return None, False

    def _skip_other(self, character: str) -> bool:
        """Skip what is neither bracket nor string; False if it may continue in the next chunk."""
        innermost = self._open[-1]
        if character.isspace():
            self.position += 1
        elif comment := _COMMENT.match(self._text, self.position):
            if not self._final and comment.end() == len(self._text):
                return False
            self.position = comment.end()
        elif character == ",":
            self._note_missing_value(innermost)
            innermost.expects = "key" if innermost.bracket == "{" else "value"
            self.position += 1
        elif character == ":":
            innermost.expects = "value"
            self.position += 1
        else:
            word = _BARE_WORD.match(self._text, self.position)
            assert word is not None
            if not self._final and _PARTIAL_BARE_WORD.match(self._text, word.end()):
                return False
            self._end_value("bare word", word.end())
        return True

    def _end_value(self, kind: Literal["bracket", "string", "bare word"], end: int) -> None:
        """A key or value ends; a string where a comma is expected counts as a key with the comma missing."""
        innermost = self._open[-1]
        is_key = innermost.bracket == "{" and (
            (innermost.expects == "key" and kind != "bracket") or (innermost.expects == "comma" and kind == "string")
        )
        innermost.expects = "colon" if is_key else "comma"
        self._last_value, self.position = kind, end

    def _note_missing_value(self, bracket: _OpenBracket) -> None:
        self._misses_value |= bracket.bracket == "{" and bracket.expects in ("colon", "value")

    def _fault(self, *, at_end: bool) -> str:
        if not self._open or self._open[-1].expects != "comma":
            return "it ends before an expected value"
        if self._last_value == "bare word" and at_end:
            return "it ends right after a number or word, which may be incomplete"
        return self._missing_value_fault()

    def _missing_value_fault(self) -> str:
        return "a value is missing" if self._misses_value else ""
