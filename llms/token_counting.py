"""A model's own tokenizer, by a file, a folder or its name on the Hugging Face hub, to count tokens without the model."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from sagechain.prompts import replace_half_characters

from .errors import MissingExtra, ModelNotLoaded

FILE = "tokenizer.json"


@cache
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
        from tokenizers import Tokenizer
    except ModuleNotFoundError as error:
        raise MissingExtra(model_name, "transformers") from error
    file = _file(tokenizer, model_name)
    try:
        read = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises bare Exception
        raise ValueError(f"tokenizer: {str(file)!r} cannot be read: {error}") from error

    def token_ids(text: str) -> list[int]:
        ids: list[int] = read.encode(replace_half_characters(text)).ids
        return ids

    return token_ids


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
