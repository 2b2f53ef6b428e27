"""The end of a run: the model judged, written as an ordinary checkpoint, and the manifest with all its figures."""

import shutil
from pathlib import Path
from typing import Any

from ..manifest import file_sha256, write_json, write_manifest
from ..quality import final_evaluation as judgement
from .checkpoints import PARTIAL, put_in_place
from .loop import BlockTrainer
from .metrics import Meter


def finish(trainer: BlockTrainer, out: Path, tokenizer: Any, begun: dict[str, Any], meter: Meter) -> None:
    """Judge the model on the whole validation split, and leave it in `out`/model.

    Args:
        begun: the run's manifest so far.
    """
    seconds, speed = trainer.budget.seconds, meter.figures() or _last_speed(trainer.history)
    with trainer.budget.paused():
        judged = trainer.judged(list(range(len(trainer.validation_blocks))))
    if not trainer.is_world_process_zero():
        return
    step = trainer.state.global_step
    trainer.history.append({"tokens": step * trainer.settings.batch_tokens, "seconds": seconds, **judged})
    rows = (trainer.validation_blocks.tokens, trainer.train_blocks.tokens)
    written = (
        judgement.judgement(trainer.network, tokenizer, *rows, at_once=trainer.device_batch) if trainer.sample else {}
    )
    partial = out / "model.partial"
    shutil.rmtree(partial, ignore_errors=True)
    with trainer.writing("model"):
        trainer.network.save_pretrained(partial)
        # safetensors leaves a file that only its owner may read.
        (partial / "model.safetensors").chmod((partial / "config.json").stat().st_mode)
        tokenizer.save_pretrained(partial)
        shutil.rmtree(out / "model", ignore_errors=True)
        put_in_place(partial, out / "model")
    shutil.rmtree(out / PARTIAL, ignore_errors=True)
    write_json(out / "history.json", trainer.history)
    figures = {
        "done": True,
        "steps": step,
        "tokens": step * trainer.settings.batch_tokens,
        "seconds": seconds,
        "matrix_flops": meter.limit,
        "weights_sha256": file_sha256(out / "model" / "model.safetensors"),
        **speed,
        **judged,
        **written,
    }
    write_manifest(out, begun | figures)


def _last_speed(history: list[dict[str, Any]]) -> dict[str, float]:
    """The last speed of a run that went on only to be judged."""
    known = [entry for entry in history if "mfu" in entry]
    return {name: known[-1][name] for name in ("tokens_per_second", "mfu")} if known else {}
