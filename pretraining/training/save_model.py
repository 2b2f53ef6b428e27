"""Save a trained model as an ordinary checkpoint: all of it, or none."""

import shutil
from pathlib import Path
from typing import Any

from transformers import GPT2LMHeadModel

from .checkpoints import rename_durably


def save_model(model: GPT2LMHeadModel, tokenizer: Any, folder: Path) -> None:
    """Write the model and its tokenizer; an existing folder is replaced once the new one is complete."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    # safetensors writes a file that only its owner may read.
    (partial / "model.safetensors").chmod((partial / "config.json").stat().st_mode)
    tokenizer.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    rename_durably(partial, folder)
