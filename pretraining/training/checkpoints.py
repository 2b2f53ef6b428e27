"""Checkpoints that are whole or not there: written under a temporary name, then renamed; the newest few are kept."""

import json
import os
import shutil
from pathlib import Path

from ..errors import PretrainingError

SIZES = "files.json"
PARTIAL = "partial"


def step_folder(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / "checkpoints" / f"step-{step:08d}"


def latest_checkpoint(run: Path) -> Path | None:
    """The newest checkpoint of a run, or None. Raises PretrainingError where it is not as it was written."""
    found = sorted((run / "checkpoints").glob("step-*"))
    if not found:
        return None
    _check(found[-1], found[:-1])
    return found[-1]


def publish(partial: Path, folder: Path, *, keep: int) -> None:
    """Give a written checkpoint its name, and delete all but the newest `keep`."""
    sizes = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
    (partial / SIZES).write_text(json.dumps(sizes), encoding="utf-8")
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    put_in_place(partial, folder)
    for old in sorted(folder.parent.glob("step-*"))[:-keep]:
        shutil.rmtree(old)


def put_in_place(partial: Path, folder: Path) -> None:
    """Give a written folder its name once its files are on the disk.

    Otherwise a machine that loses power may know the new name, and not what stands in the files.
    """
    for path in (*partial.iterdir(), partial):
        _sync(path)
    partial.rename(folder)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _check(checkpoint: Path, older: list[Path]) -> None:
    try:
        sizes: dict[str, int] = json.loads((checkpoint / SIZES).read_text(encoding="utf-8"))
        wrong = [
            name
            for name, size in sizes.items()
            if not (checkpoint / name).is_file() or (checkpoint / name).stat().st_size != size
        ]
    except (OSError, ValueError):
        wrong = [SIZES]
    if wrong:
        then = f"training then goes on from {older[-1].name}" if older else "training then begins anew"
        raise PretrainingError(
            f"checkpoint {checkpoint} is broken: {', '.join(wrong)} is missing or cut. Delete that folder; {then}."
        )
