"""Signals while a model loads: xllamacpp 2026.10 holds Python's lock until the weights are read, and replaces handlers.

So no handler of Python runs during a load, and Ctrl-C has no effect before its end. A program whose work may end there,
as a command's may, gives Ctrl-C the system's default action for that time:

    with ctrl_c_ends_loading():
        command()                # Ctrl-C ends the process at once while it loads a model, and is Python's otherwise
"""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LARGE = 500_000_000  # bytes: from here on a load is announced, because it takes seconds, or minutes from a slow disk
SIGACTION_BYTES = 512  # enough for any platform's `struct sigaction`
_programs: list[object] = []  # one for each `ctrl_c_ends_loading` that is open


@contextmanager
def ctrl_c_ends_loading() -> Iterator[None]:
    """While it is open, Ctrl-C during a load ends the process, and that of a large file is announced on standard error."""
    program = object()
    _programs.append(program)
    try:
        yield
    finally:
        _programs.remove(program)


@contextmanager
def signals_while_loading(path: Path) -> Iterator[None]:
    """Restore the handlers of SIGINT and SIGTERM that loading a model replaces; works in any thread."""
    if _programs and path.stat().st_size >= LARGE:
        print(f"Loading {path.name} … (Ctrl-C ends the program)", file=sys.stderr, flush=True)
    if os.name == "nt":
        yield
        return
    libc = ctypes.CDLL(None)
    saved = {number: ctypes.create_string_buffer(SIGACTION_BYTES) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, action in saved.items():
        libc.sigaction(int(number), None, action)
    if _programs and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        libc.signal(int(signal.SIGINT), ctypes.c_void_p(int(signal.SIG_DFL)))
    try:
        yield
    finally:
        for number, action in saved.items():
            libc.sigaction(int(number), action, None)
