"""A model's own tokenizer, by a file, a folder or its name on the Hugging Face hub, to count tokens without the model."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from .errors import MissingExtra, ModelNotLoaded

FILE = "tokenizer.json"


@cache
def token_ids_by(tokenizer: str, asked_by: str) -> Callable[[str], list[int]]:
    """What makes token ids of a text.

    Args:
        tokenizer: a `tokenizer.json`, a folder that has one, or a model's name on the hub (`tiiuae/falcon-7b-instruct`).
        asked_by: the endpoint or model that errors speak of.

    Raises:
        ValueError: there is no such file, or it cannot be read.
        MissingExtra: the package that reads tokenizers is not installed.
        ModelNotLoaded: the hub has none of that name, or cannot be reached.
    """
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise MissingExtra(asked_by, "transformers") from error
    file = _file(tokenizer, asked_by)
    try:
        read = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises bare Exception
        raise ValueError(f"tokenizer: {str(file)!r} cannot be read: {error}") from error

    def token_ids(text: str) -> list[int]:
        ids: list[int] = read.encode(text).ids
        return ids

    return token_ids


def _file(tokenizer: str, asked_by: str) -> Path:
    path = Path(tokenizer).expanduser()
    if path.is_dir():
        path = path / FILE
    if path.is_file():
        return path
    if not _may_be_a_name(tokenizer):
        raise ValueError(f"tokenizer: there is no file {str(path)!r}; a name on the hub has the form OWNER/MODEL")
    return _fetched(tokenizer, asked_by)


def _may_be_a_name(tokenizer: str) -> bool:
    owner, slash, model = tokenizer.partition("/")
    return bool(slash and owner.strip(".~") and model) and "/" not in model and not model.endswith(".json")


def _fetched(name: str, asked_by: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise MissingExtra(asked_by, "local") from error
    try:
        return Path(hf_hub_download(name, FILE))
    except (OSError, ValueError) as error:  # all of the hub's errors are one of these
        said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelNotLoaded(asked_by, f"the tokenizer {name!r} cannot be had from the hub: {said}") from error
