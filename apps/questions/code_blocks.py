"""The fenced code blocks of an answer: `sagechain ask -x "A Python function that reverses a list"`."""

import re
from collections.abc import Iterator

_FENCE = re.compile(r" {0,3}(`{3,}+|~{3,}+)([^\n]*+)")


def code_blocks(text: str) -> Iterator[str]:
    """The contents of the fenced blocks (CommonMark 0.31, 4.5), in order; one that is not closed ends with the text."""
    fence, lines = "", list[str]()
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if not fence:
            # The info string of a fence of backticks contains none: otherwise the line is inline code.
            if match and not (match[1][0] == "`" and "`" in match[2]):
                fence, lines = match[1], []
        elif match and match[1].startswith(fence) and not match[2].strip():
            yield "\n".join(lines)
            fence = ""
        else:
            lines.append(line)
    if fence:
        yield "\n".join(lines)


def extract_code(text: str, *, last: bool = False) -> str:
    """The first block, or the last; the whole text if it has none."""
    blocks = list(code_blocks(text))
    return blocks[-1 if last else 0] if blocks else text
