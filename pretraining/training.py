"""Train a GPT-2 on prepared data: `train("data", "run", preset="demo")`.

A run is a folder. A second call with the same settings goes on at its newest checkpoint, or does nothing where it is done:

    manifest.json   settings, hashes, figures
    history.json    loss, rate, speed, judgements and samples, oldest first
    checkpoints/    the newest few, each whole
    model/          at the end: an ordinary `GPT2LMHeadModel` with its tokenizer

On several GPUs or machines: `torchrun --nproc-per-node 8 -m sagechain.apps.cli pretrain train …`, or `accelerate launch`.
"""

import json
import math
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagechain.pretraining.checkpoints import PARTIAL, latest_checkpoint
from sagechain.pretraining.manifest import digest_of_files, read_manifest, write_json, write_manifest
from sagechain.pretraining.progress import console, display, minutes
from sagechain.pretraining.settings import TrainingSettings, chosen_settings

if TYPE_CHECKING:
    from sagechain.pretraining.model import ModelShape
    from sagechain.pretraining.trainer import BlockTrainer

# Of the data's manifest, what the run's repeats.
OF_DATA = ("source", "corpus", "splits", "bytes_per_token", "tokens_sha256")
SAMPLE_PROMPT = "def "
SAMPLE_TOKENS = 40


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
    prepared = _prepared(data)
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


def _prepared(data: Path) -> dict[str, Any]:
    """The manifest of prepared data."""
    found = read_manifest(data)
    if found is None or found.get("stage") != "prepare" or not found["done"]:
        raise ValueError(
            f"data: {str(data)!r} holds no prepared data; run `sagechain pretrain prepare SOURCE --out {data}` first"
        )
    return found


def _is_done(out: Path, inputs: dict[str, Any]) -> bool:
    """Whether the run is over already. Raises ValueError where it was begun with other settings."""
    found = read_manifest(out)
    if found is None:
        if out.is_dir() and any(out.iterdir()):
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
        what = ", ".join(changed) or "other data, or another preset"
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
    from sagechain.pretraining.model import faster_precision, new_model
    from sagechain.pretraining.speed import flops_per_token, keep_memory, matrix_rate
    from sagechain.pretraining.tokens import Blocks, TokenRow
    from sagechain.pretraining.trainer import BlockTrainer, interruptible
    from transformers import AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    keep_memory()
    tokenizer = AutoTokenizer.from_pretrained(data / "tokenizer")
    if len(tokenizer) != shape.vocabulary:
        raise ValueError(
            f"vocabulary: the tokenizer in {data / 'tokenizer'} has {len(tokenizer)} tokens, and the data was made with "
            f"{shape.vocabulary}; prepare the data again"
        )
    checkpoint = latest_checkpoint(out)
    state = _state(checkpoint)
    splits = {
        split: Blocks(TokenRow(data / "tokens", split, shape.vocabulary), shape.context)
        for split in ("train", "validation")
    }
    model = new_model(shape, end_of_text=tokenizer.eos_token_id, seed=settings.seed)
    began = time.monotonic()
    if settings.embeddings == "neighbours" and checkpoint is None:
        made = neighbour_embeddings(
            splits["train"].row, vocabulary=shape.vocabulary, width=shape.width, seed=settings.seed
        )
        model.transformer.wte.weight.data.copy_(made)
    # The time that the embeddings took is time of training.
    budget = Budget(settings, seconds=state["seconds"] + time.monotonic() - began)
    is_first = int(os.environ.get("RANK", "0")) == 0
    found = read_manifest(out) or {}
    resumed = found.get("resumed_at_tokens", [])
    if state["step"]:
        resumed = [*resumed, state["step"] * settings.batch_tokens]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = settings.precision
    if precision == "auto":  # a run that goes on elsewhere keeps to what it began with
        precision = found.get("precision") or faster_precision(device.type)
    begun = {
        "stage": "train", "done": False, "inputs": inputs, "preset": inputs["preset"],
        "settings": inputs["shape"] | inputs["settings"],
        "data": {name: prepared[name] for name in OF_DATA if name in prepared},
        "parameters": model.num_parameters(), "resumed_at_tokens": resumed, "precision": precision,
    }  # fmt: skip
    if is_first:
        out.mkdir(parents=True, exist_ok=True)
        write_manifest(out, begun)
    limit = matrix_rate(device, precision)
    with display("training", is_shown=is_first) as show:
        meter = _Meter(show, settings, budget, prepared["bytes_per_token"]["train"], flops_per_token(shape), limit)
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
        meter.begin(state["step"])
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
    _finish(trainer, out, tokenizer, begun, meter)
    trainer.accelerator.wait_for_everyone()  # a process that goes on finds the run done


def _state(checkpoint: Path | None) -> dict[str, Any]:
    """Where a checkpoint stands: its step, its clock, the run's history."""
    if checkpoint is None:
        return {"step": 0, "seconds": 0.0, "history": []}
    kept = json.loads((checkpoint / "run.json").read_text(encoding="utf-8"))
    return {"step": int(checkpoint.name.removeprefix("step-")), **kept}


def _finish(trainer: "BlockTrainer", out: Path, tokenizer: Any, begun: dict[str, Any], meter: "_Meter") -> None:
    """Judge the model on the whole validation split, and leave it as an ordinary checkpoint."""
    from sagechain.pretraining.judgement import judgement

    seconds = trainer.budget.seconds
    with trainer.budget.paused():
        judged = trainer.judged(list(range(len(trainer.validation_blocks))))
    if not trainer.is_world_process_zero():
        return
    step = trainer.state.global_step
    trainer.history.append({"tokens": step * trainer.settings.batch_tokens, "seconds": seconds, **judged})
    rows = (trainer.validation_blocks.row, trainer.train_blocks.row)
    written = judgement(trainer.network, tokenizer, *rows) if trainer.sample else {}
    partial = out / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    trainer.network.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    shutil.rmtree(out / "model", ignore_errors=True)
    partial.rename(out / "model")
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    write_json(out / "history.json", trainer.history)
    figures = {
        "done": True,
        "steps": step,
        "tokens": step * trainer.settings.batch_tokens,
        "seconds": seconds,
        "tokens_per_second": meter.rate(),
        "mfu": meter.mfu(),
        "matrix_flops": meter.limit,
        "weights_sha256": digest_of_files([out / "model" / "model.safetensors"]),
        **judged,
        **written,
    }
    write_manifest(out, begun | figures)


class _Meter:
    """The figures of a run while it goes on."""

    def __init__(
        self,
        show: Any,
        settings: TrainingSettings,
        budget: Any,
        bytes_per_token: float,
        flops: int,
        limit: float,
    ) -> None:
        self._show, self._settings, self._budget = show, settings, budget
        self._bytes_per_token, self._flops, self.limit = bytes_per_token, flops, limit
        self._first = self._step = 0
        self._seconds_before = 0.0
        self._loss = 0.0

    def begin(self, step: int) -> None:
        self._first = self._step = step

    def step(self, step: int, share: float, loss: float) -> None:
        """After each step, with its loss in nats a token."""
        if step == self._first + 1:
            self._seconds_before = self._budget.seconds
        self._loss = loss if not self._loss else 0.95 * self._loss + 0.05 * loss
        self._step = step
        bits = self._loss / math.log(2) / self._bytes_per_token
        left = (1 - share) * self._budget.seconds / share if share else 0.0
        text = f"loss {self._loss:.2f}  {bits:.2f} bits/byte  {self.rate():,.0f} tokens/s"
        if mfu := self.mfu():
            text += f"  {mfu:.0%} of this machine's limit"
        self._show(share, f"{text}  {minutes(left)} left")

    def rate(self) -> float:
        """Tokens a second since this start, its first step not counted."""
        seconds = self._budget.seconds - self._seconds_before
        steps = self._step - self._first - 1
        return steps * self._settings.batch_tokens / seconds if steps > 0 and seconds > 0 else 0.0

    def figures(self) -> dict[str, float]:
        """The speed so far."""
        return {"tokens_per_second": self.rate(), "mfu": self.mfu()} if self.rate() else {}

    def mfu(self) -> float:
        """The share of the limit of one device that the model's own arithmetic makes use of (PaLM, arXiv 2204.02311)."""
        ranks = int(os.environ.get("WORLD_SIZE", "1"))
        return self.rate() * self._flops / (self.limit * ranks)


def _sample(model: Any, tokenizer: Any) -> dict[str, str]:
    """The likeliest continuation of a word or two."""
    import torch

    was_training = model.training
    model.eval()
    prompt = tokenizer(SAMPLE_PROMPT, return_tensors="pt").to(model.device)
    room = min(SAMPLE_TOKENS, model.config.n_positions - prompt["input_ids"].shape[1])
    with torch.no_grad():
        ids = model.generate(**prompt, max_new_tokens=room, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    model.train(was_training)
    return {"prompt": SAMPLE_PROMPT, "completion": tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :])}
