"""What a stage leaves beside its output: its inputs' hashes, its settings, versions and figures.

A stage that finds its own manifest, done, with the same inputs, does nothing.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .errors import PretrainingError

NAME = "manifest.json"
PARTIAL = ".partial"  # of a file that is being written
LOCK = "manifest.lock"  # is held by who writes in the folder
LIBRARIES = ("sagechain", "torch", "transformers", "tokenizers", "datatrove", "datasets")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """A folder's manifest, or None where it has none. Raises PretrainingError where it cannot be read."""
    path = folder / NAME
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PretrainingError(f"{path} is broken: {error}. Delete the folder, or put back the file.") from error
    return found


def is_stage_output(folder: Path) -> bool:
    """Whether a stage wrote the folder. A `manifest.json` that is broken, or another program's, is none of ours."""
    try:
        found = read_manifest(folder) if (folder / NAME).is_file() else None
    except (OSError, PretrainingError, RecursionError):
        return False
    match found:
        case {"stage": "prepare" | "train" | "export", "versions": {"sagechain": _}}:
            return True
    return False


def has_files(folder: Path) -> bool:
    """Whether a folder without a manifest holds files. One whose manifest was about to be written holds nothing yet."""
    return folder.is_dir() and any(path.suffix != PARTIAL and path.name != LOCK for path in folder.iterdir())


def stage_manifest(folder: Path, stage: str, what: str) -> dict[str, Any] | None:
    """The manifest of a folder that is to hold `what`, the output of a stage; None where it is free.

    Raises:
        ValueError: the folder holds files and no manifest, or another stage's output.
        PretrainingError: the manifest cannot be read.
    """
    taken, found = has_files(folder), read_manifest(folder)  # in this order: another process may write it just now
    if taken and found is None:
        raise ValueError(f"out: {str(folder)!r} is not empty and holds no {what}; name another folder")
    if found is not None and found.get("stage") != stage:
        raise ValueError(
            f"out: {str(folder)!r} holds the output of {found.get('stage')!r}, no {what}; name another folder"
        )
    return found


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write a folder's manifest whole or not at all, with the versions of the libraries."""
    versions = {name: version(name) for name in LIBRARIES}
    write_json(folder / NAME, {**content, "versions": versions})


def write_json(path: Path, content: Any) -> None:
    """Write a file under a temporary name, then rename it."""
    partial = path.with_suffix(PARTIAL)
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def files_sha256(paths: "list[Path]") -> str:
    """The SHA-256 over the contents of files, in their order."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(bytes.fromhex(file_sha256(path)))
    return whole.hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
