"""A training run from its beginning, or its newest checkpoint, to the judged model."""

import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GPT2LMHeadModel, TrainingArguments

from ..data.tokens import Blocks, TokenArray
from ..display import ShowProgress, console, progress
from ..errors import PretrainingError
from ..manifest import read_manifest, write_manifest
from ..quality.completions import completed
from .budget import Budget
from .checkpoints import latest_checkpoint
from .embeddings import neighbour_embeddings
from .loop import BlockTrainer
from .machine import flops_per_token, keep_memory, matrix_rate
from .metrics import Meter
from .model import ModelShape, faster_precision, new_model
from .processes import Processes
from .save_model import finish
from .settings import TrainingSettings, load_preset
from .stopping import interruptible

# Of the data's manifest, what the run's repeats.
OF_DATA = ("source", "corpus", "splits", "bytes_per_token", "tokens_sha256")
SAMPLE_PROMPT = "def get"
SAMPLE_TOKENS = 60


@dataclass(frozen=True)
class Run:
    """What is trained, on what, and where it is left.

    Args:
        data: the folder of the data.
        out: the run's folder.
        prepared: the data's manifest.
        rows: the data's tokens, by split.
        shape, settings: of the model and its training.
        inputs: what the run's manifest knows it by.
    """

    data: Path
    out: Path
    prepared: dict[str, Any]
    rows: dict[str, TokenArray]
    shape: ModelShape
    settings: TrainingSettings
    inputs: dict[str, Any]

    def train(self, arguments: TrainingArguments, processes: Processes, *, samples: bool) -> None:
        """Train to the end of the budget. Every process of the run calls it, while the first one holds the folder."""
        keep_memory()
        tokenizer = AutoTokenizer.from_pretrained(self.data / "tokenizer")
        checkpoint = latest_checkpoint(self.out)
        state = _state(checkpoint)
        if processes.differ(state["step"]):
            raise PretrainingError(
                f"the processes find different checkpoints in {self.out}: it must lie where all machines see the same "
                "files. Name a folder that they share, and give the same command again."
            )
        model = new_model(
            self.shape,
            end_of_text=tokenizer.eos_token_id,
            seed=self.settings.seed,
            deviation=self.settings.initial_deviation,
        )
        began = time.monotonic()
        if checkpoint is None:
            self._begin_embeddings(model)
        # The time that the embeddings took is time of training.
        budget = Budget(self.settings, seconds=state["seconds"] + time.monotonic() - began)
        found = read_manifest(self.out) or {}
        if found.get("done"):
            weights = self.out / "model" / "model.safetensors"
            _say(processes, f"train: {weights} is not as training left it, and is made again")
        begun = self._begun(found, state["step"], model.num_parameters())
        if processes.is_first:
            write_manifest(self.out, begun)
        _say(processes, _described(self.shape, model.num_parameters(), self.inputs["preset"]))
        if processes.count == 1 and (gpus := torch.cuda.device_count()) > 1:
            console().print(f"One of {gpus} GPUs is used. For all: torchrun --nproc-per-node {gpus} -m sagechain …")
        with progress("training", is_shown=processes.is_first) as show:
            meter = self._meter(show, budget, processes.count)
            trainer = BlockTrainer(
                model,
                arguments,
                run=self.out,
                processes=processes,
                train=Blocks(self.rows["train"], self.shape.context),
                validation=Blocks(self.rows["validation"], self.shape.context),
                bytes_per_token=self.prepared["bytes_per_token"],
                settings=self.settings,
                budget=budget,
                first_step=state["step"],
                history=state["history"],
                meter=meter,
                sample=(lambda model: _sample(model, tokenizer)) if samples else None,
                precision=begun["precision"],
            )
            # Of the device that the Trainer chose for this process.
            meter.begin(state["step"], matrix_rate(arguments.device, trainer.precision))
            budget.begin()
            if checkpoint and trainer.share(state["step"]) >= 1:  # stopped between its last checkpoint and its end
                trainer.restore(checkpoint, state["step"])
            else:
                with interruptible(), warnings.catch_warnings():
                    # torch has a new name for it, and transformers no setting of that name yet.
                    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
                    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        self._end(trainer, tokenizer, begun, meter)

    def _begin_embeddings(self, model: GPT2LMHeadModel) -> None:
        """Let a new model's embeddings begin from which tokens stand beside which, where the settings say so."""
        if self.settings.embeddings == "neighbours":
            vocabulary, width = self.shape.vocabulary, self.shape.width
            found = neighbour_embeddings(
                self.rows["train"], vocabulary=vocabulary, width=width, seed=self.settings.seed
            )
            model.transformer.wte.weight.data.copy_(found)

    def _meter(self, show: ShowProgress, budget: Budget, devices: int) -> Meter:
        return Meter(
            show,
            budget,
            batch_tokens=self.settings.batch_tokens,
            bytes_per_token=self.prepared["bytes_per_token"]["train"],
            flops=flops_per_token(self.shape),
            devices=devices,
        )

    def _end(self, trainer: BlockTrainer, tokenizer: Any, begun: dict[str, Any], meter: Meter) -> None:
        """Judge and keep the model, or say how to go on. Raises KeyboardInterrupt where that was asked for."""
        if trainer.was_interrupted and trainer.share(trainer.state.global_step) < 1:
            done = trainer.state.global_step * self.settings.batch_tokens
            _say(
                trainer.processes,
                f"Stopped at {done:,} tokens, with a checkpoint. The same command goes on from there.",
            )
            raise KeyboardInterrupt
        try:
            finish(trainer, self.out, tokenizer, begun, meter)
        except KeyboardInterrupt:
            _say(
                trainer.processes,
                "Stopped after training, while the model was judged. The same command does that again.",
            )
            raise

    def _begun(self, found: dict[str, Any], step: int, parameters: int) -> dict[str, Any]:
        """The manifest of a run that begins, or goes on at a step from what its manifest was."""
        resumed = found.get("resumed_at_tokens", [])
        precision = self.settings.precision
        if precision == "auto":  # a run that goes on elsewhere keeps to what it began with
            precision = found.get("precision") or faster_precision("cuda" if torch.cuda.is_available() else "cpu")
        return {
            "stage": "train",
            "done": False,
            "inputs": self.inputs,
            "preset": self.inputs["preset"],
            "settings": self.inputs["shape"] | self.inputs["settings"],
            "data": {name: self.prepared[name] for name in OF_DATA if name in self.prepared},
            "parameters": parameters,
            "resumed_at_tokens": [*resumed, step * self.settings.batch_tokens] if step else resumed,
            "precision": precision,
        }


def _described(shape: ModelShape, parameters: int, preset: str) -> str:
    """The model in a line, and where data or settings made it another than the preset's."""
    line = f"train: {parameters:,} weights, context {shape.context:,}, vocabulary {shape.vocabulary:,}"
    other = [f"{name}={value}" for name, value in load_preset(preset).model.items() if getattr(shape, name) != value]
    return f"{line} (preset {preset}: {', '.join(other)})" if other else line


def _say(processes: Processes, text: str) -> None:
    if processes.is_first:
        console().print(text)


def _state(checkpoint: Path | None) -> dict[str, Any]:
    """Where a checkpoint stands: its step, its clock, the run's history."""
    if checkpoint is None:
        return {"step": 0, "seconds": 0.0, "history": []}
    kept = json.loads((checkpoint / "run.json").read_text(encoding="utf-8"))
    return {"step": int(checkpoint.name.removeprefix("step-")), **kept}


def _sample(model: Any, tokenizer: Any) -> dict[str, str]:
    """How the model goes on with a word or two: drawn, since the likeliest words of a young model are one word for ever."""
    room = min(SAMPLE_TOKENS, model.config.n_positions - len(tokenizer.encode(SAMPLE_PROMPT)))
    [drawn] = completed((model, tokenizer), [SAMPLE_PROMPT], max_new_tokens=room, temperature=0.7, top_p=0.9)
    return {"prompt": SAMPLE_PROMPT, "completion": drawn.text}
