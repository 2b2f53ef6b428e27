"""The processes of a launcher (torchrun, `accelerate launch`): how they join, and how they communicate.

Without a launcher there is one process.
"""

from datetime import timedelta
from pathlib import Path

import torch
from torch import distributed
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy
from transformers.utils import logging

from ..launcher import ranks
from .checkpoints import PARTIAL
from .settings import TrainingSettings, device_shares

# The first process may search all training data meanwhile, which takes longer than NCCL's 30 minutes.
MAX_WAIT = timedelta(days=1)


def training_arguments(
    run: Path, settings: TrainingSettings, *, context: int, report_to: str | list[str]
) -> TrainingArguments:
    """The Trainer's own arguments; their construction joins the processes. The trainer sets the number of steps.

    Args:
        run: the run's folder.
        context: tokens of a sequence.
        report_to: trackers of the Trainer.

    Raises:
        ValueError: the processes, or `device_batch`, do not divide a step's sequences.
    """
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    on_gpu = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=str(run / PARTIAL),
        use_cpu=not on_gpu,
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
        ddp_backend="gloo" if ranks() > 1 and not on_gpu else None,
        # Every weight is used in every step, and a GPT-2's buffers never change.
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
    )
    # Without a launcher the Trainer would spread a step over all GPUs by DataParallel, which is slower than one GPU alone.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    shares = device_shares(settings.batch_tokens, context, arguments.world_size, settings.device_batch)
    arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps = shares
    return arguments


class Processes:
    """The processes of a run. Every process must call each method, in the same order.

    Args:
        arguments: this process's Trainer arguments, whose construction joined the other processes.
    """

    def __init__(self, arguments: TrainingArguments) -> None:
        self.count, self.is_first = arguments.world_size, arguments.process_index == 0
        self._device = arguments.device
        self._gloo = distributed.new_group(backend="gloo", timeout=MAX_WAIT) if self.count > 1 else None

    def agreed(self, value: float) -> float:
        """The first process's value, in every process."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self._device)
        distributed.broadcast(shared, 0)
        return float(shared)

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in at least one process."""
        if self.count == 1:
            return flag
        shared = torch.tensor([float(flag)], device=self._device)
        distributed.all_reduce(shared, distributed.ReduceOp.MAX)
        return bool(shared)

    def differ(self, value: float) -> bool:
        """Whether a process has another value than the first."""
        return self.any(self.agreed(value) != value)

    def wait(self) -> None:
        """Wait until every process is here, however long one of them takes."""
        if self._gloo is not None:
            distributed.barrier(self._gloo)
