"""After each step of a run: is it time to log, to judge, to save, or to end?"""

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from .stopping import asked_to_end

if TYPE_CHECKING:
    from .loop import BlockTrainer

# A checkpoint is due when both are over; looked at every hundredth of the budget, so a little before 10 s and 5 %.
CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 9.0, 0.04


class Pacing(TrainerCallback):
    """A callback that asks the budget and the clock, and does so alike in every process."""

    def __init__(self, trainer: "BlockTrainer") -> None:
        self._trainer, self._settings = trainer, trainer.settings
        self._percent = self._evaluations = 0
        self._saved_share, self._saved_seconds = 0.0, 0.0

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._trainer.budget.begin()
        share = self._trainer.share(state.global_step)
        self._saved_share, self._saved_seconds = share, self._trainer.budget.seconds
        self._percent, self._evaluations = int(share * 100), int(share * (self._settings.evaluations + 1))

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        trainer = self._trainer
        share = trainer.share(state.global_step)
        trainer.meter.step(state.global_step, share, float(trainer.step_loss))
        trainer.step_loss.zero_()
        trainer.was_interrupted = trainer.processes.in_any(asked_to_end.is_set())
        ended = share >= 1 or trainer.was_interrupted
        if int(share * 100) > self._percent or ended:
            self._percent = int(share * 100)
            control.should_log = True
            control.should_save = ended or self._is_checkpoint_due(share)
        if not ended and int(share * (self._settings.evaluations + 1)) > self._evaluations:
            self._evaluations = int(share * (self._settings.evaluations + 1))
            control.should_evaluate = True
        control.should_training_stop = ended

    def _is_checkpoint_due(self, share: float) -> bool:
        seconds = self._trainer.budget.seconds
        is_due = share - self._saved_share >= CHECKPOINT_SHARE and seconds - self._saved_seconds >= CHECKPOINT_SECONDS
        is_due = bool(self._trainer.processes.agreed(float(is_due)))
        if is_due:
            self._saved_share, self._saved_seconds = share, seconds
        return is_due
