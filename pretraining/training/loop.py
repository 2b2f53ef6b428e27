"""The training loop: Hugging Face's Trainer over blocks of tokens, with its own loss, optimizer, schedule and checkpoints.

Several processes (torchrun, `accelerate launch`) share each step: every rank reads its part, and gradients and counts are
combined. Decisions that depend on a clock are the first process's.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from math import log
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, IterableDataset
from transformers import GPT2LMHeadModel, PrinterCallback, Trainer, TrainingArguments

from ..data.tokens import BlockOrder, Blocks
from ..errors import Diverged, PretrainingError
from ..manifest import write_json
from .budget import Budget
from .checkpoints import PARTIAL, checkpoint_folder, publish
from .evaluate import MAX_BATCH, Evaluation, evaluate, evenly_spread_blocks
from .metrics import Metrics
from .model import losses
from .optimizer import create_optimizer
from .precision import Precision, autocast
from .processes import Processes
from .schedule import Schedule
from .settings import TrainingSettings

EVALUATION_BLOCKS = 64  # of the validation split, during the run


class Batches(IterableDataset[dict[str, torch.Tensor]]):
    """An endless stream of batches of `device_batch` blocks for one of several ranks, from a step on."""

    def __init__(self, blocks: Blocks, order: BlockOrder, *, first_step: int, device_batch: int, rank: int, ranks: int):
        self._blocks, self._order, self._first_step = blocks, order, first_step
        self._device_batch, self._rank, self._ranks = device_batch, rank, ranks

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for step in count(self._first_step):
            numbers = self._order.step(step, rank=self._rank, ranks=self._ranks)
            for start in range(0, len(numbers), self._device_batch):
                inputs, targets = self._blocks.read(numbers[start : start + self._device_batch])
                labels = torch.from_numpy(targets)
                # The Trainer counts the targets of a step in `shift_labels`, and looks for `labels` first.
                yield {"input_ids": torch.from_numpy(inputs), "labels": labels, "shift_labels": labels}


class BlockTrainer(Trainer):
    """A Trainer over blocks of tokens.

    Args:
        model: the model to train.
        arguments: the Trainer's own (`processes.py`).
        run: the run's folder.
        processes: the processes that share each step.
        train, validation: the two splits.
        bytes_per_token: of each split.
        settings: of the training.
        budget: the clock and the used share.
        first_step: the step that the run resumes from.
        history: the run's entries so far; grows.
        metrics: receives each step.
        sample: returns a text that the model writes, for the history; None: no samples.
        precision: of products of matrices, the same in every process.
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
        metrics: Metrics,
        sample: Callable[[GPT2LMHeadModel], dict[str, str]] | None,
        precision: Precision,
    ) -> None:
        self.run, self.settings, self.budget, self.network = run, settings, budget, model
        self.train_blocks, self.validation_blocks, self.bytes_per_token = train, validation, bytes_per_token
        self.first_step, self.history, self.metrics, self.sample = first_step, history, metrics, sample
        self.precision = precision
        self.order = BlockOrder(len(train), batch=settings.batch_tokens // train.context, seed=settings.seed)
        # The head shares the embedding's weights and is in no checkpoint; a resumed run would warn that it is missing.
        model._keys_to_ignore_on_save = {"lm_head.weight"}
        arguments.max_steps = budget.steps
        with _tensorboard_in(run / "logs"):
            super().__init__(model, arguments)
        self.step_loss = torch.zeros((), device=arguments.device)
        self.schedule = Schedule(budget, metrics, processes, evaluations=settings.evaluations, step_loss=self.step_loss)
        self.remove_callback(PrinterCallback)  # it would print to standard output
        self.add_callback(self.schedule)
        self.device_batch = arguments.per_device_train_batch_size

    def restore(self, checkpoint: Path, step: int) -> None:
        """Load the weights of a checkpoint without training."""
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
        # A loader draws a number at its start, from dropout's generator if it has none, and a resumed run starts once more:
        # with its own generator the run resumes exactly.
        return DataLoader(batches, batch_size=None, pin_memory=torch.cuda.is_available(), generator=torch.Generator())

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = create_optimizer(self.network, self.settings, self.precision)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self.lr_scheduler is None:

            def learning_rate(step: int) -> float:
                # Of the next step. A budget in seconds uses the clock's current value.
                return self.budget.learning_rate(self.budget.share(step + 1))

            self.lr_scheduler = LambdaLR(self.create_optimizer(), learning_rate)
        return self.lr_scheduler

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        with autocast(inputs["input_ids"].device, self.precision):
            logits = model(input_ids=inputs["input_ids"], use_cache=False).logits
            nats = losses(logits, inputs["labels"]).sum()
        # Processes average their gradients, and each counts the targets of all.
        return nats * self.args.world_size / num_items_in_batch

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.step_loss += loss  # a tensor: reading its value would make a GPU wait for each part of a step
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
            entry |= self.metrics.speed()
        self.history.append(entry)
        if "sample" not in logs:
            super().log(dict(entry))

    def _evaluate(self, trial: Any, ignore_keys_for_eval: Any, skip_scheduler: bool = False) -> dict[str, float]:
        with self.budget.paused():
            scores = self.scores(evenly_spread_blocks(self.validation_blocks, EVALUATION_BLOCKS))
            self.log(scores)
            if self.sample and self.is_world_process_zero():
                self.log({"sample": self.sample(self.network)})  # type: ignore[dict-item]
        return scores

    def scores(self, numbers: list[int]) -> dict[str, float]:
        """Bits per byte and accuracy on blocks of the validation split, which the processes share."""
        own = numbers[self.args.process_index :: self.args.world_size]
        batch = min(MAX_BATCH, self.device_batch)  # fits beside the training
        evaluation = evaluate(self.network, self.validation_blocks, own, precision=self.precision, batch=batch)
        sums = torch.tensor(
            [[evaluation.nats, evaluation.correct, evaluation.targets]], dtype=torch.float64, device=self.args.device
        )
        nats, correct, targets = self.accelerator.gather(sums).sum(0).tolist()
        total = Evaluation(nats, int(correct), int(targets))
        return {
            "val_bits_per_byte": total.bits_per_byte(self.bytes_per_token["validation"]),
            "val_accuracy": total.accuracy,
        }

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        with self.budget.paused():
            seconds, partial = self.budget.seconds, self.run / PARTIAL
            if self.is_world_process_zero():
                shutil.rmtree(partial, ignore_errors=True)
            self.accelerator.wait_for_everyone()
            with self.report_write_errors("checkpoint"):
                super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                with self.report_write_errors("checkpoint"):
                    checkpoint = partial / f"checkpoint-{self.state.global_step}"
                    write_json(checkpoint / "run.json", {"seconds": seconds, "history": self.history})
                    publish(checkpoint, checkpoint_folder(self.run, self.state.global_step), keep=self.settings.keep)
                    write_json(self.run / "history.json", self.history)
            self.accelerator.wait_for_everyone()

    @contextmanager
    def report_write_errors(self, what: str) -> Iterator[None]:
        """Raise PretrainingError if the block cannot write the checkpoint or the model."""
        try:
            yield
        # torch and safetensors have their own errors for a full disk.
        except (OSError, RuntimeError, SafetensorError) as error:
            raise PretrainingError(
                f"the {what} at step {self.state.global_step} cannot be written in {self.run}: {error}. The previous "
                "checkpoint is complete; make room, and give the same command again."
            ) from error


@contextmanager
def _tensorboard_in(folder: Path) -> Iterator[None]:
    """The default folder of TensorBoard's events; its callback reads the variable once, at its construction."""
    name = "TENSORBOARD_LOGGING_DIR"
    is_set = name in os.environ
    os.environ.setdefault(name, str(folder))
    try:
        yield
    finally:
        if not is_set:
            del os.environ[name]
