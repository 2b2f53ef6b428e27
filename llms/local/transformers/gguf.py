"""GGUF files for transformers: read once, kept as an ordinary checkpoint, loaded fast from then on.

transformers reads a GGUF in half a minute, at every load. The checkpoint is kept in the user's cache folder, under the
file's own SHA-256, so a copy of the file is not converted again and a changed one is.
"""

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ...errors import MissingExtra, ModelNotLoaded

# llama.cpp ends an answer at these too, whatever the file says; found by trying (xllamacpp 2026.10, `<|endoftext|>`)
# and in its source, src/llama-vocab.cpp, `special_eog_ids`.
END_TOKENS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<|end_of_text|>")


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF does."""
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def checkpoint_of(path: Path) -> Path:
    """The folder of a checkpoint with the weights, the tokenizer and the chat template of a GGUF file.

    Raises:
        ValueError: not a GGUF file.
        ModelNotLoaded: broken, or of a kind that transformers does not read.
        MissingExtra: the `transformers` extra is not installed.
    """
    if not is_gguf(path):
        raise ValueError(f"path: {str(path)!r} is not a GGUF file")
    try:
        from filelock import FileLock
    except ModuleNotFoundError as error:
        raise MissingExtra(f"local:{path}", "transformers") from error
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = user_cache_path("sagechain") / "models" / f"{path.stem}-{digest[:16]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _converted(path, Path(f"{folder}.partial")).rename(folder)
    return folder


def _converted(path: Path, folder: Path) -> Path:
    """The checkpoint in `folder`, whatever an earlier try left there."""
    print(f"Converting {path.name} for transformers, once; half a minute …", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _convert(path, folder)
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, ImportError):
            raise MissingExtra(f"local:{path}", "transformers") from error
        what = f"transformers cannot read {str(path)!r}: broken, of an unknown kind, or too large for the memory."
        raise ModelNotLoaded(path.name, what) from error
    return folder


def _convert(path: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from .engine import quiet, working_dtype

    with quiet():
        tokenizer: Any = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        read: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        # transformers 5.23 refuses to save what it read from a GGUF, so the weights go into a model of no such past.
        del read.config.quantization_config
        model: Any = AutoModelForCausalLM.from_config(read.config)  # type: ignore[no-untyped-call]
        model.load_state_dict(read.state_dict())
        known = tokenizer.get_vocab()
        ends = [known[token] for token in END_TOKENS if token in known]
        model.generation_config = read.generation_config
        model.generation_config.eos_token_id = list(dict.fromkeys([read.config.eos_token_id, *ends]))
        model.to(working_dtype()).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
