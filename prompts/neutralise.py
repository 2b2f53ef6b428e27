"""Keep text from people from becoming structure: break every special tag in it, visibly and reversibly.

A tag is a pair of regular expressions, head and tail, that stand side by side in the text (`<` and `|im_start|>`).
Neutralising puts a backslash between the two; where backslashes stand there already, one more. Taking one away
again gives the original back, whatever it held:

    >>> tags = Tags([("<", r"\\|im_start\\|>")])
    >>> tags.neutralised("say <|im_start|>")
    'say <\\\\|im_start|>'
    >>> tags.restored(tags.neutralised("say <|im_start|>"))
    'say <|im_start|>'

Which tags a model reads as structure is each family's own knowledge (`llama2.py`, `falcon.py`, …).
"""

import re
from collections.abc import Iterable
from typing import Any

# What `str.splitlines` and a model may take for the start of a line.
LINE_START = r"(?:\A|(?<=[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]))"
# Blanks inside a line, invisible characters among them: with them around its name a turn reads as the same to a model.
BLANKS = r"(?:[^\S\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]|[\u00ad\u200b-\u200f\u2060-\u2064\ufeff])*"


def turn_line(*names: str) -> tuple[str, str]:
    """The tag of a line that fakes a turn: `User:` at a line's start, in any letter case, with blanks around it."""
    return (rf"{LINE_START}{BLANKS}(?:{'|'.join(map(re.escape, names))}){BLANKS}", r":")


class Tags:
    """The tags that one family reads as structure.

    Args:
        pairs: (head, tail) regular expressions, without groups of their own; letter case does not matter.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.pairs = tuple(pairs)
        self._patterns = [re.compile(rf"({head})(\\*)({tail})", re.IGNORECASE) for head, tail in self.pairs]

    def __add__(self, other: "Tags") -> "Tags":
        return Tags(dict.fromkeys(self.pairs + other.pairs))

    def neutralised(self, text: str) -> str:
        """The text with one more backslash in every tag."""
        for pattern in self._patterns:
            text = pattern.sub(r"\1\\\2\3", text)
        return text

    def neutralised_values(self, value: Any) -> Any:
        """A JSON value with every text in it neutralised, so that it is still JSON when it is written."""
        if isinstance(value, str):
            return self.neutralised(value)
        if isinstance(value, dict):
            return {self.neutralised(str(name)): self.neutralised_values(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.neutralised_values(item) for item in value]
        return value

    def restored(self, text: str) -> str:
        """What `neutralised` was given."""
        for pattern in reversed(self._patterns):
            text = pattern.sub(lambda match: match[1] + match[2][1:] + match[3], text)
        return text
