"""Waiting for a change in another process or thread that sends no signal when it happens."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Check a condition repeatedly.

    Raises:
        AssertionError: the condition is still false after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition is still false after {seconds:.1f} s"
        time.sleep(0.005)
