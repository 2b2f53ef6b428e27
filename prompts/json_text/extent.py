"""Read an object or array that a model wrote, and find where it ends, even if it is not quite JSON.

    find_extent("{'a': [1, 2} and so on", 0)   # Extent(end=12, complete=True, value={"a": [1, 2]})

Read are, beside JSON: other quotes, texts and keys without quotes, comments, trailing commas, commas missing before a key
in quotes, a template's doubled braces, Python's `None` and `True`, and missing closing brackets. Every text and number is
taken exactly as it is written, or the extent has an `error`; `fault` is set if more than closing brackets may be missing.

`ExtentScanner` continues where it stopped, so a value that arrives in many chunks is scanned once.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from .scalars import CLOSING_QUOTES, TRIPLE_QUOTES, read_string, read_word

MAX_NESTING = 100
"""Levels of a value; code that reads it later may be recursive."""

_OPENING = {"}": "{", "]": "["}
# Ends an unfinished value, outside a string: a tag of the call around it, a fence, a special token, the end of thoughts.
_END = r"</?[^\S\n]{0,9}(?:tool|function|invoke|parameter|think)|```|<\||</s>|\[/tool"
_COMMENT = r"//|#\s|/\*"
_TEXT_END = re.compile(_END, re.IGNORECASE)
# What may follow a closing quote and blanks; a quote with other text after it is part of the string.
_AFTER_STRING = re.compile(rf"[,:}}\]]|{_COMMENT}|{_END}", re.IGNORECASE)
_COMMENT_START = re.compile(_COMMENT)
_BLANKS = re.compile(r"\s*")
_KEY = re.compile(r"[^\s,:{}\[\]\"'“”‘`]{1,200}")
# A text without quotes ends before a bracket, comma or line end, and before a quote or comment that follows blanks.
_WORD = re.compile(
    rf"(?:(?!{_END})[^\s,{{}}\[\]\"“”]|[^\S\n]{{1,100}}(?![\s,{{}}\[\]\"'“”‘]|{_COMMENT}|{_END}|\Z)){{1,2000}}",
    re.IGNORECASE,
)
_IN_STRING = {
    quote: re.compile(rf"\\.|[{closing}]|\n[^\S\n]{{0,99}}</[^\S\n]{{0,9}}tool_", re.DOTALL)
    for quote, closing in CLOSING_QUOTES.items()
}
# At the end of a text that may continue: what may become one of the above with the next chunk.
_PARTIAL_END = re.compile(r"(?:</?[^\S\n]{0,9}\w{0,9}|<\||`{1,2}|\[(?:/\w{0,4})?|/|#)\Z")
_PARTIAL_WORD_END = re.compile(r"[^\S\n]{0,100}(?:</?[^\S\n]{0,9}\w{0,9}|`{1,2}|\[(?:/\w{0,4})?|[/#])?\Z")
_PARTIAL_IN_STRING = re.compile(r"(?:\\|\n[^\S\n]{0,99}(?:<(?:/[^\S\n]{0,9}\w{0,5})?)?)\Z")
_MAX_PARTIAL = 130


@dataclass(frozen=True)
class Extent:
    """How far a value reaches, and what it is.

    Attributes:
        end: the position after it.
        complete: whether its last bracket is closed.
        fault: why the value may be less than was meant; empty if at most closing brackets are missing.
        error: why it can't be read as it is written, if so.
        value: the object or array; only a part of it if there is a fault or an error.
    """

    end: int
    complete: bool
    fault: str = ""
    error: str = ""
    value: Any = None


def find_extent(text: str, start: int) -> Extent:
    """The extent of the object or array that begins at `start` of a whole text."""
    extent = ExtentScanner(start).scan(text, final=True)
    assert extent is not None
    return extent


@dataclass
class _OpenBracket:
    bracket: str
    value: Any
    expects: Literal["key", "colon", "value", "comma", "end"]
    key: str = ""
    after_comma: bool = False


class ExtentScanner:
    """Scans a growing text for the extent of the object or array that begins at `start`.

    Attributes:
        position: all before it is scanned.
        searched: how far the string or comment at `position` is scanned, if its end has not arrived.
    """

    def __init__(self, start: int) -> None:
        self.start = self.position = start
        self.searched = 0
        self._text, self._final = "", False
        self._open: list[_OpenBracket] = []
        self._open_count = {"{": 0, "[": 0}
        self._value: Any = None
        self._last_value: Literal["", "bracket", "string", "word", "unquoted text"] = ""
        self._word_end = 0
        self._error = ""

    def scan(self, text: str, *, final: bool) -> Extent | None:
        """The extent; None if the text so far does not decide it.

        Args:
            text: the text of the last call, and what has arrived since.
            final: whether the text is whole.
        """
        self._text, self._final = text, final
        while self.position < len(text):
            if self._open and self._ends_unclosed():
                return self._extent(self.position, complete=False, fault=self._fault(at_end=False))
            if not final and _PARTIAL_END.match(text, self.position):
                return None
            character = text[self.position]
            if character.isspace():
                self.position += 1
            elif character in "{[":
                self._open_bracket(character)
            elif character in "}]":
                if self._close_bracket(character):
                    return self._extent(self.position, complete=True, fault="")
            elif character in CLOSING_QUOTES:
                end, closed = self._string_end(character)
                if end is None or not closed:
                    if end is None and not final:
                        return None
                    return self._extent(end or len(text), complete=False, fault="it ends inside a string")
                self._end_string(end)
            elif not self._skip_other(character):
                return None
        return self._extent(len(text), complete=False, fault=self._fault(at_end=True)) if final else None

    def _extent(self, end: int, *, complete: bool, fault: str) -> Extent:
        return Extent(end, complete, fault, self._error, self._value)

    def _note_error(self, error: str) -> None:
        self._error = self._error or error

    def _ends_unclosed(self) -> bool:
        """Whether the value ends here although brackets are open, since nothing in JSON continues like this."""
        if _TEXT_END.match(self._text, self.position):
            return True
        innermost = self._open[-1]
        if innermost.expects != "comma" or self._last_value != "bracket":
            return False
        character, previous = self._text[self.position], self._text[self.position - 1]
        return (character == "{" and innermost.bracket == "{") or (character.isalpha() and previous == "\n")

    def _open_bracket(self, bracket: str) -> None:
        value: Any = {} if bracket == "{" else []
        if self._open:
            outer = self._open[-1]
            if bracket == outer.bracket == "{" and outer.expects == "key" and not outer.value and not outer.after_comma:
                value, outer.expects = outer.value, "end"  # doubled braces, copied from a template: one object
            elif outer.expects == "value" or (outer.bracket == "[" and self._last_value == "bracket"):
                self._add(value)
            else:
                self._note_error(f"a bracket {bracket} stands where none may be")
        else:
            self._value = value
        if len(self._open) == MAX_NESTING:
            self._note_error(f"it is nested more than {MAX_NESTING} levels deep")
        self._open.append(_OpenBracket(bracket, value, "key" if bracket == "{" else "value"))
        self._open_count[bracket] += 1
        self.position += 1

    def _close_bracket(self, bracket: str) -> bool:
        """Close the brackets up to the one that this closes, if any; whether none is open then."""
        self.position += 1
        if not self._open_count[_OPENING[bracket]]:
            self._note_error(f"a bracket {bracket} closes none")
            return False
        closed = ""
        while closed != _OPENING[bracket]:
            innermost = self._open.pop()
            if innermost.bracket == "{" and innermost.expects in ("colon", "value"):
                self._note_error("a value is missing")
            closed = innermost.bracket
            self._open_count[closed] -= 1
        self._last_value = "bracket"
        return not self._open

    def _add(self, value: Any) -> None:
        """Put a value into the innermost bracket."""
        innermost = self._open[-1]
        innermost.expects = "comma"
        if self._error:
            return
        if innermost.bracket == "[":
            innermost.value.append(value)
        elif innermost.key in innermost.value:
            self._note_error(f"{innermost.key!r:.60} is given twice")
        else:
            innermost.value[innermost.key] = value

    def _string_end(self, quote: str) -> tuple[int | None, bool]:
        """The end of the string at `position`, None if it has not arrived; and whether a quote closes it.

        A string that no quote closes ends before a closing tag that has a line to itself.
        """
        text, start = self._text, self.position
        if not self._final and len(text) < start + 3:
            return None, False
        if text[start : start + 3] in TRIPLE_QUOTES:
            end = self._find(text[start : start + 3], start + 3)
            return (None, False) if end is None else (end, True)
        position = max(start + 1, self.searched)
        while found := _IN_STRING[quote].search(text, position):
            if found[0][0] == "\n":
                return found.start(), False
            if found[0][0] != "\\":
                closes = self._closes_string(found.end())
                if closes is None:
                    self.searched = found.start()
                    return None, False
                if closes:
                    return found.end(), True
            position = found.end()
        partial = _PARTIAL_IN_STRING.search(text, max(position, len(text) - _MAX_PARTIAL))
        self.searched = partial.start() if partial else len(text)
        return None, False

    def _closes_string(self, end: int) -> bool | None:
        """Whether the quote before `end` closes its string; None if the text so far does not decide it."""
        text, blanks_from = self._text, max(end, self.searched)
        blanks = _BLANKS.match(text, blanks_from)
        assert blanks is not None
        next_position = blanks.end()
        if "\n" in blanks[0]:
            return True
        if next_position == len(text):
            return True if self._final else None
        if text[next_position] in CLOSING_QUOTES and next_position > end:
            return True
        if _AFTER_STRING.match(text, next_position):
            return True
        return None if not self._final and _PARTIAL_END.match(text, next_position) else False

    def _end_string(self, end: int) -> None:
        innermost = self._open[-1]
        try:
            text = read_string(self._text[self.position : end])
        except ValueError as error:
            self._note_error(str(error))
            text = ""
        if innermost.bracket == "{" and innermost.expects in (
            "key",
            "comma",
        ):  # where a comma is missing, a key follows
            innermost.key, innermost.expects = text, "colon"
        elif innermost.expects == "value":
            self._add(text)
        else:
            self._note_error(f"before the text {text!r:.60} a comma or colon is missing")
        self._last_value, self.position = "string", end

    def _skip_other(self, character: str) -> bool:
        """Skip what is neither bracket nor string; False if it may continue in the next chunk."""
        innermost = self._open[-1]
        if comment := _COMMENT_START.match(self._text, self.position):
            return self._skip_comment(comment[0])
        if character == ",":
            if innermost.expects != "comma":
                self._note_error("a value is missing before a comma")
            innermost.expects = "key" if innermost.bracket == "{" else "value"
            innermost.after_comma = True
            self.position += 1
        elif character == ":":
            if innermost.expects != "colon":
                self._note_error("a colon stands where none may be")
            innermost.expects = "value"
            self.position += 1
        else:
            is_key = innermost.bracket == "{" and innermost.expects == "key"
            word = (_KEY if is_key else _WORD).match(self._text, self.position)
            end = word.end() if word else self.position + 1
            if not self._final and _PARTIAL_WORD_END.match(self._text, end):
                return False
            self._end_word(self._text[self.position : end], is_key=is_key, next_character=self._text[end : end + 1])
            self.position = end
        return True

    def _skip_comment(self, opening: str) -> bool:
        end = self._find("*/" if opening == "/*" else "\n", self.position + len(opening.rstrip()))
        if end is None and not self._final:
            return False
        if self._last_value == "unquoted text" and "\n" not in self._text[self._word_end : self.position]:
            self._note_error("a text without quotes is followed by what may be a comment; write texts in double quotes")
        self.position = len(self._text) if end is None else end
        return True

    def _find(self, needle: str, start: int) -> int | None:
        """The position after the needle, None if it has not arrived."""
        found = self._text.find(needle, max(start, self.searched))
        if found < 0:
            self.searched = max(start, len(self._text) - len(needle) + 1)
            return None
        return found + len(needle)

    def _end_word(self, word: str, *, is_key: bool, next_character: str) -> None:
        innermost = self._open[-1]
        follows_unquoted_text = self._last_value == "unquoted text"
        self._last_value, self._word_end = "word", self.position + len(word)
        if is_key:
            if follows_unquoted_text or not re.fullmatch(r"[\w$.-]+", word):
                self._note_error(f"the name {word!r:.60} is not in quotes")
            innermost.key, innermost.expects = word, "colon"
            return
        if innermost.expects != "value":
            self._note_error(f"{word!r:.60} stands where nothing may be; write texts in double quotes")
            return
        try:
            value = read_word(word)
            if next_character and next_character in CLOSING_QUOTES:
                raise ValueError(f"{word!r:.60} is directly before a quote; write texts in double quotes")
        except ValueError as error:
            self._note_error(str(error))
            value = None
        if isinstance(value, str):
            self._last_value = "unquoted text"
        self._add(value)

    def _fault(self, *, at_end: bool) -> str:
        if not self._open or self._open[-1].expects not in ("comma", "end"):
            return "it ends before an expected value"
        if self._last_value in ("word", "unquoted text") and at_end:
            return "it ends right after a number or word, which may be incomplete"
        return ""
