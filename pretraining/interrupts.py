"""Ctrl-C and SIGTERM as a wish: a run that is asked to end does so after the step it is in, with a checkpoint."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

asked_to_end = threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM set `asked_to_end` meanwhile; the same signal once more does what it did before."""
    asked_to_end.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        signal.signal(number, before[signal.Signals(number)])
        asked_to_end.set()

    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
