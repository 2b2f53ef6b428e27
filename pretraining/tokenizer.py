"""A byte-level BPE tokenizer, trained on the corpus.

    tokenizer = train_tokenizer(texts, vocab_size=8192)
    tokenizer.save_pretrained("tokenizer")

Byte-level, so every text has tokens and comes back exactly; `<|endoftext|>` ends each document, as in GPT-2.
Source: Radford et al. 2019, section 2.2 (byte-level BPE).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
# The 256 bytes and `<|endoftext|>`.
SMALLEST_VOCABULARY = 257


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, context: int | None = None) -> "PreTrainedTokenizerFast":
    """A tokenizer made from texts.

    Args:
        texts: the documents; each is read once. The trainer keeps every distinct word in memory, so give a sample of a
            large corpus.
        vocab_size: how many tokens at most, with the 256 bytes and `<|endoftext|>` among them.
        context: tokens that a model of it reads at once, kept as `model_max_length`.

    Raises:
        ValueError: a vocabulary of fewer than 257, or texts that hold no word.
    """
    if vocab_size < SMALLEST_VOCABULARY:
        raise ValueError(
            f"vocab_size: {vocab_size} is too few: 256 bytes and {END_OF_TEXT} need at least {SMALLEST_VOCABULARY}"
        )
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


def encoded(tokenizer: "PreTrainedTokenizerFast", texts: Sequence[str]) -> list[list[int]]:
    """The token ids of each text, end-of-text not among them; `<|endoftext|>` written in a text is read as text.

    The quick path of the tokenizers library: no offsets, no Python object for a token.
    """
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
