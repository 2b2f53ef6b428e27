"""Hugging Face's Trainer with our blocks, loss, optimizer, schedule and checkpoints; the loop itself is its own.

Several processes (torchrun, `accelerate launch`) share each step: every rank reads its part of it, and gradients and counts
are theirs together. What depends on a clock is rank 0's to say.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import log
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from transformers import GPT2LMHeadModel, PrinterCallback, Trainer, TrainingArguments

from ..data.tokens import BlockOrder, Blocks
from ..errors import Diverged, PretrainingError
from ..manifest import write_json
from .batches import Batches
from .budget import Budget
from .checkpoints import PARTIAL, publish, step_folder
from .evaluate import BLOCKS_AT_ONCE, Evaluation, evaluate, some_blocks
from .metrics import Meter
from .model import fast_precision, losses
from .optimizer import optimizer_for
from .processes import Processes
from .schedule import Pacing
from .settings import TrainingSettings

JUDGED_BLOCKS = 64  # of the validation split, within the run


class BlockTrainer(Trainer):
    """A Trainer over blocks of tokens.

    Args:
        arguments: of this run (`arguments.py`).
        run: the run's folder.
        processes: those that share each step.
        train, validation: the two splits.
        bytes_per_token: of each split.
        budget: the clock and the schedule.
        first_step: the step that the run goes on from.
        history: entries of the run so far; grows.
        meter: is told of each step, and asked for the speed.
        sample: what the model writes now, for the history.
        precision: `bf16` or `fp32`; of several processes rank 0's counts.
    """

    def __init__(
        self,
        model: GPT2LMHeadModel,
        arguments: TrainingArguments,
        *,
        run: Path,
        processes: Processes,
        train: Blocks,
        validation: Blocks,
        bytes_per_token: dict[str, float],
        settings: TrainingSettings,
        budget: Budget,
        first_step: int,
        history: list[dict[str, Any]],
        meter: Meter,
        sample: Callable[[GPT2LMHeadModel], dict[str, str]] | None,
        precision: str,
    ) -> None:
        self.run, self.settings, self.budget, self.network = run, settings, budget, model
        self.train_blocks, self.validation_blocks, self.bytes_per_token = train, validation, bytes_per_token
        self.first_step, self.history, self.meter, self.sample = first_step, history, meter, sample
        self.processes = processes
        self.order = BlockOrder(len(train), batch=settings.batch_tokens // train.context, seed=settings.seed)
        # The head is the embedding and lies in no checkpoint; a run that goes on would warn that it is missing.
        model._keys_to_ignore_on_save = {"lm_head.weight"}
        arguments.max_steps = budget.steps
        with _logs_in(run / "logs"):
            super().__init__(model, arguments)
        self.remove_callback(PrinterCallback)  # it would print to standard output
        self.add_callback(Pacing(self))
        self.device_batch = arguments.per_device_train_batch_size
        self.was_interrupted = False  # by Ctrl-C or SIGTERM, in whichever process
        self.step_loss = torch.zeros((), device=arguments.device)
        self.precision = "bf16" if self.processes.agreed(float(precision == "bf16")) else "fp32"

    def restore(self, checkpoint: Path, step: int) -> None:
        """Take the weights of a checkpoint, without training on."""
        self._load_from_checkpoint(str(checkpoint))
        self.state.global_step = step

    def get_train_dataloader(self) -> Any:
        batches = Batches(
            self.train_blocks,
            self.order,
            first_step=self.first_step,
            device_batch=self.device_batch,
            rank=self.args.process_index,
            ranks=self.args.world_size,
        )
        # A generator of its own: a loader draws a number when it begins, from dropout's generator where it has none, and a
        # run that goes on begins once more.
        return DataLoader(batches, batch_size=None, pin_memory=torch.cuda.is_available(), generator=torch.Generator())

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = optimizer_for(
                self.network,
                kind=self.settings.optimizer,
                learning_rate=self.settings.learning_rate,
                matrix_learning_rate=self.settings.matrix_learning_rate,
                adam_beta2=self.settings.adam_beta2,
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
        return self.processes.agreed(share) if self.settings.seconds else share

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
        self.step_loss += loss  # no number yet: on a GPU that would wait for each part of a step
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
        at_once = min(BLOCKS_AT_ONCE, self.device_batch)  # what fits while training fits now
        found = evaluate(self.network, self.validation_blocks, mine, precision=self.precision, at_once=at_once)
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
            with self.writing("checkpoint"):
                super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                with self.writing("checkpoint"):
                    written = partial / f"checkpoint-{self.state.global_step}"
                    write_json(written / "run.json", {"seconds": seconds, "history": self.history})
                    publish(written, step_folder(self.run, self.state.global_step), keep=self.settings.keep)
                    write_json(self.run / "history.json", self.history)
            self.accelerator.wait_for_everyone()

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Raises PretrainingError where a checkpoint, or the model, cannot be written."""
        try:
            yield
        # torch and safetensors have errors of their own for a full disk.
        except (OSError, RuntimeError, SafetensorError) as error:
            raise PretrainingError(
                f"the {what} at step {self.state.global_step} cannot be written in {self.run}: {error}. The checkpoint "
                "before is whole; make room, and give the same command again."
            ) from error


@contextmanager
def _logs_in(folder: Path) -> Iterator[None]:
    """TensorBoard's events go there, where nobody said otherwise; its callback looks once, when it is made."""
    name = "TENSORBOARD_LOGGING_DIR"
    is_told = name in os.environ
    os.environ.setdefault(name, str(folder))
    try:
        yield
    finally:
        if not is_told:
            del os.environ[name]
