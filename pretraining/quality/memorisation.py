"""Find the longest part of a model's text that is verbatim in its training data: exact, in flat memory, mostly in one pass.

numpy first marks the places in the training tokens whose next few tokens are, by their hash, in a completion; a false mark
costs time only, and every match of at least that length is inside a run of marks. Each run is then compared with the
completions that share a hash with it. A completion without a match of that length is searched for again with fewer tokens.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from ..data.tokens import TokenArray

SEED_LENGTHS = (16, 4, 1)  # tokens that are searched for by their hash, longest first; powers of two
CHUNK = 1 << 20  # tokens read at once
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd; the fractional part of the golden ratio
TABLE_BITS = 22

Array = np.ndarray[Any, Any]


def longest_verbatim_copies(
    completions: Sequence[Sequence[int]], train: TokenArray | Array, *, end_of_text: int, chunk: int = CHUNK
) -> list[tuple[int, int]]:
    """The longest copy in each completion; of several equally long ones, the first.

    Args:
        completions: token ids of the model's texts, without their prompts.
        train: the training tokens, such as `TokenArray(data / "tokens", "train", vocabulary)`.
        end_of_text: the token between documents; no copy contains it.
        chunk: tokens read at once.

    Returns:
        Length of each copy in tokens, and its first token's position in the completion; 0 and 0 where there is none.
    """
    # Negative ids match nothing, so no copy contains an end-of-text.
    texts = [[-1 if token == end_of_text else token for token in completion] for completion in completions]
    copies: dict[int, tuple[int, int]] = {}
    for seed_length in SEED_LENGTHS:
        remaining = [number for number, text in enumerate(texts) if number not in copies and len(text) >= seed_length]
        if remaining:
            longest = _search([texts[number] for number in remaining], train, seed_length, chunk)
            copies |= {number: copy for number, copy in zip(remaining, longest, strict=True) if copy[0] >= seed_length}
    return [copies.get(number, (0, 0)) for number in range(len(texts))]


def _search(
    texts: Sequence[Sequence[int]], train: TokenArray | Array, seed_length: int, chunk: int
) -> list[tuple[int, int]]:
    """Length and start of each text's longest copy, if that has at least `seed_length` tokens."""
    seeds, best = _Seeds(texts, seed_length), [(0, 0)] * len(texts)
    overlap = max(map(len, texts)) - 1
    for first in range(0, len(train), chunk):
        tokens = np.asarray(train[first : first + chunk + overlap]).astype(np.int64)
        for run, numbers in seeds.runs(tokens):
            matcher = SequenceMatcher[int](None, (), run, autojunk=False)
            # A run that is too short for a longer copy than the best is skipped.
            for number in (each for each in numbers if len(run) >= best[each][0]):
                matcher.set_seq1(texts[number])
                match = matcher.find_longest_match()
                best[number] = min(best[number], (match.size, match.a), key=lambda copy: (-copy[0], copy[1]))
    return best


class _Seeds:
    """The hashes of all parts of `length` tokens of some texts, and the texts of each hash."""

    def __init__(self, texts: Sequence[Sequence[int]], length: int) -> None:
        self._length = length
        self._numbers: dict[int, set[int]] = defaultdict(set)
        for number, text in enumerate(texts):
            for value in _hashes(np.array(text, np.int64), length).tolist():
                self._numbers[value].add(number)
        self._known = np.array(sorted(self._numbers), np.uint64)
        self._table = np.zeros(1 << TABLE_BITS, np.bool_)
        self._table[_table_index(self._known)] = True

    def runs(self, tokens: Array) -> Iterator[tuple[list[int], set[int]]]:
        """The parts of `tokens` that contain all matches, each with the numbers of the texts to compare."""
        if len(tokens) < self._length:
            return
        hashes = _hashes(tokens, self._length)
        marks = np.flatnonzero(self._table[_table_index(hashes)])
        marks = marks[np.isin(hashes[marks], self._known)]
        for run in np.split(marks, np.flatnonzero(np.diff(marks) > 1) + 1) if len(marks) else ():
            numbers = set().union(*(self._numbers[value] for value in hashes[run].tolist()))
            yield tokens[run[0] : run[-1] + self._length].tolist(), numbers


def _table_index(hashes: Array) -> Array:
    return hashes >> np.uint64(64 - TABLE_BITS)


def _hashes(tokens: Array, length: int) -> Array:
    """A hash of each part of `length` tokens, modulo 2^64, combined from the hashes of its halves."""
    hashes, combined, power = (tokens.astype(np.uint64) + np.uint64(1)) * FACTOR, 1, FACTOR
    with np.errstate(over="ignore"):
        while combined < length:
            hashes = hashes[:-combined] * power + (hashes[combined:] ^ (hashes[combined:] >> np.uint64(29)))
            combined, power = combined * 2, power * FACTOR
    return hashes
