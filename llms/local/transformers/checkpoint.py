"""Checkpoint folders: the files that make one, the number format to compute in, and transformers without its log."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# One file of each group must exist.
CHECKPOINT_FILES = (
    ("config.json",),
    ("model.safetensors", "model.safetensors.index.json"),
    ("tokenizer.json", "tokenizer.model", "vocab.json"),
)


def check_checkpoint(folder: Path) -> list[Path]:
    """The files that the model may be read from. Raises ValueError if one is missing; the message names it."""
    for names in CHECKPOINT_FILES:
        if not any((folder / name).is_file() for name in names):
            raise _missing(folder, " or ".join(names))
    index = folder / "model.safetensors.index.json"
    files = {path for path in folder.iterdir() if path.is_file()}
    if index.is_file() and not (folder / "model.safetensors").is_file():
        for name in _files_of_weights(index):
            if not (folder / name).is_file():
                raise _missing(folder, name)
            files.add(folder / name)
    return sorted(files)


def _files_of_weights(index: Path) -> list[str]:
    """The files that an index names. Raises ValueError if it is not one."""
    try:
        files = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"path: {str(index)!r} is not an index of weights; save the checkpoint again") from error
    if not all(isinstance(name, str) for name in files):
        raise ValueError(f"path: {str(index)!r} names files that are not text; save the checkpoint again")
    return files


def working_dtype() -> Any:
    """bfloat16 where the hardware multiplies it (any GPU; a CPU with AVX-512 BF16 or AMX), else float32.

    On such a CPU it generates 1.5 times the tokens a second (FACTS §6); on others it is emulated, and slower.
    """
    import torch

    cpu = torch.cpu.get_capabilities()
    fast = torch.cuda.is_available() or cpu.get("avx512_bf16") or cpu.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' own progress bars and warnings: standard error is for what a user has to know."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _missing(folder: Path, file: str) -> ValueError:
    return ValueError(f"path: {str(folder)!r} is not a checkpoint: {file} is missing")
