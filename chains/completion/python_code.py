"""What Python makes of a piece of code: does it parse, could more text complete it, does it contain any code."""

import ast
import codeop
import io
import tokenize
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any


def parses(code: str) -> bool:
    """Whether the text is Python."""
    return _accepts(ast.parse, code)


def is_unfinished(prompt: str, text: str) -> bool:
    """Whether more text could make it Python, with its last line or without: that line may be truncated anywhere."""
    whole_lines = text[: text.rfind("\n") + 1]
    parts = [part for part in (text, whole_lines) if has_code(prompt, part)]
    return any(parses(prompt + part) or _is_incomplete(prompt + part) for part in parts)


def has_code(prompt: str, text: str) -> bool:
    """Whether the text after the prompt is more than blanks and comments, the prompt's own last comment included."""
    lines = text.splitlines()[_ends_in_comment(prompt) :]
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def _ends_in_comment(code: str) -> bool:
    """Whether text appended to the code would continue a comment."""
    tokens = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.string:  # the token of the end has none
                tokens.append(token)
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass  # it ends inside a bracket or a string, or is not Python: the tokens before that count
    # Python 3.11 reports the quote of an unterminated string as an error, and continues after it.
    last_line = [token.type for token in tokens if token.end[0] == tokens[-1].end[0]]
    return last_line[-1:] == [tokenize.COMMENT] and tokenize.ERRORTOKEN not in last_line


def _is_incomplete(code: str) -> bool:
    """Whether nothing is wrong with it but its missing end."""
    return _accepts(partial(codeop.compile_command, symbol="exec"), code)


def _accepts(read: Callable[[str], Any], code: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # about the model's code, such as "\d"
            read(code)
    # Bad syntax; null bytes and lone surrogates; numbers, nesting and indentation beyond the compiler's limits.
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return False
    return True
