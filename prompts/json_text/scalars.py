"""Read the texts, numbers and words of JSON as models write it; what can't be read exactly as written is a ValueError.

read_string("'men\\\\'s'")   # "men's"
read_word("None")          # None
read_word("5%")            # "5%": an unquoted text
"""

import math
import re
from decimal import Decimal
from typing import Any

CLOSING_QUOTES = {'"': '"', "'": "'", "“": '”“"', "‘": "’‘'"}
"""What closes a text that this quote opens."""
TRIPLE_QUOTES = ('"""', "'''")

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", **{each: each for each in '"\\/'}}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
# Other languages' numbers, and the dots for what the model left out: as a text each would be another value.
_NO_TEXT = re.compile(r"[+-]?(?:NaN|nan|Infinity|inf)|undefined|\.\.\.|…|[+-]?0[0-9].*", re.DOTALL)
# Quotes that are not apostrophes, and colons outside `http://`, may be structure.
_AMBIGUOUS = re.compile(r"[\"`“”‘]|(?<!\w)['’]|['’](?!\w)|:(?!//)")
# A quotation inside a text: a quote before a word, and one after a word.
_QUOTATIONS = {
    quote: re.compile(rf"(?<!\w)[{closing}](?=\S)[^{closing}]*+(?<=\S)[{closing}](?!\w)")
    for quote, closing in CLOSING_QUOTES.items()
}
_SINGLE_BACKSLASHES = re.compile(r"(?<![rR])([\"'])[A-Za-z]:(?:\\[^\\\s\"'/:*?<>|]{1,255}){1,100}\\?\1")
"""A Windows path in quotes whose backslashes are not doubled: `\\t` in it is not a tab."""
_MAX_QUOTED = 40
"""Characters of the text that an error quotes."""


def read_string(raw: str) -> str:
    """The text that a token in quotes stands for.

    A quote inside that is not escaped must be an apostrophe or one of a pair: otherwise it may be the end of the text.

    Raises:
        ValueError: an escape that JSON does not have, half a surrogate pair, an unpaired quote, or a path whose backslashes
            may be meant as they are.
    """
    if raw[:3] in TRIPLE_QUOTES and len(raw) > 5:
        if "\\" in raw:
            raise ValueError(f"{_shown(raw)} has a backslash in triple quotes; write the text in JSON's own quotes")
        return raw[3:-3]
    quote, inner = raw[0], raw[1:-1]
    single_quotes = _QUOTATIONS[quote].sub("", _APOSTROPHE.sub("", _ESCAPE.sub("", inner)))
    if re.search(f"[{CLOSING_QUOTES[quote]}]", single_quotes):
        raise ValueError(f'{_shown(raw)} may end at a quote inside it; write quotes inside a text as \\"')
    allowed = _ESCAPES | {"'": "'"} if quote != '"' else _ESCAPES

    def unescaped(escape: re.Match[str]) -> str:
        if len(escape[1]) == 5:
            return chr(int(escape[1][1:], 16))
        if escape[1] not in allowed:
            raise ValueError(f"{_shown(raw)} has {escape[0]!s}, which JSON does not know; write each backslash as \\\\")
        return allowed[escape[1]]

    text = _whole_characters(_ESCAPE.sub(unescaped, inner))
    check_backslashes(raw)
    return text


def check_backslashes(text: str) -> None:
    """Raise ValueError if the text has a Windows path in quotes whose backslashes are not doubled."""
    if path := _SINGLE_BACKSLASHES.search(text):
        raise ValueError(f"{_shown(path[0])} may be a path; write each backslash as \\\\")


def read_word(raw: str) -> Any:
    """The value of a token without quotes: a number, true, false or null (as in Python too), else an unquoted text.

    Raises:
        ValueError: a number that can't be represented, or a text of which structure may be a part.
    """
    if raw in _LITERALS:
        return _LITERALS[raw]
    if _NUMBER.fullmatch(raw):
        return read_number(raw)
    if _NO_TEXT.fullmatch(raw):
        raise ValueError(f"{_shown(raw)} is not a value of JSON; write a number, or a text in double quotes")
    if _AMBIGUOUS.search(raw):
        raise ValueError(f"{_shown(raw)} is not in quotes; write a text in double quotes")
    return _whole_characters(raw)


def read_number(text: str) -> int | float:
    """The value of a number in JSON's form.

    Raises:
        ValueError: it is too large, too near to zero, or would lose its fraction.
    """
    number = _NUMBER.fullmatch(text)
    if number and not number[1] and not number[2]:
        return int(text)  # a ValueError for more than 4,300 digits
    value = float(text)
    if not math.isfinite(value) or (not value and re.search("[1-9]", text.lower().partition("e")[0])):
        raise ValueError(f"the number {_shown(text)} is out of range")
    if value.is_integer() and (exact := Decimal(text)) != Decimal(repr(value)):  # it has more digits than a float
        if exact != exact.to_integral_value():
            raise ValueError(f"the number {_shown(text)} has too many digits")
        return int(exact)
    return value


def _whole_characters(text: str) -> str:
    """The text with halves of surrogate pairs joined. Raises ValueError for a half alone, which can't be sent anywhere."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise ValueError(f"{_shown(ascii(text))} has half a surrogate pair") from error


def _shown(raw: str) -> str:
    """The token on one line, cut."""
    text = " ".join(raw[: _MAX_QUOTED + 1].split())
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"
