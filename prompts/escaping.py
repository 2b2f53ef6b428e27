"""Escape special text in messages, visibly and reversibly, so that it never becomes structure of the prompt.

A marker is text that a model reads as structure: a special token, a tag, a role's label at the start of a line. It is given
as two regular expressions, its head and its tail (`<` and `|im_start|>`). Escaping puts a backslash between them, also
where backslashes already are; unescaping removes one, which restores the original text exactly:

    >>> escaping = Escaping([("<", r"\\|im_start\\|>")])
    >>> escaping.escape("say <|im_start|>")
    'say <\\\\|im_start|>'
    >>> escaping.unescape(escaping.escape("say <|im_start|>"))
    'say <|im_start|>'

The markers of a model family are in its module (`families/llama2.py`, `families/falcon.py`, …).
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

# Line breaks as `str.splitlines` and possibly a model see them.
LINE_START = r"(?:\A|(?<=[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]))"
# Invisible: format characters (category Cf), variation selectors, and the rest of "Default_Ignorable_Code_Point".
# Source: Unicode's UnicodeData.txt and DerivedCoreProperties.txt.
INVISIBLE = (
    r"\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Blanks within a line, invisible characters included: a model reads a role's label as the same with them around it.
BLANKS = rf"(?:[^\S\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]|[{INVISIBLE}])*"

Marker = tuple[str, str]
"""Head and tail, as regular expressions without groups; letter case does not matter. Repeats are bounded or possessive."""


def role_label(*names: str) -> Marker:
    """The marker of a line that starts with a role's name and a colon (`User:`), with blanks around the name."""
    return (rf"{LINE_START}{BLANKS}(?:{'|'.join(map(re.escape, names))}){BLANKS}", r":")


class Escaping:
    """Escapes a set of markers in text. Two can be added."""

    def __init__(self, markers: Iterable[Marker]) -> None:
        self.markers = tuple(markers)
        self._patterns = [re.compile(rf"({head})(\\*)({tail})", re.IGNORECASE) for head, tail in self.markers]

    def __add__(self, other: "Escaping") -> "Escaping":
        return Escaping(dict.fromkeys(self.markers + other.markers))

    def escape(self, text: str) -> str:
        """The text with one more backslash in every marker."""
        for pattern in self._patterns:
            text = pattern.sub(r"\1\\\2\3", text)
        return text

    def unescape(self, text: str) -> str:
        """The text that `escape` was given."""
        for pattern in reversed(self._patterns):
            text = pattern.sub(lambda match: match[1] + match[2][1:] + match[3], text)
        return text

    def escape_values(self, value: Any) -> Any:
        """A JSON value with every text in it escaped, names included; written as JSON it is still valid."""
        return _map_texts(self.escape, value)

    def unescape_values(self, value: Any) -> Any:
        """The value that `escape_values` was given."""
        return _map_texts(self.unescape, value)


NO_ESCAPING = Escaping([])
"""Leaves text as it is."""


def _map_texts(change: Callable[[str], str], value: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(str(name)): _map_texts(change, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_texts(change, item) for item in value]
    return value
