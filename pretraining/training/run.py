"""One training run, from new weights or its newest checkpoint to the saved model and its figures."""

import json
import shutil
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GPT2LMHeadModel, TrainingArguments

from ..data.tokens import Blocks, TokenArray
from ..display import console, progress
from ..errors import PretrainingError
from ..manifest import file_sha256, read_manifest, write_json, write_manifest
from ..quality import final_evaluation
from ..quality.completions import complete
from .budget import Budget
from .checkpoints import PARTIAL, latest_checkpoint, save_model
from .embeddings import neighbour_embeddings
from .loop import BlockTrainer
from .machine import flops_per_token, matrix_rate, retain_freed_memory
from .metrics import Metrics
from .model import ModelShape, new_model
from .precision import choose_precision
from .processes import Processes
from .settings import TrainingSettings, load_preset
from .stopping import signals_as_requests

# The fields of the data's manifest that the run's repeats.
DATA_FIELDS = ("source", "corpus", "splits", "bytes_per_token", "tokens_sha256")
SAMPLE_PROMPT = "def get"
SAMPLE_TOKENS = 60


@dataclass(frozen=True)
class Run:
    """A run that `train` has checked.

    Args:
        data: the folder of the data.
        out: the run's folder.
        prepared: the data's manifest.
        tokens: the data's tokens by split.
        shape, settings: of the model and its training.
        inputs: what the manifest identifies the run by.
    """

    data: Path
    out: Path
    prepared: dict[str, Any]
    tokens: dict[str, TokenArray]
    shape: ModelShape
    settings: TrainingSettings
    inputs: dict[str, Any]

    def train(self, arguments: TrainingArguments, processes: Processes, *, samples: bool) -> None:
        """Train to the end of the budget. Every process calls it, while the first one has locked the folder."""
        retain_freed_memory()
        tokenizer = AutoTokenizer.from_pretrained(self.data / "tokenizer")
        checkpoint = latest_checkpoint(self.out)
        saved = _read_checkpoint(checkpoint)
        if processes.differ(saved["step"]):
            raise PretrainingError(
                f"the processes find different checkpoints in {self.out}: it must be a folder that all machines share. "
                "Name a shared folder, and give the same command again."
            )
        start = time.monotonic()
        model = self._new_model(tokenizer, is_resumed=checkpoint is not None)
        # Initial embeddings are part of the training's time.
        budget = Budget(self.settings, processes, seconds=saved["seconds"] + time.monotonic() - start)
        manifest = self._manifest(saved["step"], model.num_parameters(), processes)
        if processes.is_first:
            write_manifest(self.out, manifest)
            console().print(_summary(self.shape, model.num_parameters(), self.inputs["preset"]))
            if processes.count == 1 and (gpus := torch.cuda.device_count()) > 1:
                console().print(f"One of {gpus} GPUs is used. For all: torchrun --nproc-per-node {gpus} -m sagechain …")
        with progress("training", is_shown=processes.is_first) as show:
            metrics = Metrics(
                show,
                budget,
                batch_tokens=self.settings.batch_tokens,
                bytes_per_token=self.prepared["bytes_per_token"]["train"],
                flops=flops_per_token(self.shape),
                devices=processes.count,
                first_step=saved["step"],
                # Of the device that the Trainer chose for this process.
                limit=matrix_rate(arguments.device, manifest["precision"]),
            )
            trainer = BlockTrainer(
                model,
                arguments,
                run=self.out,
                processes=processes,
                train=Blocks(self.tokens["train"], self.shape.context),
                validation=Blocks(self.tokens["validation"], self.shape.context),
                bytes_per_token=self.prepared["bytes_per_token"],
                settings=self.settings,
                budget=budget,
                first_step=saved["step"],
                history=saved["history"],
                metrics=metrics,
                sample=(lambda model: _sample(model, tokenizer)) if samples else None,
                precision=manifest["precision"],
            )
            budget.start()
            if checkpoint and budget.share(saved["step"]) >= 1:  # stopped between its last checkpoint and its end
                trainer.restore(checkpoint, saved["step"])
            else:
                with signals_as_requests(), warnings.catch_warnings():
                    # torch renamed it, and transformers has no setting with the new name yet.
                    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
                    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        self._end(trainer, tokenizer, manifest, processes)

    def _new_model(self, tokenizer: Any, *, is_resumed: bool) -> GPT2LMHeadModel:
        settings, shape = self.settings, self.shape
        model = new_model(
            shape, end_of_text=tokenizer.eos_token_id, seed=settings.seed, deviation=settings.initial_deviation
        )
        if settings.embeddings == "neighbours" and not is_resumed:
            embeddings = neighbour_embeddings(
                self.tokens["train"], vocabulary=shape.vocabulary, width=shape.width, seed=settings.seed
            )
            model.transformer.wte.weight.data.copy_(embeddings)
        return model

    def _manifest(self, step: int, parameters: int, processes: Processes) -> dict[str, Any]:
        """The manifest of a run that starts, or resumes at a step."""
        earlier = read_manifest(self.out) or {}
        if earlier.get("done") and processes.is_first:
            weights = self.out / "model" / "model.safetensors"
            console().print(f"train: {weights} is not as training wrote it, and is written again")
        resumed = earlier.get("resumed_at_tokens", [])
        return {
            "stage": "train",
            "done": False,
            "inputs": self.inputs,
            "preset": self.inputs["preset"],
            "settings": self.inputs["shape"] | self.inputs["settings"],
            "data": {name: self.prepared[name] for name in DATA_FIELDS if name in self.prepared},
            "parameters": parameters,
            "resumed_at_tokens": [*resumed, step * self.settings.batch_tokens] if step else resumed,
            "precision": choose_precision(
                self.settings.precision, stored=earlier.get("precision"), processes=processes
            ),
        }

    def _end(self, trainer: BlockTrainer, tokenizer: Any, manifest: dict[str, Any], processes: Processes) -> None:
        """Evaluate and save the model, or raise KeyboardInterrupt after an interruption, with a message how to resume."""
        step = trainer.state.global_step
        if trainer.schedule.was_interrupted and trainer.budget.share(step) < 1:
            tokens = step * self.settings.batch_tokens
            if processes.is_first:
                console().print(
                    f"Stopped at {tokens:,} tokens, with a checkpoint. The same command resumes from there."
                )
            raise KeyboardInterrupt
        try:
            self._finish(trainer, tokenizer, manifest)
        except KeyboardInterrupt:
            if processes.is_first:
                console().print("Stopped after training, during the final evaluation. The same command repeats it.")
            raise

    def _finish(self, trainer: BlockTrainer, tokenizer: Any, manifest: dict[str, Any]) -> None:
        """Evaluate the model on the whole validation split, save it in `out`/model, and write the final manifest."""
        seconds, speed = trainer.budget.seconds, trainer.metrics.speed() or _last_speed(trainer.history)
        with trainer.budget.paused():
            scores = trainer.scores(list(range(len(trainer.validation_blocks))))
        if not trainer.is_world_process_zero():
            return
        step, tokens = trainer.state.global_step, trainer.state.global_step * self.settings.batch_tokens
        history = [*trainer.history, {"tokens": tokens, "seconds": seconds, **scores}]
        completions = {}
        if trainer.sample:
            splits = (self.tokens["validation"], self.tokens["train"])
            completions = final_evaluation.evaluate_completions(
                trainer.network, tokenizer, *splits, batch=trainer.device_batch
            )
        with trainer.report_write_errors("model"):
            save_model(trainer.network, tokenizer, self.out / "model")
        shutil.rmtree(self.out / PARTIAL, ignore_errors=True)
        write_json(self.out / "history.json", history)
        figures = {
            "done": True,
            "steps": step,
            "tokens": tokens,
            "seconds": seconds,
            "matrix_flops": trainer.metrics.limit,
            "weights_sha256": file_sha256(self.out / "model" / "model.safetensors"),
            **speed,
            **scores,
            **completions,
        }
        write_manifest(self.out, manifest | figures)


def _summary(shape: ModelShape, parameters: int, preset: str) -> str:
    """The model in one line, with the fields in which data or settings differ from the preset."""
    line = f"train: {parameters:,} weights, context {shape.context:,}, vocabulary {shape.vocabulary:,}"
    others = [
        f"{name}={value}" for name, value in load_preset(preset)["model"].items() if getattr(shape, name) != value
    ]
    return f"{line} (preset {preset}: {', '.join(others)})" if others else line


def _read_checkpoint(checkpoint: Path | None) -> dict[str, Any]:
    """A checkpoint's step, its clock in seconds, and the run's history."""
    if checkpoint is None:
        return {"step": 0, "seconds": 0.0, "history": []}
    saved = json.loads((checkpoint / "run.json").read_text(encoding="utf-8"))
    return {"step": int(checkpoint.name.removeprefix("step-")), **saved}


def _last_speed(history: list[dict[str, Any]]) -> dict[str, float]:
    """The last speed in the history, for a run that was resumed only to be evaluated."""
    known = [entry for entry in history if "mfu" in entry]
    return {name: known[-1][name] for name in ("tokens_per_second", "mfu")} if known else {}


def _sample(model: Any, tokenizer: Any) -> dict[str, str]:
    """A sampled continuation of a short prompt; with greedy decoding a barely trained model repeats one word forever."""
    room = min(SAMPLE_TOKENS, model.config.n_positions - len(tokenizer.encode(SAMPLE_PROMPT)))
    [completion] = complete(model, tokenizer, [SAMPLE_PROMPT], max_new_tokens=room, temperature=0.7, top_p=0.9)
    return {"prompt": SAMPLE_PROMPT, "completion": completion.text}
