"""The Trainer's own arguments for a run. Their construction joins the processes of a launcher, if there is one."""

from pathlib import Path

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy
from transformers.utils import logging

from ..launcher import ranks
from .checkpoints import PARTIAL
from .settings import TrainingSettings, device_shares


def training_arguments(
    run: Path, settings: TrainingSettings, *, context: int, report_to: str | list[str]
) -> TrainingArguments:
    """The arguments, without the number of steps, which the trainer sets from its budget.

    Args:
        run: the run's folder.
        settings: of the run.
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
