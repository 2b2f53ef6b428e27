"""The figures of a running training: loss, tokens a second, share of the machine's limit, remaining time."""

import math

from ..display import ShowProgress, format_duration
from .budget import Budget

SMOOTHING = 0.95  # of the displayed loss


class Metrics:
    """Records the steps of a run and shows its progress.

    Args:
        show: the display.
        budget: the run's clock.
        batch_tokens: tokens of a step.
        bytes_per_token: of the train split.
        flops: FLOP for one token.
        devices: the number of devices that share the work.
        first_step: the step that the run resumes from.
        limit: what one device can do, in FLOP a second.
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
        first_step: int,
        limit: float,
    ) -> None:
        self._show, self._budget = show, budget
        self._batch_tokens, self._bytes_per_token = batch_tokens, bytes_per_token
        self._flops, self._devices = flops, devices
        self._first_step = self._last_step = first_step
        self._seconds_before = self._loss = 0.0
        self.limit = limit

    def record_step(self, step: int, share: float, loss: float) -> None:
        """Record a finished step.

        Args:
            step: its number.
            share: the used share of the budget.
            loss: nats a token.
        """
        if step == self._first_step + 1:
            self._seconds_before = self._budget.seconds
        self._loss = loss if not self._loss else SMOOTHING * self._loss + (1 - SMOOTHING) * loss
        self._last_step = step
        bits = self._loss / math.log(2) / self._bytes_per_token
        remaining = (1 - share) * self._budget.seconds / share if share else 0.0
        text = f"loss {self._loss:.2f}  {bits:.2f} bits/byte  {self._rate():,.0f} tokens/s"
        if mfu := self._mfu():
            text += f"  {mfu:.0%} of this machine's limit"
        self._show(share, f"{text}  {format_duration(remaining)} left")

    def speed(self) -> dict[str, float]:
        """Tokens a second and model FLOP utilisation so far; empty before a step was measured."""
        return {"tokens_per_second": self._rate(), "mfu": self._mfu()} if self._rate() else {}

    def _rate(self) -> float:
        """Tokens a second since the start, without the first step."""
        seconds = self._budget.seconds - self._seconds_before
        steps = self._last_step - self._first_step - 1
        return steps * self._batch_tokens / seconds if steps > 0 and seconds > 0 else 0.0

    def _mfu(self) -> float:
        """Model FLOP utilisation: the share of all devices' limit that the model's own arithmetic uses.

        Source: PaLM (arXiv 2204.02311).
        """
        return self._rate() * self._flops / (self.limit * self._devices)
