"""GGUF files for transformers: converted once to an ordinary checkpoint, which loads fast from then on.

transformers takes half a minute to read a GGUF, at every load. The checkpoint is stored in the user's cache folder under
the file's SHA-256, so a copy of the file is not converted again and a changed file is.
"""

import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from ...errors import MissingExtra, ModelNotLoaded
from ..gguf_header import check_gguf
from .checkpoint import quiet_transformers, working_dtype

# llama.cpp ends an answer at these too, whatever the file states; found by trying (xllamacpp 2026.10, `<|endoftext|>`)
# and in its source, src/llama-vocab.cpp, `special_eog_ids`.
END_TOKENS = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<|end_of_text|>")


def checkpoint_of(path: Path) -> Path:
    """The folder of a checkpoint with the weights, the tokenizer and the chat template of a GGUF file.

    Raises:
        ValueError: not a GGUF file.
        ModelNotLoaded: broken, or of a kind that transformers does not read.
        MissingExtra: the `transformers` extra is not installed.
    """
    check_gguf(path)
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
                _convert_in(Path(f"{folder}.partial"), path).rename(folder)
    return folder


def _convert_in(folder: Path, path: Path) -> Path:
    """Convert into `folder`, which an earlier attempt may have left half filled."""
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

    with quiet_transformers():
        tokenizer: Any = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        source: Any = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        # transformers 5.23 refuses to save a model that came from a GGUF, so the weights move to a new one.
        del source.config.quantization_config
        model: Any = AutoModelForCausalLM.from_config(source.config)  # type: ignore[no-untyped-call]
        model.load_state_dict(source.state_dict())
        vocabulary = tokenizer.get_vocab()
        ends = [vocabulary[token] for token in END_TOKENS if token in vocabulary]
        model.generation_config = source.generation_config
        model.generation_config.eos_token_id = list(dict.fromkeys([source.config.eos_token_id, *ends]))
        model.to(working_dtype()).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
