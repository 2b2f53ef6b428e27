"""What follows each step of a run: a line in the log, an evaluation, a checkpoint, or the end."""

from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from .budget import Budget
from .metrics import Metrics
from .processes import Processes
from .stopping import stop_requested

# A checkpoint is due when both have passed; checked at every hundredth of the budget, so slightly below 10 s and 5 %.
CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 9.0, 0.04


class Schedule(TrainerCallback):
    """Decides after each step, the same in every process.

    Args:
        budget: the clock and the used share.
        metrics: receives each step.
        processes: the processes of the run.
        evaluations: evaluations within the budget.
        step_loss: the loss of the current step, a tensor that the trainer adds to; reset here.
    """

    def __init__(
        self, budget: Budget, metrics: Metrics, processes: Processes, *, evaluations: int, step_loss: torch.Tensor
    ) -> None:
        self._budget, self._metrics, self._processes = budget, metrics, processes
        self._evaluations, self._step_loss = evaluations, step_loss
        self._percent = self._evaluated = 0
        self._saved_share, self._saved_seconds = 0.0, 0.0
        self.was_interrupted = False
        """Whether Ctrl-C or SIGTERM ended the run, in any process."""

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._budget.start()
        share = self._budget.share(state.global_step)
        self._saved_share, self._saved_seconds = share, self._budget.seconds
        self._percent, self._evaluated = int(share * 100), int(share * (self._evaluations + 1))

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        share = self._budget.share(state.global_step)
        self._metrics.record_step(state.global_step, share, float(self._step_loss))
        self._step_loss.zero_()
        self.was_interrupted = self._processes.any(stop_requested.is_set())
        is_end = share >= 1 or self.was_interrupted
        if int(share * 100) > self._percent or is_end:
            self._percent = int(share * 100)
            control.should_log = True
            control.should_save = is_end or self._is_checkpoint_due(share)
        if not is_end and int(share * (self._evaluations + 1)) > self._evaluated:
            self._evaluated = int(share * (self._evaluations + 1))
            control.should_evaluate = True
        control.should_training_stop = is_end

    def _is_checkpoint_due(self, share: float) -> bool:
        seconds = self._budget.seconds
        is_due = share - self._saved_share >= CHECKPOINT_SHARE and seconds - self._saved_seconds >= CHECKPOINT_SECONDS
        is_due = bool(self._processes.agreed(float(is_due)))
        if is_due:
            self._saved_share, self._saved_seconds = share, seconds
        return is_due
