"""A Hugging Face checkpoint in memory: weights, tokenizer, chat template; models over one folder share it."""

import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sagechain.prompts import replace_half_characters

from ...errors import MissingExtra, ModelNotLoaded
from ...forks import RenewedLock, renew_in_child
from ..weights import FileVersion
from .checkpoint import check_checkpoint, quiet_transformers, working_dtype
from .gguf import checkpoint_of
from .guidance import guidance_tokenizer, reads_tokenizer

DEFAULT_CONTEXT = 2048  # tokens, where neither the model nor its tokenizer has a limit
NO_LIMIT = 10**9  # tokens; transformers writes 10**30 where a tokenizer has none


class Engine:
    """One checkpoint's model and tokenizer. A thread that generates holds `lock`.

    Args:
        folder: the checkpoint.
        version: of its files, when they were last looked at.
        source: the folder, or the GGUF file that it was made from.

    Raises:
        ModelNotLoaded: broken, of an unknown kind, or too large for the memory.
        MissingExtra: the `transformers` extra is not installed.
    """

    def __init__(self, folder: Path, version: FileVersion, source: Path) -> None:
        self.version, self.name, self._source = version, source.name, source.absolute()
        self.lock = RenewedLock()
        self._tokenizer_lock = RenewedLock()  # a tokenizer must not be used while another thread sets it up
        self._guidance_tokenizer: Any = None
        renew_in_child(self, _use_one_thread)
        try:
            self._load(folder)
        except ModuleNotFoundError as error:
            raise MissingExtra(f"local:{folder}", "transformers") from error
        except Exception as error:  # transformers raises whatever its parts do
            raise ModelNotLoaded(self.name, f"transformers cannot load {str(folder)!r}: {error}.") from error
        if FileVersion.of(folder, check_checkpoint(folder)) != version:
            raise ModelNotLoaded(self.name, f"{str(folder)!r} has changed while it was loaded.")

    def _load(self, folder: Path) -> None:
        import torch
        import transformers

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with quiet_transformers():
            self.tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=working_dtype(), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            self.model: Any = loaded[0].to(self.device).eval()
            self.pipeline: Any = transformers.pipeline("text-generation", model=self.model, tokenizer=self.tokenizer)
        # transformers would fill them with random numbers, and only log it.
        if missing := loaded[1]["missing_keys"]:
            raise ValueError(f"weights are missing, {min(missing)} among them")
        if len(self.tokenizer) > self._vocabulary_size:
            raise ValueError(f"the tokenizer has {len(self.tokenizer)} tokens, the model {self._vocabulary_size}")
        self.end_ids = _ids(self.model.generation_config.eos_token_id) or _ids(self.tokenizer.eos_token_id)
        self.pad_id: int = (*_ids(self.tokenizer.pad_token_id), *self.end_ids, 0)[0]
        # Everything else in a checkpoint's own generation settings would change the meaning of sagechain's parameters.
        self.model.generation_config = transformers.GenerationConfig(  # type: ignore[no-untyped-call]
            eos_token_id=list(self.end_ids) or None, pad_token_id=self.pad_id, bos_token_id=self.tokenizer.bos_token_id
        )
        self.context = _context(self.model.config, self.tokenizer)
        bos = self.tokenizer.bos_token
        self.constrains = bool(self.end_ids) and reads_tokenizer(self.tokenizer)
        """Whether llguidance can constrain the decoding, and the model has a token that ends an answer."""
        self._adds_bos = bos is not None and self.tokenizer("").input_ids[:1] == [self.tokenizer.bos_token_id]

    @property
    def has_template(self) -> bool:
        """Whether the checkpoint has a chat template."""
        return self.tokenizer.chat_template is not None

    def token_ids(self, text: str, *, from_template: bool = False) -> list[int]:
        """The tokens of a prompt with this text; special tags in it are read as such.

        Args:
            from_template: the text comes from a chat template, which wrote the first special token itself.
        """
        text = replace_half_characters(text)
        has_bos = self._adds_bos and text.startswith(self.tokenizer.bos_token)
        with self._tokenizer_lock:
            # Not verbose: transformers would warn of a text too long for the model, which we refuse or only count.
            tokens = self.tokenizer(text, add_special_tokens=not (from_template or has_bos), verbose=False)
            return list(tokens.input_ids)

    def apply_template(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The text that the chat template makes of messages. Raises ValueError if it refuses them."""
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
        added = self.tokenizer.added_tokens_decoder.items()
        return [token_id for token_id, token in added if token.special and str(token) in texts]

    @property
    def guidance_tokenizer(self) -> Any:
        """The tokenizer for `compile_grammar`."""
        with self._tokenizer_lock:
            if self._guidance_tokenizer is None:
                self._guidance_tokenizer = guidance_tokenizer(self.tokenizer, self._vocabulary_size, self.end_ids)
            return self._guidance_tokenizer

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles carry the path, never the weights."""
        return shared_engine, (self._source,)

    @property
    def _vocabulary_size(self) -> int:
        return int(self.model.get_input_embeddings().num_embeddings)


_engines: "weakref.WeakValueDictionary[tuple[object, ...], Engine]" = weakref.WeakValueDictionary()
_engines_lock = RenewedLock()


def shared_engine(path: Path) -> Engine:
    """The engine of a checkpoint folder or a GGUF file, loaded if it is not in memory or its files have changed.

    Raises:
        ValueError: the path does not exist, or a file of the checkpoint is missing.
    """
    if not path.exists():
        raise ValueError(f"path: the file or folder {str(path)!r} does not exist")
    with _engines_lock:
        folder = path if path.is_dir() else checkpoint_of(path)
        version = FileVersion.of(folder, check_checkpoint(folder))
        key = (folder.resolve(), version.key)
        engine = _engines.get(key)
        if engine is None:
            engine = _engines[key] = Engine(folder, version, path)
        return engine


def _use_one_thread(engine: Engine) -> None:
    """In a forked child: torch 2.13 hangs at its first parallel operation, because the parent's threads are missing."""
    import torch

    torch.set_num_threads(1)


def _ids(value: int | Sequence[int] | None) -> tuple[int, ...]:
    """Token ids, which transformers writes as None, one or several."""
    return () if value is None else (value,) if isinstance(value, int) else tuple(value)


def _context(config: Any, tokenizer: Any) -> int:
    # GPT-2's `n_positions` is read by this name too.
    limits = (getattr(config, "max_position_embeddings", None), tokenizer.model_max_length)
    return min((limit for limit in limits if limit and limit < NO_LIMIT), default=DEFAULT_CONTEXT)
