"""A model's own tokenizer, by a file, a folder or its name on the Hugging Face hub, to count tokens without the model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from sagechain.prompts import replace_half_characters

from .errors import MissingExtra, ModelNotLoaded

FILE = "tokenizer.json"
MAX_TOKENIZERS = 32  # in memory


def load_tokenizer(tokenizer: str, model_name: str) -> Callable[[str], list[int]]:
    """A function that returns the token ids of a text.

    Args:
        tokenizer: a `tokenizer.json`, a folder that has one, or a model's name on the hub (`tiiuae/falcon-7b-instruct`).
        model_name: the endpoint or model, for errors.

    Raises:
        ValueError: the file does not exist, or cannot be read.
        MissingExtra: the package that reads tokenizers is not installed.
        ModelNotLoaded: the hub has no such tokenizer, or cannot be reached.
    """
    try:
        import tokenizers  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(model_name, "transformers") from error
    file = _file(tokenizer, model_name)
    stat = file.stat()
    found = _Tokenizer(file, (stat.st_size, stat.st_mtime_ns, stat.st_ino))
    _read(found)
    return partial(_token_ids, found)


@dataclass(frozen=True)
class _Tokenizer:
    """A file as it was at one time; copied and pickled as that, and read again where it is not in memory."""

    file: Path
    version: tuple[int, ...]


def _token_ids(tokenizer: _Tokenizer, text: str) -> list[int]:
    ids: list[int] = _read(tokenizer).encode(replace_half_characters(text)).ids
    return ids


@lru_cache(maxsize=MAX_TOKENIZERS)
def _read(tokenizer: _Tokenizer) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(tokenizer.file))
    except Exception as error:  # tokenizers raises bare Exception
        raise ValueError(f"tokenizer: {str(tokenizer.file)!r} cannot be read: {error}") from error


def estimate_tokens(text: str) -> int:
    """A third of the text's bytes: about a third too many for English prose (4 bytes a token), too few for digits.

    Llama 2's tokenizer makes a token of every digit: of 1,000 digits this counts 334.
    """
    return -(-len(replace_half_characters(text).encode()) // 3)


def prompt_too_long(tokens: int, context: int, advice: str) -> ValueError:
    """The error for a prompt that does not fit into the model's context."""
    return ValueError(
        f"prompt: it has {tokens} tokens, {tokens - context} more than the context of {context}; {advice}"
    )


def _file(tokenizer: str, model_name: str) -> Path:
    path = Path(tokenizer).expanduser()
    if path.is_dir():
        path = path / FILE
    if path.is_file():
        return path
    if not _is_hub_name(tokenizer):
        raise ValueError(
            f"tokenizer: the file {str(path)!r} does not exist; a name on the hub has the form OWNER/MODEL"
        )
    return _download(tokenizer, model_name)


def _is_hub_name(tokenizer: str) -> bool:
    owner, slash, model = tokenizer.partition("/")
    return bool(slash and owner.strip(".~") and model) and "/" not in model and not model.endswith(".json")


@cache
def _download(name: str, model_name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise MissingExtra(model_name, "local") from error
    try:
        return Path(hf_hub_download(name, FILE))
    except (OSError, ValueError) as error:  # all of the hub's errors are one of these
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelNotLoaded(
            model_name, f"the tokenizer {name!r} cannot be downloaded from the hub: {reason}"
        ) from error
