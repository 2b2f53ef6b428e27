"""Text of models, servers and tools for a terminal, which would execute its control characters.

An answer may contain `\\x1b]52;c;…\\x07`, which in many terminals writes the clipboard, or `\\x1b[2K`, which erases a line.
Such characters are shown as Python writes them in a string.
"""

import re

# C0 without tab and line feed, DEL, C1, what reorders the text around it (CVE-2021-42574), and halves of characters.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with `\\x1b` and the like in place of control characters; tabs and line ends are kept."""
    return _CONTROL.sub(_escape, text.replace("\r\n", "\n"))


def visible_line(text: str) -> str:
    """As `visible`, with line ends and tabs as `\\n` and `\\t`: for a cell of a table."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
