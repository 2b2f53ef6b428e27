"""Train a GPT-2 on prepared data: `train("data", "run", preset="demo")`.

A run is a folder. A second call with the same settings goes on at its newest checkpoint, or does nothing where it is done:

    manifest.json   settings, hashes, figures
    history.json    loss, rate, speed, judgements and samples, oldest first
    checkpoints/    the newest few, each whole
    model/          at the end: an ordinary `GPT2LMHeadModel` with its tokenizer

On several GPUs or machines: `torchrun --nproc-per-node 8 -m sagechain.apps.cli pretrain train …`, or `accelerate launch`.
"""

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagechain.pretraining.checkpoints import latest_checkpoint
from sagechain.pretraining.errors import PretrainingError
from sagechain.pretraining.manifest import is_taken, read_manifest, write_manifest
from sagechain.pretraining.prepared import prepared_data, token_rows
from sagechain.pretraining.progress import console, display
from sagechain.pretraining.settings import TrainingSettings, chosen_settings
from sagechain.pretraining.trackers import check_trackers

if TYPE_CHECKING:
    from sagechain.pretraining.model import ModelShape

# Of the data's manifest, what the run's repeats.
OF_DATA = ("source", "corpus", "splits", "bytes_per_token", "tokens_sha256")
SAMPLE_PROMPT = "def get"
SAMPLE_TOKENS = 60


def train(
    data: str | Path,
    out: str | Path,
    *,
    preset: str = "demo",
    tokens: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    report_to: str | list[str] = "none",
    samples: bool = True,
    **settings: Any,
) -> Path:
    """Train a model, or go on where the run in `out` stopped.

    With `tokens` a run that was stopped, even killed, ends with the very weights of one that was not. With `seconds` the
    order of the data and the optimizer's state are exact, and the rate follows the clock.

    Args:
        data: folder that `prepare` made.
        out: the run's folder.
        preset: `demo`, `tiny`, `codeparrot-small` or `codeparrot`.
        tokens: the budget in tokens, in place of the preset's.
        seconds: the budget in seconds of training, in place of the preset's.
        seed: of the weights and the order of the data.
        report_to: trackers of the Trainer, such as `tensorboard` or `trackio`, each as installed.
        samples: let the model write now and then, for the report, and judge at the end what it writes.
        settings: fields of `ModelShape` and `TrainingSettings` (`sagechain.pretraining.settings`).

    Returns:
        The run's folder.

    Raises:
        ValueError: no such data or preset, a setting that is unknown or out of range, or another than the run began with.
        Diverged: the loss is not a number any more.
        PretrainingError: a checkpoint is broken, or the disk is full.
        KeyboardInterrupt: Ctrl-C; a checkpoint was written first.
    """
    data, out = Path(data), Path(out)
    check_trackers(report_to)
    prepared = prepared_data(data)
    changes = settings | {"seed": seed}
    if tokens is not None:
        changes["tokens"] = tokens
    if seconds is not None:
        changes["seconds"] = seconds
    shape, chosen = chosen_settings(
        preset, vocabulary=prepared["vocabulary"], context=prepared["context"], changes=changes
    )
    inputs = {
        "preset": preset,
        "shape": shape.model_dump(),
        "settings": chosen.model_dump(),
        "data": prepared["tokens_sha256"],
    }
    if _is_done(out, inputs):
        return out
    _train(data, out, prepared, shape, chosen, inputs, report_to, samples)
    return out


def _is_done(out: Path, inputs: dict[str, Any]) -> bool:
    """Whether the run is over already. Raises ValueError where it was begun with other settings."""
    found = read_manifest(out)
    if found is None:
        if is_taken(out):
            raise ValueError(f"out: {str(out)!r} is not empty and holds no run; name another folder")
        return False
    if found.get("stage") != "train":
        raise ValueError(
            f"out: {str(out)!r} holds the output of {found.get('stage')!r}, not a run; name another folder"
        )
    if found["inputs"] != inputs:
        changed = [
            f"{name}={value!r} (the run has {found['inputs'].get(part, {}).get(name)!r})"
            for part in ("shape", "settings")
            for name, value in inputs[part].items()
            if found["inputs"].get(part, {}).get(name) != value
        ]
        other = "other data" if found["inputs"]["data"] != inputs["data"] else f"preset={inputs['preset']!r}"
        what = ", ".join(changed) or other
        raise ValueError(f"{changed[0].split('=')[0] if changed else 'data'}: the run in {str(out)!r} was begun otherwise:"
                         f" {what}. Give the same again, or name another folder.")  # fmt: skip
    return bool(found["done"])


def _train(
    data: Path,
    out: Path,
    prepared: dict[str, Any],
    shape: "ModelShape",
    settings: TrainingSettings,
    inputs: dict[str, Any],
    report_to: str | list[str],
    samples: bool,
) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    from sagechain.pretraining.budget import Budget
    from sagechain.pretraining.embeddings import neighbour_embeddings
    from sagechain.pretraining.finishing import finish
    from sagechain.pretraining.interrupts import interruptible
    from sagechain.pretraining.meter import Meter
    from sagechain.pretraining.model import faster_precision, new_model
    from sagechain.pretraining.speed import flops_per_token, keep_memory, matrix_rate
    from sagechain.pretraining.tokens import Blocks
    from sagechain.pretraining.trainer import BlockTrainer
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    keep_memory()
    tokenizer = AutoTokenizer.from_pretrained(data / "tokenizer")
    checkpoint = latest_checkpoint(out)
    state = _state(checkpoint)
    splits = {split: Blocks(row, shape.context) for split, row in token_rows(data, prepared).items()}
    model = new_model(shape, end_of_text=tokenizer.eos_token_id, seed=settings.seed)
    began = time.monotonic()
    if settings.embeddings == "neighbours" and checkpoint is None:
        made = neighbour_embeddings(
            splits["train"].row, vocabulary=shape.vocabulary, width=shape.width, seed=settings.seed
        )
        model.transformer.wte.weight.data.copy_(made)
    # The time that the embeddings took is time of training.
    budget = Budget(settings, seconds=state["seconds"] + time.monotonic() - began)
    is_first, ranks = int(os.environ.get("RANK", "0")) == 0, int(os.environ.get("WORLD_SIZE", "1"))
    found = read_manifest(out) or {}
    resumed = found.get("resumed_at_tokens", [])
    if state["step"]:
        resumed = [*resumed, state["step"] * settings.batch_tokens]
    precision = settings.precision
    if precision == "auto":  # a run that goes on elsewhere keeps to what it began with
        precision = found.get("precision") or faster_precision("cuda" if torch.cuda.is_available() else "cpu")
    begun = {
        "stage": "train", "done": False, "inputs": inputs, "preset": inputs["preset"],
        "settings": inputs["shape"] | inputs["settings"],
        "data": {name: prepared[name] for name in OF_DATA if name in prepared},
        "parameters": model.num_parameters(), "resumed_at_tokens": resumed, "precision": precision,
    }  # fmt: skip
    if is_first:
        out.mkdir(parents=True, exist_ok=True)
        write_manifest(out, begun)
    if ranks == 1 and (gpus := torch.cuda.device_count()) > 1:
        console().print(
            f"One of {gpus} GPUs is used. For all: torchrun --nproc-per-node {gpus} -m sagechain.apps.cli …"
        )
    with display("training", is_shown=is_first) as show:
        meter = Meter(
            show,
            budget,
            batch_tokens=settings.batch_tokens,
            bytes_per_token=prepared["bytes_per_token"]["train"],
            flops=flops_per_token(shape),
        )
        trainer = BlockTrainer(
            model,
            run=out,
            train=splits["train"],
            validation=splits["validation"],
            bytes_per_token=prepared["bytes_per_token"],
            settings=settings,
            budget=budget,
            first_step=state["step"],
            history=state["history"],
            meter=meter,
            sample=(lambda model: _sample(model, tokenizer)) if samples else None,
            report_to=report_to,
            precision=precision,
        )
        if trainer.processes.differ(state["step"]):
            raise PretrainingError(
                f"the processes find different checkpoints in {out}: it must lie where all machines see the same files. "
                "Name a folder that they share, and give the same command again."
            )
        # Of the device that the Trainer chose for this process.
        meter.begin(state["step"], matrix_rate(trainer.args.device, trainer.precision))
        budget.begin()
        if checkpoint and trainer.share(state["step"]) >= 1:  # stopped between its last checkpoint and its end
            trainer.restore(checkpoint, state["step"])
        else:
            with interruptible():
                trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.was_interrupted and trainer.share(trainer.state.global_step) < 1:
        if is_first:
            done = trainer.state.global_step * settings.batch_tokens
            console().print(f"Stopped at {done:,} tokens, with a checkpoint. The same command goes on from there.")
        raise KeyboardInterrupt
    try:
        finish(trainer, out, tokenizer, begun, meter)
    except KeyboardInterrupt:
        if is_first:
            console().print("Stopped after training, while the model was judged. The same command does that again.")
        raise
    trainer.processes.wait()  # a process that goes on finds the run done


def _state(checkpoint: Path | None) -> dict[str, Any]:
    """Where a checkpoint stands: its step, its clock, the run's history."""
    if checkpoint is None:
        return {"step": 0, "seconds": 0.0, "history": []}
    kept = json.loads((checkpoint / "run.json").read_text(encoding="utf-8"))
    return {"step": int(checkpoint.name.removeprefix("step-")), **kept}


def _sample(model: Any, tokenizer: Any) -> dict[str, str]:
    """How the model goes on with a word or two: drawn, since the likeliest words of a young model are one word for ever."""
    from sagechain.pretraining.judging import completed

    room = min(SAMPLE_TOKENS, model.config.n_positions - len(tokenizer.encode(SAMPLE_PROMPT)))
    [drawn] = completed((model, tokenizer), [SAMPLE_PROMPT], max_new_tokens=room, temperature=0.7, top_p=0.9)
    return {"prompt": SAMPLE_PROMPT, "completion": drawn.text}
