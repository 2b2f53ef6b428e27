"""The figures of a run while it goes on: loss, tokens a second, the share of the machine's limit, the time that is left."""

import math

from ..display import ShowProgress, format_duration
from .budget import Budget

SMOOTHING = 0.95  # of the loss that is shown


class Meter:
    """Follows a run, and shows how far it is.

    Args:
        show: a display.
        budget: the run's clock.
        batch_tokens: tokens of a step.
        bytes_per_token: of the train split.
        flops: FLOP of a token.
        devices: how many share the work.
    """

    def __init__(
        self,
        show: ShowProgress,
        budget: Budget,
        *,
        batch_tokens: int,
        bytes_per_token: float,
        flops: int,
        devices: int,
    ) -> None:
        self._show, self._budget = show, budget
        self._batch_tokens, self._bytes_per_token = batch_tokens, bytes_per_token
        self._flops, self._devices = flops, devices
        self._first = self._step = 0
        self._seconds_before = self._loss = 0.0
        self.limit = math.inf

    def begin(self, step: int, limit: float) -> None:
        """The step that the run goes on from, and what one device could do: FLOP a second."""
        self._first = self._step = step
        self.limit = limit

    def step(self, step: int, share: float, loss: float) -> None:
        """After each step: its number, the used share of the budget, nats a token."""
        if step == self._first + 1:
            self._seconds_before = self._budget.seconds
        self._loss = loss if not self._loss else SMOOTHING * self._loss + (1 - SMOOTHING) * loss
        self._step = step
        bits = self._loss / math.log(2) / self._bytes_per_token
        left = (1 - share) * self._budget.seconds / share if share else 0.0
        text = f"loss {self._loss:.2f}  {bits:.2f} bits/byte  {self._rate():,.0f} tokens/s"
        if mfu := self._mfu():
            text += f"  {mfu:.0%} of this machine's limit"
        self._show(share, f"{text}  {format_duration(left)} left")

    def figures(self) -> dict[str, float]:
        """The speed so far; nothing where no step was measured."""
        return {"tokens_per_second": self._rate(), "mfu": self._mfu()} if self._rate() else {}

    def _rate(self) -> float:
        """Tokens a second since this start, its first step not counted."""
        seconds = self._budget.seconds - self._seconds_before
        steps = self._step - self._first - 1
        return steps * self._batch_tokens / seconds if steps > 0 and seconds > 0 else 0.0

    def _mfu(self) -> float:
        """The share of the limit of all devices that the model's own arithmetic makes use of (PaLM, arXiv 2204.02311)."""
        return self._rate() * self._flops / (self.limit * self._devices)
