"""Ctrl-C and SIGTERM as a wish: a run that is asked to end does so after the step it is in, with a checkpoint."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# SIGTERMs this near one another are one: a supervisor tells a whole group, whose launcher passes it on; and Linux tells of
# a launcher's death once for each of its threads.
ONE_WISH = 1.0  # seconds

asked_to_end = threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM set `asked_to_end` meanwhile; the same signal once more does what it did before."""
    asked_to_end.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    first: dict[int, float] = {}

    def ask(number: int, frame: Any) -> None:
        asked_to_end.set()
        since = time.monotonic() - first.setdefault(number, time.monotonic())
        if number == signal.SIGINT or since > ONE_WISH:
            signal.signal(number, before[signal.Signals(number)])
        if since > ONE_WISH:
            signal.raise_signal(number)

    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
