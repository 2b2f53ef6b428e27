"""One time limit over several steps: attempts, waits, and the reads of a reply."""

import time
from collections.abc import Callable


class Deadline:
    """A time limit that starts now.

    Args:
        seconds: the whole time.
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock = seconds, clock
        self.restart()

    def restart(self) -> None:
        """Start the whole time again."""
        self._end = self._clock() + self.seconds

    def remaining(self) -> float:
        """Seconds until the deadline; 0 once it has passed."""
        return max(0.0, self._end - self._clock())
