"""Keep text from people from becoming structure: break every special tag in it, visibly and reversibly.

A tag is a pair of regular expressions, head and tail, that stand side by side in the text (`<` and `|im_start|>`).
Escaping puts a backslash between the two; where backslashes stand there already, one more. Taking one away
again gives the original back, whatever it held:

    >>> escaping = Escaping([("<", r"\\|im_start\\|>")])
    >>> escaping.escape("say <|im_start|>")
    'say <\\\\|im_start|>'
    >>> escaping.unescape(escaping.escape("say <|im_start|>"))
    'say <|im_start|>'

Which tags a model reads as structure is each family's own knowledge (`llama2.py`, `falcon.py`, …).
"""

import re
from collections.abc import Iterable
from typing import Any

# What `str.splitlines` and a model may take for the start of a line.
LINE_START = r"(?:\A|(?<=[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]))"
# What nobody sees: format characters (category Cf), variation selectors, and the rest of "Default_Ignorable_Code_Point".
# Source: Unicode's UnicodeData.txt and DerivedCoreProperties.txt.
INVISIBLE = (
    r"\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    r"\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd"
    r"\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Blanks inside a line, invisible characters among them: with them around its name a turn reads as the same to a model.
BLANKS = rf"(?:[^\S\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]|[{INVISIBLE}])*"


def turn_line(*names: str) -> tuple[str, str]:
    """The tag of a line that fakes a turn: `User:` at a line's start, in any letter case, with blanks around it."""
    return (rf"{LINE_START}{BLANKS}(?:{'|'.join(map(re.escape, names))}){BLANKS}", r":")


class Escaping:
    """The tags that one family reads as structure.

    Args:
        pairs: (head, tail) regular expressions, without groups of their own; letter case does not matter.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        self._patterns = [re.compile(rf"({head})(\\*)({tail})", re.IGNORECASE) for head, tail in self.pairs]

    def __add__(self, other: "Escaping") -> "Escaping":
        return Escaping(dict.fromkeys(self.pairs + other.pairs))

    def escape(self, text: str) -> str:
        """The text with one more backslash in every tag."""
        for pattern in self._patterns:
            text = pattern.sub(r"\1\\\2\3", text)
        return text

    def escape_values(self, value: Any) -> Any:
        """A JSON value with every text in it escaped, so that it is still JSON when it is written."""
        if isinstance(value, str):
            return self.escape(value)
        if isinstance(value, dict):
            return {self.escape(str(name)): self.escape_values(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.escape_values(item) for item in value]
        return value

    def unescape(self, text: str) -> str:
        """What `escape` was given."""
        for pattern in reversed(self._patterns):
            text = pattern.sub(lambda match: match[1] + match[2][1:] + match[3], text)
        return text

    def unescape_values(self, value: Any) -> Any:
        """What `escape_values` was given."""
        if isinstance(value, str):
            return self.unescape(value)
        if isinstance(value, dict):
            return {self.unescape(name): self.unescape_values(item) for name, item in value.items()}
        if isinstance(value, list):
            return [self.unescape_values(item) for item in value]
        return value


NO_ESCAPING = Escaping([])
"""Of a text in which nothing is escaped."""
