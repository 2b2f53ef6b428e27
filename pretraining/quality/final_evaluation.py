"""The last judgement of a run: what the model makes of the beginnings of files it has not seen."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.tokens import TokenArray
from .completions import longest_verbatim_copies, share_that_parses

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerBase

FILES = 32  # of the validation split, spread evenly
AT_ONCE = 16
CHUNK = 1 << 20  # tokens read at once


def judgement(
    model: "GPT2LMHeadModel",
    tokenizer: "PreTrainedTokenizerBase",
    validation: TokenArray,
    train: TokenArray,
    *,
    at_once: int = AT_ONCE,
) -> dict[str, Any]:
    """Complete the beginnings of unseen files, and look at what comes: a quarter of the context is given, a half made.

    Args:
        at_once: files at most that the device has room for.

    Returns:
        `share_that_parses` with `completions` (how many parse, are broken, are unfinished), and `longest_copy_tokens` with
        `longest_copy`: the longest run of a completion's tokens that stands in the training data, and its text.
    """
    context = model.config.n_positions
    prompts = _beginnings(tokenizer, validation, context // 4)
    parsing = share_that_parses((model, tokenizer), prompts, max_new_tokens=context // 2, batch=min(at_once, AT_ONCE))
    copies = longest_verbatim_copies(
        [completion.ids for completion in parsing.completions],
        train,
        end_of_text=tokenizer.eos_token_id,
        tokenizer=tokenizer,
    )
    longest = max(copies, key=lambda copy: copy.tokens)
    return {
        "share_that_parses": parsing.share,
        "completions": parsing.counts,
        "longest_copy_tokens": longest.tokens,
        "longest_copy": longest.text,
    }


def _beginnings(tokenizer: Any, row: TokenArray, length: int) -> list[str]:
    """The first tokens of some files, as text up to the end of a line where there is one."""
    ends = [-1, *_places(row, tokenizer.eos_token_id)[:-1]]
    chosen = [ends[number * len(ends) // FILES] for number in range(min(FILES, len(ends)))]
    texts = [str(tokenizer.decode(row[end + 1 : end + 1 + length])).split(tokenizer.eos_token)[0] for end in chosen]
    return [text[: text.rfind("\n") + 1] or text for text in texts]


def _places(row: TokenArray, token: int) -> list[int]:
    """Where a token stands in a row, of which only a part is in memory at once."""
    return [
        first + int(place)
        for first in range(0, len(row), CHUNK)
        for place in np.flatnonzero(row[first : first + CHUNK] == token)
    ]
