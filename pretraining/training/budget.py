"""The budget of a run, in tokens or in seconds of a clock that is paused during evaluations and checkpoints."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, cos, pi

from .processes import Processes
from .settings import TrainingSettings

UNLIMITED = 1 << 40  # steps; the clock ends the run


class Budget:
    """The used share of the budget, and the learning rate at that share.

    Args:
        settings: the budget, warm-up and schedule.
        processes: of a budget in seconds the first one's clock counts, in every process.
        seconds: the clock's value at the checkpoint that the run resumes from.
    """

    def __init__(self, settings: TrainingSettings, processes: Processes, *, seconds: float = 0.0) -> None:
        self._settings, self._processes = settings, processes
        self._earlier_seconds, self._start = seconds, 0.0
        self._paused_at: float | None = None
        self.steps = ceil(settings.tokens / settings.batch_tokens) if settings.tokens else UNLIMITED

    def start(self) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of training, those before a resume included."""
        return self._earlier_seconds + (self._paused_at or time.monotonic()) - self._start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the clock."""
        self._paused_at = time.monotonic()
        try:
            yield
        finally:
            self._start += time.monotonic() - self._paused_at
            self._paused_at = None

    def share(self, step: int) -> float:
        """The used share of the budget after a number of steps, from 0 to 1; the same in every process."""
        if self._settings.seconds:
            return self._processes.agreed(min(self.seconds / self._settings.seconds, 1.0))
        return min(step / self.steps, 1.0)

    def learning_rate(self, share: float) -> float:
        """The learning rate at a share of the budget, relative to its maximum."""
        warmup = self._settings.warmup
        if share < warmup:
            return share / warmup
        remaining = (1 - share) / (1 - warmup)
        return remaining if self._settings.schedule == "linear" else (1 - cos(pi * remaining)) / 2
