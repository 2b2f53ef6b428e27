"""The files of a small run, without training: random weights, a tokenizer, a manifest, a history."""

from pathlib import Path
from typing import Any

from sagechain.pretraining.data.tokenizer import train_tokenizer
from sagechain.pretraining.manifest import file_sha256, write_json, write_manifest
from sagechain.pretraining.training.model import ModelShape, new_model

TEXTS = [f"def add_{number}(left, right):\n    return left + right + {number}\n" for number in range(40)]
SHAPE = {"context": 64, "layers": 1, "width": 16, "heads": 2}


def corpus(reason: str) -> dict[str, Any]:
    """The report of `prepare` on a corpus from which one filter removed documents."""
    return {
        "read_documents": 52, "read_bytes": 134_567, "left_out": [{"reason": reason, "documents": 12, "bytes": 34_567}],
        "train_documents": 35, "train_bytes": 90_000, "validation_documents": 5, "validation_bytes": 10_000,
    }  # fmt: skip


def history() -> list[dict[str, Any]]:
    """Ten entries of training, two evaluations, one sample."""
    entries: list[dict[str, Any]] = [
        {"tokens": 1_000 * step, "seconds": 2.0 * step, "loss": 6.0 - step / 4, "bits_per_byte": 3.0 - step / 10,
         "learning_rate": 1e-3 * (10 - step), "tokens_per_second": 500.0 + step, "grad_norm": 1.0, "mfu": 0.5}
        for step in range(1, 11)
    ]  # fmt: skip
    judged = [{"tokens": 5_000, "seconds": 10.0, "val_bits_per_byte": 2.75, "val_accuracy": 0.25}]
    judged += [{"tokens": 10_000, "seconds": 20.0, "val_bits_per_byte": 2.25, "val_accuracy": 0.375}]
    sample = {
        "tokens": 5_000,
        "seconds": 10.0,
        "sample": {"prompt": "def ", "completion": "add(left):\n    return left"},
    }
    return [*entries[:5], judged[0], sample, *entries[5:], judged[1]]


def manifest(**changes: Any) -> dict[str, Any]:
    """The manifest of a finished run, with changes; a value of None removes a field."""
    content = {
        "stage": "train", "done": True, "preset": "demo",
        "settings": {"optimizer": "muon", "learning_rate": 5e-3, "seconds": None},
        "data": {"source": "stdlib", "corpus": corpus("duplicates"), "tokens_sha256": "ab" * 32},
        "parameters": 5_322_240, "tokens": 10_000, "steps": 5, "seconds": 20.0, "val_bits_per_byte": 2.25,
        "val_accuracy": 0.375, "resumed_at_tokens": [], "tokens_per_second": 505.5, "mfu": 0.5, "weights_sha256": "",
    }  # fmt: skip
    return {name: value for name, value in (content | changes).items() if value is not None}


def write_run(run: Path, *, vocab_size: int = 300, model_vocabulary: int | None = None, **changes: Any) -> Path:
    """Write a run. `model_vocabulary`: of the model, if it differs from the tokenizer's."""
    tokenizer = train_tokenizer(TEXTS, vocab_size=vocab_size, context=64)
    shape = ModelShape(vocabulary=model_vocabulary or len(tokenizer), **SHAPE)
    new_model(shape, end_of_text=0, seed=0).save_pretrained(run / "model")
    tokenizer.save_pretrained(run / "model")
    digest = file_sha256(run / "model" / "model.safetensors")
    write_manifest(run, manifest(**({"weights_sha256": digest} | changes)))
    write_json(run / "history.json", history())
    return run
