"""The process time that one entry point needs for each kind of text, as JSON: `python -m tests.growth.measure ENTRY SIZE`.

Each text is read in a process of its own, forked from this one, with a limit on its CPU time.
"""

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from statistics import median
from typing import Any

from sagechain.llms.errors import LLMError

from .entry_points import ENTRY_POINTS
from .texts import KINDS

CPU_LIMIT = 10  # seconds
NEGLIGIBLE = 0.05  # seconds: below, the ratio of two times is noise
MOST = 3.0  # times the process time for a text of twice the size


def main() -> None:
    """Print kind → `[seconds for a text of SIZE / 2, seconds for SIZE]`, null where the limit was reached."""
    entry, size = sys.argv[1], int(sys.argv[2])
    slow: dict[str, Any] = {}
    for kind, text in KINDS.items():
        seconds = _seconds(ENTRY_POINTS[entry], text, size)
        if seconds is None or not _is_linear(*seconds):
            slow[kind] = seconds
    print(json.dumps(slow))


def _seconds(read: Callable[[str], Any], text: Callable[[int], str], size: int) -> tuple[float, float] | None:
    """The times for both sizes; medians of three where one measurement looks too slow."""
    times: list[tuple[float, float]] = []
    while not times or (len(times) < 3 and not _is_linear(*times[0])):
        large = _process_time(read, text(size))
        small = _process_time(read, text(size // 2)) if large is None or large > NEGLIGIBLE else 0.0
        if small is None or large is None:
            return None
        times.append((small, large))
    small, large = (median(each) for each in zip(*times, strict=True))
    return small, large


def _is_linear(small: float, large: float) -> bool:
    return large <= max(NEGLIGIBLE, MOST * small)


def _process_time(read: Callable[[str], Any], text: str) -> float | None:
    """Seconds of CPU; None if the limit ended the process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _report_time(read, text, writer)
        finally:
            if (error := sys.exc_info()[1]) is not None:
                traceback.print_exception(error)
            os._exit(error is not None)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        seconds = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code <= 0, f"reading {text[:40]!r}… raised neither a ValueError nor an LLMError"
    return float(seconds) if code == 0 else None


def _report_time(read: Callable[[str], Any], text: str, writer: int) -> None:
    """Read the text and write the seconds."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
    started = time.process_time()
    with suppress(ValueError, LLMError):
        read(text)
    os.write(writer, repr(time.process_time() - started).encode())


if __name__ == "__main__":
    main()
