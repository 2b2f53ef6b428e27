"""Print text of models, servers and tools: its control characters are visible on a terminal; a pipe gets it unchanged."""

import logging
import sys
from typing import TextIO

from sagechain.prompts import visible


def print_text(text: str, *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print text that is not ours, on standard output by default."""
    stream = sys.stdout if file is None else file
    print(_shown(text, stream), end=end, file=stream, flush=True)


def show_log_visibly() -> None:
    """Let what a program logs without a handler of its own, such as the exception of a tool, be printed so too."""
    if logging.lastResort:
        logging.lastResort.setFormatter(_Formatter())


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _shown(super().format(record), sys.stderr)


def _shown(text: str, stream: TextIO) -> str:
    return visible(text) if stream.isatty() else text
