"""Ctrl-C and SIGTERM as requests: the run stops after the current step, with a checkpoint."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# SIGTERMs within this time are one request: a supervisor signals a whole group, whose launcher passes it on, and Linux
# signals a launcher's death once for each of its threads.
ONE_REQUEST_SECONDS = 1.0

stop_requested = threading.Event()


@contextmanager
def signals_as_requests() -> Iterator[None]:
    """Ctrl-C and SIGTERM set `stop_requested` in the block; the second one has its earlier effect."""
    stop_requested.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    first: dict[int, float] = {}

    def request_stop(number: int, frame: Any) -> None:
        stop_requested.set()
        since = time.monotonic() - first.setdefault(number, time.monotonic())
        if number == signal.SIGINT or since > ONE_REQUEST_SECONDS:
            signal.signal(number, earlier[signal.Signals(number)])
        if since > ONE_REQUEST_SECONDS:
            signal.raise_signal(number)

    for number in earlier:
        signal.signal(number, request_stop)
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
