"""How far a run is: in tokens, or on a clock that stands still while the model is judged or saved."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, cos, pi

from .settings import TrainingSettings

WITHOUT_END = 1 << 40  # steps; the clock ends the run


class Budget:
    """The share of the budget that is used up, and the rate that belongs to it.

    Args:
        settings: the budget, in tokens or seconds; warm-up and schedule.
        seconds: what the clock showed at the checkpoint that the run goes on from.
    """

    def __init__(self, settings: TrainingSettings, *, seconds: float = 0.0) -> None:
        self._settings = settings
        self._before, self._began = seconds, 0.0
        self.steps = ceil(settings.tokens / settings.batch_tokens) if settings.tokens else WITHOUT_END
        self._stopped: float | None = None

    def begin(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Of training, those before the last start among them."""
        return self._before + (self._stopped or time.monotonic()) - self._began

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The clock stands still meanwhile."""
        self._stopped = time.monotonic()
        try:
            yield
        finally:
            self._began += time.monotonic() - self._stopped
            self._stopped = None

    def share(self, step: int) -> float:
        """How much of the budget is used up after so many steps, from 0 to 1."""
        if self._settings.seconds:
            return min(self.seconds / self._settings.seconds, 1.0)
        return min(step / self.steps, 1.0)

    def rate(self, share: float) -> float:
        """The learning rate at a share of the budget, as a part of the highest."""
        warmup = self._settings.warmup
        if share < warmup:
            return share / warmup
        left = (1 - share) / (1 - warmup)
        return left if self._settings.schedule == "linear" else (1 - cos(pi * left)) / 2
