"""Hugging Face's Trainer with our blocks, loss, optimizer, schedule and checkpoints; the loop itself is its own.

Several processes (torchrun, `accelerate launch`) share each step: every rank reads its part of it, and gradients and counts
are theirs together. What depends on a clock is rank 0's to say.
"""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import log
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from sagechain.pretraining.budget import Budget
from sagechain.pretraining.checkpoints import PARTIAL, publish, step_folder
from sagechain.pretraining.errors import Diverged, PretrainingError
from sagechain.pretraining.evaluating import Evaluation, evaluate, some_blocks
from sagechain.pretraining.manifest import write_json
from sagechain.pretraining.model import fast_precision, losses
from sagechain.pretraining.optimizer import optimizer_for
from sagechain.pretraining.settings import TrainingSettings
from sagechain.pretraining.tokens import Blocks, Order
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, IterableDataset
from transformers import (
    GPT2LMHeadModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import IntervalStrategy

JUDGED_BLOCKS = 64  # of the validation split, within the run
# A checkpoint is due when both are over; looked at every hundredth of the budget, so a little before 10 s and 5 %.
CHECKPOINT_SECONDS, CHECKPOINT_SHARE = 9.0, 0.04


class Meter(Protocol):
    """Follows a run."""

    def step(self, step: int, share: float, loss: float) -> None:
        """After each step: its number, the used share of the budget, nats a token."""

    def figures(self) -> dict[str, float]:
        """The speed so far, for the history."""


class Micro(IterableDataset[dict[str, torch.Tensor]]):
    """What one rank reads, from a step on, without end: batches of `device_batch` blocks."""

    def __init__(self, blocks: Blocks, order: Order, *, first_step: int, device_batch: int, rank: int, ranks: int):
        self._blocks, self._order, self._first = blocks, order, first_step
        self._device_batch, self._rank, self._ranks = device_batch, rank, ranks

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        step = self._first
        while True:
            numbers = self._order.step(step, rank=self._rank, ranks=self._ranks)
            for start in range(0, len(numbers), self._device_batch):
                inputs, targets = self._blocks.read(numbers[start : start + self._device_batch])
                shifted = torch.from_numpy(targets)
                # The Trainer counts the targets of a step in `shift_labels`, and looks for `labels` first.
                yield {"input_ids": torch.from_numpy(inputs), "labels": shifted, "shift_labels": shifted}
            step += 1


class BlockTrainer(Trainer):
    """A Trainer over blocks of tokens.

    Args:
        run: the run's folder.
        train, validation: the two splits.
        bytes_per_token: of each split.
        budget: the clock and the schedule.
        first_step: the step that the run goes on from.
        history: entries of the run so far; grows.
        meter: is told of each step, and asked for the speed.
        sample: what the model writes now, for the history.
        report_to: trackers of the Trainer.
        precision: `bf16` or `fp32`; of several processes rank 0's counts.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        *,
        run: Path,
        train: Blocks,
        validation: Blocks,
        bytes_per_token: dict[str, float],
        settings: TrainingSettings,
        budget: Budget,
        first_step: int,
        history: list[dict[str, Any]],
        meter: Meter,
        sample: Callable[[GPT2LMHeadModel], dict[str, str]] | None,
        report_to: str | list[str],
        precision: str,
    ) -> None:
        self.run, self.settings, self.budget, self.network = run, settings, budget, model
        self.train_blocks, self.validation_blocks, self.bytes_per_token = train, validation, bytes_per_token
        self.first_step, self.history, self.meter, self.sample = first_step, history, meter, sample
        self.sequences = settings.batch_tokens // train.context
        self.order = Order(len(train), batch=self.sequences, seed=settings.seed)
        on_gpu = torch.cuda.is_available()
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(run / "logs"))
        arguments = TrainingArguments(
            output_dir=str(run / PARTIAL),
            max_steps=budget.steps,
            use_cpu=not on_gpu,
            gradient_accumulation_steps=1,
            max_grad_norm=settings.clip,
            activation_checkpointing=settings.activation_checkpointing,
            torch_compile=on_gpu if settings.compile is None else settings.compile,
            save_strategy=IntervalStrategy.NO,
            logging_strategy=IntervalStrategy.NO,
            report_to=report_to,
            disable_tqdm=True,
            ignore_data_skip=True,
            average_tokens_across_devices=True,
            logging_nan_inf_filter=False,
            dataloader_num_workers=0,
            seed=settings.seed,
            ddp_backend="gloo" if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not on_gpu else None,
        )
        super().__init__(model, arguments)
        self.device_batch, accumulated = self._device_shares()
        arguments.gradient_accumulation_steps = accumulated
        self.remove_callback(PrinterCallback)  # it would print to standard output
        self.add_callback(_Steps(self))
        self.step_loss = 0.0
        self.precision = "bf16" if self.agreed(float(precision == "bf16")) else "fp32"

    def _device_shares(self) -> tuple[int, int]:
        """Sequences that a device takes at once, and how often in a step."""
        ranks = self.args.world_size
        if self.sequences < 1 or self.sequences % ranks:
            raise ValueError(
                f"batch_tokens: {self.settings.batch_tokens} are {self.sequences} sequences of {self.train_blocks.context}"
                f" tokens, which {ranks} processes cannot share evenly"
            )
        share = self.sequences // ranks
        at_once = min(self.settings.device_batch or share, share)
        if share % at_once:
            raise ValueError(f"device_batch: {at_once} does not divide a device's {share} sequences of a step")
        return at_once, share // at_once

    @property
    def was_interrupted(self) -> bool:
        """Whether Ctrl-C or SIGTERM ended the run."""
        return interrupted.is_set()

    def restore(self, checkpoint: Path, step: int) -> None:
        """Take the weights of a checkpoint, without training on."""
        interrupted.clear()
        self._load_from_checkpoint(str(checkpoint))
        self.state.global_step = step

    def get_train_dataloader(self) -> Any:
        micro = Micro(
            self.train_blocks,
            self.order,
            first_step=self.first_step,
            device_batch=self.device_batch,
            rank=self.args.process_index,
            ranks=self.args.world_size,
        )
        return DataLoader(micro, batch_size=None, pin_memory=torch.cuda.is_available())

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = optimizer_for(
                self.network,
                kind=self.settings.optimizer,
                learning_rate=self.settings.learning_rate,
                matrix_learning_rate=self.settings.matrix_learning_rate,
                weight_decay=self.settings.weight_decay,
                precision=self.precision,
            )
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        # The schedule asks for the rate of the step that comes; a run on a clock goes by what it shows now.
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(self.create_optimizer(), lambda step: self.budget.rate(self.share(step + 1)))
        return self.lr_scheduler

    def share(self, step: int) -> float:
        """The used share of the budget after so many steps; the same in every process."""
        share = self.budget.share(step)
        return float(self.agreed(share)) if self.settings.seconds else share

    def agreed(self, value: float) -> float:
        """Rank 0's value, in every process."""
        if self.args.world_size == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device="cpu" if not torch.cuda.is_available() else "cuda")
        torch.distributed.broadcast(told, 0)
        return float(told)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        with fast_precision(inputs["input_ids"].device, self.precision):
            logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
            nats = losses(logits, inputs["labels"]).sum()
        # Processes average their gradients, and each counts the targets of all.
        return nats * self.args.world_size / num_items_in_batch

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.step_loss += float(loss)
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        if not torch.isfinite(norm):
            step = self.state.global_step
            raise Diverged(
                f"training diverged at step {step + 1} ({(step + 1) * self.settings.batch_tokens:,} tokens): the gradient's"
                f" norm is {float(norm)}. The step read the blocks {self.order.step(step)} of the train split. The last "
                f"checkpoint is from before. Lower learning_rate and matrix_learning_rate and start a new run, or look at "
                "those blocks."
            )
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" not in logs and "val_bits_per_byte" not in logs and "sample" not in logs:
            return  # the Trainer's summary at its end, which counts epochs
        entry = {"tokens": self.state.global_step * self.settings.batch_tokens, "seconds": self.budget.seconds, **logs}
        if "loss" in logs:
            entry["bits_per_byte"] = logs["loss"] / log(2) / self.bytes_per_token["train"]
            entry |= self.meter.figures()
        self.history.append(entry)
        if "sample" not in logs:
            super().log(dict(entry))

    def _evaluate(self, trial: Any, ignore_keys_for_eval: Any, skip_scheduler: bool = False) -> dict[str, float]:
        with self.budget.paused():
            found = self.judged(some_blocks(self.validation_blocks, JUDGED_BLOCKS))
            self.log(found)
            if self.sample and self.is_world_process_zero():
                self.log({"sample": self.sample(self.network)})  # type: ignore[dict-item]
        return found

    def judged(self, numbers: list[int]) -> dict[str, float]:
        """Bits per byte and accuracy on blocks of the validation split, shared by the processes."""
        mine = numbers[self.args.process_index :: self.args.world_size]
        found = evaluate(self.network, self.validation_blocks, mine)
        sums = torch.tensor([[found.nats, found.right, found.targets]], dtype=torch.float64, device=self.args.device)
        nats, right, targets = self.accelerator.gather(sums).sum(0).tolist()
        whole = Evaluation(nats, int(right), int(targets))
        return {
            "val_bits_per_byte": whole.bits_per_byte(self.bytes_per_token["validation"]),
            "val_accuracy": whole.accuracy,
        }

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self.budget.paused():
            seconds, partial = self.budget.seconds, self.run / PARTIAL
            if self.is_world_process_zero():
                shutil.rmtree(partial, ignore_errors=True)
            self.accelerator.wait_for_everyone()
            with self._writing():
                super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                with self._writing():
                    written = partial / f"checkpoint-{self.state.global_step}"
                    write_json(written / "run.json", {"seconds": seconds, "history": self.history})
                    publish(written, step_folder(self.run, self.state.global_step), keep=self.settings.keep)
                    write_json(self.run / "history.json", self.history)
            self.accelerator.wait_for_everyone()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        # torch and safetensors have errors of their own for a full disk.
        except (OSError, RuntimeError, SafetensorError) as error:
            raise PretrainingError(
                f"the checkpoint at step {self.state.global_step} cannot be written in {self.run}: {error}. The one before "
                "is whole; make room, and give the same command again."
            ) from error


class _Steps(TrainerCallback):
    """After each step: is it time to log, to judge, to save, or to end?"""

    def __init__(self, trainer: BlockTrainer) -> None:
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
        trainer.meter.step(state.global_step, share, trainer.step_loss)
        trainer.step_loss = 0.0
        ended = share >= 1 or bool(trainer.agreed(float(interrupted.is_set())))
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
        is_due = bool(self._trainer.agreed(float(is_due)))
        if is_due:
            self._saved_share, self._saved_seconds = share, seconds
        return is_due


interrupted = threading.Event()


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the step it is in, with a checkpoint; a second Ctrl-C ends it at once."""
    interrupted.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        signal.signal(number, before[signal.Signals(number)])
        interrupted.set()

    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
