"""SIGTERM and SIGHUP as exceptions, so that blocks are left and endpoints deleted."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Raise SystemExit on SIGTERM, and on SIGHUP when the terminal closes.

    Only in the main thread, and only for signals that the program does not handle itself.
    """
    replaced: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        replaced = [each for each in SIGNALS if signal.getsignal(each) == signal.SIG_DFL]

    def restore() -> None:
        for each in replaced:
            signal.signal(each, signal.SIG_DFL)

    def exit_program(number: int, frame: Any) -> None:
        restore()
        raise SystemExit(128 + number)

    for each in replaced:
        signal.signal(each, exit_program)
    try:
        yield
    finally:
        restore()
