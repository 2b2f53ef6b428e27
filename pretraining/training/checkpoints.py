"""Checkpoints and models, complete or absent: written under a temporary name, then renamed. Only the newest few remain."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ..errors import PretrainingError

SIZES = "files.json"
PARTIAL = "partial"


def checkpoint_folder(run: Path, step: int) -> Path:
    """The folder of a step's checkpoint."""
    return run / "checkpoints" / f"step-{step:08d}"


def latest_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run, or None. Raises PretrainingError if it is not as it was written."""
    checkpoints = sorted((run / "checkpoints").glob("step-*"))
    if not checkpoints:
        return None
    _check(checkpoints[-1], checkpoints[:-1])
    return checkpoints[-1]


def publish(partial: Path, folder: Path, *, keep: int) -> None:
    """Rename a written checkpoint to its folder, and delete all but the newest `keep`."""
    sizes = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
    (partial / SIZES).write_text(json.dumps(sizes), encoding="utf-8")
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    _rename_durably(partial, folder)
    for old in sorted(folder.parent.glob("step-*"))[:-keep]:
        shutil.rmtree(old)


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model and its tokenizer as an ordinary checkpoint; it replaces an existing folder once it is complete."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    # safetensors writes a file that only its owner may read.
    (partial / "model.safetensors").chmod((partial / "config.json").stat().st_mode)
    tokenizer.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    _rename_durably(partial, folder)


def _rename_durably(partial: Path, folder: Path) -> None:
    """Rename a written folder after its files are on the disk.

    Otherwise a machine that loses power may have the new name without the contents of the files.
    """
    for path in partial.iterdir():
        with path.open("r+b") as file:  # Windows syncs a handle that may write only
            os.fsync(file.fileno())
    _sync_folder(partial)
    partial.rename(folder)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folders, and writes their entries itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(checkpoint: Path, older: list[Path]) -> None:
    try:
        sizes: dict[str, int] = json.loads((checkpoint / SIZES).read_text(encoding="utf-8"))
        damaged = [
            name
            for name, size in sizes.items()
            if not (checkpoint / name).is_file() or (checkpoint / name).stat().st_size != size
        ]
    except (OSError, ValueError):
        damaged = [SIZES]
    if damaged:
        next_start = f"training then resumes from {older[-1].name}" if older else "training then starts again"
        raise PretrainingError(
            f"checkpoint {checkpoint} is broken: {', '.join(damaged)} is missing or incomplete. Delete that folder; "
            f"{next_start}."
        )
