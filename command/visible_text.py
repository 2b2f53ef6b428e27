"""Text of models, servers and tools on a terminal, which would execute its control characters.

An answer may contain `\\x1b]52;c;…\\x07`, which in many terminals writes the clipboard, or `\\x1b[2K`, which erases a line.
On a terminal such characters are shown as Python writes them in a string; a pipe gets the text unchanged.
"""

import re
import sys
from typing import TextIO

# C0 without tab and line feed, DEL, C1, what reorders the text around it (CVE-2021-42574), and halves of characters.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with `\\x1b` and the like in place of control characters; tabs and line ends are kept."""
    return _CONTROL.sub(_escape, text.replace("\r\n", "\n"))


def visible_line(text: str) -> str:
    """As `visible`, with line ends and tabs as `\\n` and `\\t`: for a cell of a table."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def print_text(text: str, *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print text that is not ours, on standard output by default; on a terminal its control characters are visible."""
    stream = sys.stdout if file is None else file
    print(visible(text) if stream.isatty() else text, end=end, file=stream, flush=True)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
