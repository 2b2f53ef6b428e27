"""Waiting for what nothing tells this side of."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Look again and again.

    Raises:
        AssertionError: it has not come about within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it has not come about in {seconds:.1f} s"
        time.sleep(0.005)
