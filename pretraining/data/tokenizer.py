"""A byte-level BPE tokenizer, trained on the corpus.

    tokenizer = train_tokenizer(texts, vocab_size=8192)
    tokenizer.save_pretrained("tokenizer")

It works on bytes, so every text can be encoded and is decoded exactly; `<|endoftext|>` ends each document, as in GPT-2.
Source: Radford et al. 2019, section 2.2 (byte-level BPE).
"""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
SMALLEST_VOCABULARY = 257  # the 256 bytes and `<|endoftext|>`


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, context: int | None = None) -> "PreTrainedTokenizerFast":
    """Train a tokenizer on texts.

    Args:
        texts: the documents; each is read once. Every distinct word is in memory, so give a sample of a large corpus.
        vocab_size: tokens at most, which passed `check_vocab_size`.
        context: the model's context in tokens, stored as `model_max_length`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    options = {"model_max_length": context} if context else {}
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        clean_up_tokenization_spaces=False,
        **options,
    )


def check_vocab_size(vocab_size: int) -> None:
    """Raise ValueError for a vocabulary that is too small for all bytes."""
    if vocab_size < SMALLEST_VOCABULARY:
        raise ValueError(
            f"vocab_size: {vocab_size} is too few: 256 bytes and {END_OF_TEXT} need at least {SMALLEST_VOCABULARY}"
        )


def token_ids(tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str]) -> list[list[int]]:
    """The token ids of each text, without end-of-text. `<|endoftext|>` inside a text is ordinary text.

    Args:
        tokenizer: encodes by its fast path, without offsets.
    """
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]


# Byte-level BPE first splits a text into contractions, words, numbers, signs and blanks (GPT-2's encoder.py).
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# The same for ASCII, for Python's own `re`, which is three times as fast.
ASCII_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
CACHED_WORDS = 200_000  # of some 100 bytes each


class WordEncoder:
    """Encodes texts to the ids of `token_ids`, as bytes for a token file, several times faster on much text.

    No merge crosses the end of a word, and code repeats its words, so each word is encoded once and then looked up.
    """

    def __init__(self, tokenizer: "Tokenizer", dtype: "np.dtype[Any]") -> None:
        import regex

        self._tokenizer, self._dtype = tokenizer, dtype
        self._words, self._ascii_words = regex.compile(WORDS), re.compile(ASCII_WORDS, re.ASCII)
        self._cache: dict[str, bytes] = {}
        tokenizer.encode_special_tokens = True

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """The ids of each text, as the bytes of a token file."""
        split = [(self._ascii_words if text.isascii() else self._words).findall(text) for text in texts]
        if len(self._cache) > CACHED_WORDS:
            self._cache.clear()
        new = list({word for words in split for word in words} - self._cache.keys())
        for word, encoding in zip(new, self._tokenizer.encode_batch_fast(new, add_special_tokens=False), strict=True):
            self._cache[word] = np.array(encoding.ids, self._dtype).tobytes()
        return [b"".join(map(self._cache.__getitem__, words)) for words in split]
