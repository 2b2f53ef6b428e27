"""A Hugging Face checkpoint in memory: its weights, its tokenizer, its chat template, shared by all who name it.

How one is asked is `hugging_face_generation.py`; which files make one is said here.
"""

import json
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from ...errors import MissingExtra, ModelNotLoaded
from .gguf import checkpoint_of

DEFAULT_CONTEXT = 2048  # tokens, where neither the model nor its tokenizer has a limit
KEPT_GRAMMARS = 64 * 2**20  # bytes
NO_LIMIT = 10**9  # tokens; transformers writes 10**30 where a tokenizer has none

# Of each set one file must be there.
CHECKPOINT_FILES = (
    ("config.json",),
    ("model.safetensors", "model.safetensors.index.json"),
    ("tokenizer.json", "tokenizer.model", "vocab.json"),
)


class Engine:
    """One checkpoint's model and tokenizer. `lock` is held by whoever generates.

    Raises:
        ModelNotLoaded: broken, of an unknown kind, or too large for the memory.
        MissingExtra: the `transformers` extra is not installed.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        try:
            self._load(folder)
        except ModuleNotFoundError as error:
            raise MissingExtra(f"local:{folder}", "transformers") from error
        except Exception as error:  # transformers raises whatever its parts do
            raise ModelNotLoaded(name, f"transformers cannot load {str(folder)!r}: {error}.") from error
        self._encoding = threading.Lock()  # a tokenizer that one thread sets up must not be in use by another

    def _load(self, folder: Path) -> None:
        import torch
        import transformers

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with quiet():
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            read: Any = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=working_dtype(), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            self.model: Any = read[0].to(self.device).eval()
            self.pipeline: Any = transformers.pipeline("text-generation", model=self.model, tokenizer=self.tokenizer)
        # transformers would fill them with random numbers, and only log it.
        if missing := read[1]["missing_keys"]:
            raise ValueError(f"weights are missing, {min(missing)} among them")
        known, held = len(self.tokenizer), self.model.get_input_embeddings().num_embeddings
        if known > held:
            raise ValueError(f"the tokenizer has {known} tokens, the model {held}")
        self.ends = _ids(self.model.generation_config.eos_token_id) or _ids(self.tokenizer.eos_token_id)
        self.pad: int = (*_ids(self.tokenizer.pad_token_id), *self.ends, 0)[0]
        # All else in a checkpoint's own generation settings would change what our parameters mean.
        self.model.generation_config = transformers.GenerationConfig(  # type: ignore[no-untyped-call]
            eos_token_id=list(self.ends) or None, pad_token_id=self.pad, bos_token_id=self.tokenizer.bos_token_id
        )
        self.context = _context(self.model.config, self.tokenizer)
        bos = self.tokenizer.bos_token
        self._begins_by_itself = bos is not None and self.tokenizer("").input_ids[:1] == [self.tokenizer.bos_token_id]

    @property
    def has_template(self) -> bool:
        """Whether the checkpoint says how messages are laid out."""
        return self.tokenizer.chat_template is not None

    @cached_property
    def grammars(self) -> Any:
        """xgrammar's compiler for the model's tokens; it keeps what it has compiled."""
        from xgrammar import GrammarCompiler, TokenizerInfo, VocabType

        size, ends = self.model.get_input_embeddings().num_embeddings, list(self.ends)
        with self._encoding:
            read = TokenizerInfo.from_huggingface(self.tokenizer, vocab_size=size, stop_token_ids=ends)
        tokens = read.decoded_vocab
        # xgrammar takes special tokens for the text of their names, but in an answer they have none.
        for token in self._specials:
            tokens[token] = b""
        known = TokenizerInfo(tokens, VocabType.RAW, stop_token_ids=ends, add_prefix_space=read.add_prefix_space)
        return GrammarCompiler(known, cache_limit_bytes=KEPT_GRAMMARS)

    def token_ids(self, text: str, *, laid_out: bool = False) -> list[int]:
        """The tokens of a text, as a prompt of that text has them; special tags in it are read as such.

        Args:
            laid_out: the text comes from a chat template, which wrote the first special token itself.
        """
        begun = self._begins_by_itself and text.startswith(self.tokenizer.bos_token)
        with self._encoding:
            # Not verbose: of a text too long for the model transformers would warn, where we refuse it, or only count.
            return list(self.tokenizer(text, add_special_tokens=not (laid_out or begun), verbose=False).input_ids)

    def laid_out(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text that the model's own chat template makes of messages. Raises ValueError where it refuses them."""
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise ValueError(f"messages: the model's chat template refuses them: {error}") from error
        return str(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens; special ones have none."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def special_ids(self, texts: Sequence[str]) -> list[int]:
        """The ids of those texts that are special tokens."""
        return [token for token, text in self._specials.items() if text in texts]

    @property
    def _specials(self) -> dict[int, str]:
        return {token: str(added) for token, added in self.tokenizer.added_tokens_decoder.items() if added.special}


_engines: "weakref.WeakValueDictionary[tuple[object, ...], Engine]" = weakref.WeakValueDictionary()
_engines_lock = threading.Lock()


def engine(path: Path) -> Engine:
    """The engine of a checkpoint folder or a GGUF file, loaded if none is, or if its files have changed.

    Raises:
        ValueError: nothing is there, or a file of the checkpoint is missing.
    """
    if not path.exists():
        raise ValueError(f"path: there is no file or folder {str(path)!r}")
    with _engines_lock:
        folder = path if path.is_dir() else checkpoint_of(path)
        _check(folder)
        stats = ((file.name, file.stat()) for file in sorted(folder.iterdir()))
        key = (folder.resolve(), *((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))
        found = _engines.get(key)
        if found is None:
            found = _engines[key] = Engine(folder, path.name)
        return found


def working_dtype() -> Any:
    """bfloat16 where the hardware multiplies it (any GPU; a CPU with AVX-512 BF16 or AMX), else float32.

    On such a CPU it gives 1.5 times the tokens a second (FACTS §6); on others it is emulated, and slower.
    """
    import torch

    cpu = torch.cpu.get_capabilities()
    fast = torch.cuda.is_available() or cpu.get("avx512_bf16") or cpu.get("amx_bf16")
    return torch.bfloat16 if fast else torch.float32


@contextmanager
def quiet() -> Iterator[None]:
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


def _check(folder: Path) -> None:
    for names in CHECKPOINT_FILES:
        if not any((folder / name).is_file() for name in names):
            raise ValueError(f"path: {str(folder)!r} is no checkpoint: there is no {' or '.join(names)} in it")
    index = folder / "model.safetensors.index.json"
    if index.is_file() and not (folder / "model.safetensors").is_file():
        for name in sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())):
            if not (folder / name).is_file():
                raise ValueError(f"path: {str(folder)!r} is no checkpoint: there is no {name} in it")


def _ids(value: int | Sequence[int] | None) -> tuple[int, ...]:
    """Token ids, that transformers writes as none, one or several."""
    return () if value is None else (value,) if isinstance(value, int) else tuple(value)


def _context(config: Any, tokenizer: Any) -> int:
    # GPT-2's `n_positions` is read by this name too.
    limits = (getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
    return min((limit for limit in limits if limit and limit < NO_LIMIT), default=DEFAULT_CONTEXT)
