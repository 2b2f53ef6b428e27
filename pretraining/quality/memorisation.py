"""Find how much of a model's text stands word for word in its training data: exact, in flat memory, in one pass mostly.

The completions become one suffix automaton, which reads the training tokens once and keeps the longest match at each of
its states. Reading in Python is slow, so numpy first marks where a few tokens in a row are any completion's, by a hash;
a wrong mark costs time only, and what is not marked cannot hold a match of that length. A completion without a match of
that length is searched for again with fewer tokens in a row.

Source: suffix automata and matching statistics, Gusfield, Algorithms on Strings, Trees and Sequences, sections 7.8 and 6.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

ROWS = (16, 4, 1)  # tokens in a row that are looked for first; powers of two
CHUNK = 1 << 20  # tokens read at once
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd; the fractional part of the golden ratio
TABLE_BITS = 22


class Tokens(Protocol):
    """A row of tokens: a `TokenArray`, or an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> "np.ndarray[Any, Any]": ...


@dataclass(frozen=True)
class Copy:
    """The longest run of a completion's tokens that the training data holds."""

    tokens: int
    """How long it is; 0 where not one token of the completion was trained on."""
    start: int
    """Where it begins in the completion."""
    share: float
    """Of the completion's tokens, from 0 to 1."""
    text: str | None = None
    """The run, decoded; None without a tokenizer."""


def longest_verbatim_copy(completion: Sequence[int], train: Tokens, *, end_of_text: int, tokenizer: Any = None) -> Copy:
    """As `longest_verbatim_copies`, for one completion. Several at once take hardly longer than one."""
    return longest_verbatim_copies([completion], train, end_of_text=end_of_text, tokenizer=tokenizer)[0]


def longest_verbatim_copies(
    completions: Sequence[Sequence[int]], train: Tokens, *, end_of_text: int, tokenizer: Any = None, chunk: int = CHUNK
) -> list[Copy]:
    """The longest copy in each completion; where several are equally long, the first.

    Args:
        completions: token ids of what the model wrote, its prompt not among them.
        train: the training tokens, such as `TokenArray(data / "tokens", "train", vocabulary)`.
        end_of_text: the token between documents; no copy contains it.
        tokenizer: decodes the copies.
        chunk: tokens read at once.

    Raises:
        ValueError: `chunk` is below 1.
    """
    if chunk < 1:
        raise ValueError(f"chunk: {chunk} is below 1")
    found: dict[int, tuple[int, int]] = {}
    for row in ROWS:
        left = [number for number, ids in enumerate(completions) if number not in found and len(ids) >= row]
        if left:
            searched = _search([completions[number] for number in left], train, end_of_text, row, chunk)
            found.update({number: copy for number, copy in zip(left, searched, strict=True) if copy[0] >= row})
    return [_copy(ids, *found.get(number, (0, 0)), tokenizer) for number, ids in enumerate(completions)]


def _copy(completion: Sequence[int], length: int, start: int, tokenizer: Any) -> Copy:
    run = list(completion[start : start + length])
    return Copy(
        tokens=length,
        start=start,
        share=length / len(completion) if completion else 0.0,
        text=None if tokenizer is None else tokenizer.decode(run),
    )


def _search(
    completions: Sequence[Sequence[int]], train: Tokens, end_of_text: int, row: int, chunk: int
) -> list[tuple[int, int]]:
    """Length and start of each completion's longest copy; right only where it has at least `row` tokens."""
    automaton = _SuffixAutomaton()
    for number, completion in enumerate(completions):
        # Numbers below 0 are no tokens, so no match crosses from one completion into the next, or over an end-of-text.
        automaton.extend([-1 if token == end_of_text else token for token in completion])
        automaton.extend([-2 - number])
    marks = _Marks(completions, row)
    longest = max(map(len, completions))
    for first in range(0, len(train), chunk):
        tokens = np.asarray(train[first : first + chunk + longest - 1]).astype(np.int64)
        for start, stop in marks.runs(tokens):
            automaton.read(tokens[start:stop].tolist())
    automaton.finish()
    return [automaton.longest(completion, end_of_text) for completion in completions]


class _Marks:
    """Where a row of `row` tokens may be one of any completion."""

    def __init__(self, completions: Sequence[Sequence[int]], row: int) -> None:
        self._row = row
        hashes = [_hashes(np.array(completion, np.int64), row) for completion in completions if len(completion) >= row]
        self._known = np.unique(np.concatenate(hashes))
        self._table = np.zeros(1 << TABLE_BITS, np.bool_)
        self._table[self._places(self._known)] = True

    def runs(self, tokens: "np.ndarray[Any, Any]") -> Iterator[tuple[int, int]]:
        """Parts of `tokens` that hold every match of at least `row` tokens, each match whole in one part."""
        if len(tokens) < self._row:
            return
        hashes = _hashes(tokens, self._row)
        marked = np.flatnonzero(self._table[self._places(hashes)])
        marked = marked[np.isin(hashes[marked], self._known)]
        if not len(marked):
            return
        gaps = np.flatnonzero(np.diff(marked) > 1)
        starts, ends = marked[np.append(0, gaps + 1)], marked[np.append(gaps, len(marked) - 1)]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            yield start, end + self._row

    @staticmethod
    def _places(hashes: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
        return hashes >> np.uint64(64 - TABLE_BITS)


def _hashes(tokens: "np.ndarray[Any, Any]", row: int) -> "np.ndarray[Any, Any]":
    """A hash of each `row` tokens in a row, modulo 2^64, put together from the hashes of halves."""
    found, length, power = (tokens.astype(np.uint64) + np.uint64(1)) * FACTOR, 1, FACTOR
    with np.errstate(over="ignore"):
        while length < row:
            found = found[:-length] * power + (found[length:] ^ (found[length:] >> np.uint64(29)))
            length, power = length * 2, power * FACTOR
    return found


class _SuffixAutomaton:
    """All runs of the texts put into it, and the longest match with what it reads at each state."""

    def __init__(self) -> None:
        self._next: list[dict[int, int]] = [{}]
        self._link, self._length = [-1], [0]
        self._last = 0
        self._matched = [0]

    def extend(self, text: Sequence[int]) -> None:
        """Append to the text (Blumer et al. 1985)."""
        for token in text:
            self._append(token)

    def _append(self, token: int) -> None:
        following, link, length = self._next, self._link, self._length
        new, state = self._add({}, length[self._last] + 1), self._last
        while state >= 0 and token not in following[state]:
            following[state][token] = new
            state = link[state]
        if state >= 0:
            other = following[state][token]
            if length[other] > length[state] + 1:
                clone = self._add(dict(following[other]), length[state] + 1)
                link[clone] = link[other]
                link[other] = clone
                while state >= 0 and following[state].get(token) == other:
                    following[state][token] = clone
                    state = link[state]
                other = clone
            link[new] = other
        self._last = new

    def _add(self, following: dict[int, int], length: int) -> int:
        self._next.append(following)
        self._link.append(0)
        self._length.append(length)
        self._matched.append(0)
        return len(self._next) - 1

    def read(self, tokens: Sequence[int]) -> None:
        """Read a part of the training data, from a fresh beginning."""
        following, link, length, matched = self._next, self._link, self._length, self._matched
        state = found = 0
        for token in tokens:
            while state and token not in following[state]:
                state = link[state]
                found = length[state]
            if token in following[state]:
                state = following[state][token]
                found += 1
                if found > matched[state]:
                    matched[state] = found

    def finish(self) -> None:
        """A match is also one of its own ends: hand it down along the links, the longest states first."""
        for state in sorted(range(1, len(self._link)), key=self._length.__getitem__, reverse=True):
            link = self._link[state]
            if link > 0 and self._matched[state]:
                self._matched[link] = self._length[link]

    def longest(self, completion: Sequence[int], end_of_text: int) -> tuple[int, int]:
        """Length and start of the longest match of one of the texts, the first of those."""
        state, best, start = 0, 0, 0
        for position, token in enumerate(completion):
            state = self._next[state][-1 if token == end_of_text else token]
            at = state
            while at > 0 and not self._matched[at]:
                at = self._link[at]
            if at > 0 and self._matched[at] > best:
                best = self._matched[at]
                start = position + 1 - best
        return best, start
