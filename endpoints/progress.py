"""Progress of endpoints that are created or deleted, on standard error: one changing line, or a line for each change.

Plain writes that never fail: a closed pipe must not stop a deletion.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sagechain.prompts import visible, visible_line

ShowProgress = Callable[[str], None]

FIRST_PAUSE = 0.5  # seconds
ERASE_LINE = "\r\x1b[2K"


@contextmanager
def progress(name: str) -> Iterator[ShowProgress]:
    """A function that shows the progress of one endpoint."""
    is_terminal = _is_terminal()
    last = ""

    def show(text: str) -> None:
        nonlocal last
        # The part after the comma (minutes, MB) changes every second; a pipe gets no line for that.
        step = text.partition(",")[0]
        if is_terminal:
            _write(f"{ERASE_LINE}{visible_line(f'{name}: {text}')}")
        elif step != last:
            _write(f"{name}: {text}\n")
        last = step

    try:
        yield show
    finally:
        if is_terminal and last:
            _write("\n")


def note(text: str) -> None:
    """Write a line for people; control characters of AWS's text are visible on a terminal."""
    _write(f"{visible(text) if _is_terminal() else text}\n")


def poll(longest: float) -> Iterator[float]:
    """Yield the seconds since the start, with pauses that grow from half a second to `longest` seconds."""
    start, pause = time.monotonic(), FIRST_PAUSE
    while True:
        yield time.monotonic() - start
        time.sleep(min(pause, longest))
        pause = min(pause * 1.5, longest)


def format_duration(seconds: float) -> str:
    """A duration for people: `40 s`, `12 min`, `5 h 10 min`."""
    minutes = int(seconds // 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _is_terminal() -> bool:
    return bool(sys.stderr) and sys.stderr.isatty()


def _write(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text)
        sys.stderr.flush()
