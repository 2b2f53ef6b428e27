"""The manifest of a stage's output: hashes of the inputs, settings, versions and results.

A stage that finds its own manifest, with `done` and the same inputs, does nothing.
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
PARTIAL = ".partial"  # ending of a file while it is written
LOCK = "manifest.lock"  # locked by the process that works in the folder
LIBRARIES = ("sagechain", "torch", "transformers", "tokenizers", "datatrove", "datasets")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """A folder's manifest; None if it has none. Raises PretrainingError if it cannot be read."""
    path = folder / NAME
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PretrainingError(f"{path} is broken: {error}. Delete the folder, or restore the file.") from error
    return manifest


def is_stage_output(folder: Path) -> bool:
    """Whether a stage wrote the folder; a `manifest.json` that is broken or another program's does not count."""
    try:
        manifest = read_manifest(folder) if (folder / NAME).is_file() else None
    except (OSError, PretrainingError, RecursionError):
        return False
    match manifest:
        case {"stage": "prepare" | "train" | "export", "versions": {"sagechain": _}}:
            return True
    return False


def has_files(folder: Path) -> bool:
    """Whether a folder contains files, other than a lock and a manifest that was not completely written."""
    return folder.is_dir() and any(path.suffix != PARTIAL and path.name != LOCK for path in folder.iterdir())


def stage_manifest(folder: Path, stage: str, what: str) -> dict[str, Any] | None:
    """The manifest of a stage's output folder; None if the folder is empty or does not exist.

    Args:
        what: the stage's output in words, for messages.

    Raises:
        ValueError: the folder contains other files, or another stage's output.
        PretrainingError: the manifest cannot be read.
    """
    is_used, manifest = has_files(folder), read_manifest(folder)  # in this order: another process may write it now
    if is_used and manifest is None:
        raise ValueError(f"out: {str(folder)!r} is not empty and does not contain {what}; name another folder")
    if manifest is not None and manifest.get("stage") != stage:
        raise ValueError(
            f"out: {str(folder)!r} contains the output of {manifest.get('stage')!r}, not {what}; name another folder"
        )
    return manifest


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write a folder's manifest, completely or not at all, with the versions of the libraries."""
    versions = {name: version(name) for name in LIBRARIES}
    write_json(folder / NAME, {**content, "versions": versions})


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file under a temporary name, then rename it."""
    partial = path.with_suffix(PARTIAL)
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def files_sha256(paths: "list[Path]") -> str:
    """The SHA-256 over the SHA-256 of each file, in their order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(bytes.fromhex(file_sha256(path)))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
