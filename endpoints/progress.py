"""What a person sees while an endpoint comes or goes, on standard error: one line that changes, or a line a change.

Plain writes, and none of them fails: a reader that has gone must not stop the end of an endpoint.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Show = Callable[[str], None]

SHORTEST_PAUSE = 0.5  # seconds
ERASE_LINE = "\r\x1b[2K"


@contextmanager
def showing(name: str) -> Iterator[Show]:
    """Tell of one endpoint."""
    is_terminal = bool(sys.stderr) and sys.stderr.isatty()
    last = ""

    def show(text: str) -> None:
        nonlocal last
        # Of what changes by the second (minutes, MB) a pipe needs no line each.
        begin = text.partition(",")[0]
        if is_terminal:
            _write(f"{ERASE_LINE}{name}: {text}")
        elif begin != last:
            _write(f"{name}: {text}\n")
        last = begin

    try:
        yield show
    finally:
        if is_terminal and last:
            _write("\n")


def _write(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()


def pauses(longest: float) -> Iterator[float]:
    """How long to wait between two looks: short at first, then longer, up to `longest` seconds."""
    pause = SHORTEST_PAUSE
    while True:
        yield min(pause, longest)
        pause = min(pause * 1.5, longest)


def told_span(seconds: float) -> str:
    """A span of time as a person says it: `40 s`, `12 min`, `5 h 10 min`."""
    minutes = int(seconds // 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
