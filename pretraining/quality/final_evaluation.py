"""The final evaluation of a run: the model's completions of unseen files, their syntax and their copies."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.tokens import TokenArray
from .completions import check_syntax, complete
from .memorisation import longest_verbatim_copies

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

FILES = 32  # of the validation split, spread evenly
BATCH = 16  # files of one generation
CHUNK = 1 << 20  # tokens read at once


def evaluate_completions(
    model: "GPT2LMHeadModel",
    tokenizer: "PreTrainedTokenizerBase",
    validation: TokenArray,
    train: TokenArray,
    *,
    batch: int = BATCH,
) -> dict[str, Any]:
    """Complete the beginnings of unseen files: a prompt of a quarter of the context, a completion of a half.

    Args:
        validation, train: the tokens of the splits.
        batch: most files that the device has room for.

    Returns:
        `share_that_parses` (0 to 1) with `completions` (the numbers that parse, are broken, are unfinished), and
        `longest_copy_tokens` with `longest_copy`: the longest part of a completion that is in the training data, and its
        text.
    """
    context = model.config.n_positions
    prompts = _beginnings(tokenizer, validation, context // 4)
    completions = complete(model, tokenizer, prompts, max_new_tokens=context // 2, batch=min(batch, BATCH))
    syntax = Counter(map(check_syntax, completions))
    ids = [completion.ids for completion in completions]
    copies = longest_verbatim_copies(ids, train, end_of_text=tokenizer.eos_token_id)
    (length, start), copied_ids = max(zip(copies, ids, strict=True), key=lambda pair: pair[0][0])
    return {
        "share_that_parses": syntax["parses"] / len(completions),
        "completions": {kind: syntax[kind] for kind in ("parses", "broken", "unfinished")},
        "longest_copy_tokens": length,
        "longest_copy": tokenizer.decode(list(copied_ids[start : start + length])),
    }


def _beginnings(tokenizer: Any, tokens: TokenArray, length: int) -> list[str]:
    """The first tokens of some files, as text up to the end of a line if there is one."""
    ends = [-1, *_positions(tokens, tokenizer.eos_token_id)[:-1]]
    starts = [ends[number * len(ends) // FILES] for number in range(min(FILES, len(ends)))]
    texts = [str(tokenizer.decode(tokens[end + 1 : end + 1 + length])).split(tokenizer.eos_token)[0] for end in starts]
    return [text[: text.rfind("\n") + 1] or text for text in texts]


def _positions(tokens: TokenArray, token: int) -> list[int]:
    """The positions of a token, read in parts that fit into memory."""
    return [
        first + int(position)
        for first in range(0, len(tokens), CHUNK)
        for position in np.flatnonzero(tokens[first : first + CHUNK] == token)
    ]
