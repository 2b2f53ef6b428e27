"""Token files, read as one long array and divided into blocks.

A split of a data set is one array of token ids, stored in the files `train-00000.bin`, `train-00001.bin` … in their
order. Each document is followed by end-of-text. Ids are little-endian uint16 where the vocabulary allows it, else uint32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

IGNORED = -100  # a target that torch's cross entropy ignores


def token_dtype(vocabulary: int) -> "np.dtype[Any]":
    """The type of a token id in the files."""
    return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")


class TokenArray:
    """The tokens of one split, memory-mapped: `tokens[start:stop]` reads only that part.

    Raises:
        ValueError: a split without files, or a file whose size is not a whole number of tokens.
    """

    def __init__(self, folder: Path, split: str, vocabulary: int) -> None:
        paths = sorted(folder.glob(f"{split}-*.bin"))
        if not paths:
            raise ValueError(f"data: {folder} contains no tokens {split}-*.bin; run `sagechain pretrain prepare`")
        dtype = token_dtype(vocabulary)
        for path in paths:
            if path.stat().st_size % dtype.itemsize:
                raise ValueError(
                    f"data: {path} is truncated: its size is not a multiple of {dtype.itemsize} bytes; prepare again"
                )
        # numpy cannot map an empty file.
        self._shards = [np.memmap(path, dtype, "r") for path in paths if path.stat().st_size]
        self._ends = np.cumsum([len(shard) for shard in self._shards], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, part: slice) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """Tokens as int64, across the ends of files."""
        start, stop, _ = part.indices(len(self))
        pieces: list[Any] = []
        number = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            begin = int(self._ends[number]) - len(self._shards[number])
            end = min(stop, int(self._ends[number]))
            pieces.append(self._shards[number][start - begin : end - begin])
            start, number = end, number + 1
        return np.concatenate(pieces).astype(np.int64) if pieces else np.zeros(0, np.int64)


class Blocks:
    """Tokens divided into blocks for a model that predicts the next token: each token but the first is a target once.

    Block i has the inputs [i·context, (i+1)·context) and the targets one token later, so the last target of one block is
    the first input of the next. The last block is filled up with `IGNORED` targets.
    """

    def __init__(self, tokens: TokenArray, context: int) -> None:
        self.tokens, self.context = tokens, context
        self.targets = max(len(tokens) - 1, 0)

    def __len__(self) -> int:
        return (self.targets + self.context - 1) // self.context

    def read(self, numbers: Sequence[int]) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """Inputs and targets of these blocks, both int64 of shape (blocks, context)."""
        inputs = np.zeros((len(numbers), self.context), np.int64)
        targets = np.full((len(numbers), self.context), IGNORED, np.int64)
        for place, number in enumerate(numbers):
            part = self.tokens[number * self.context : (number + 1) * self.context + 1]
            inputs[place, : len(part) - 1] = part[:-1]
            targets[place, : len(part) - 1] = part[1:]
        return inputs, targets


class BlockOrder:
    """The blocks of each step: shuffled again in every epoch, the same for the same seed, computed for any step directly.

    Epochs follow without a gap: the last blocks of one epoch and the first of the next may be in one step. The ranks of
    a run divide a step: their parts together are the blocks that one process alone would read.
    """

    def __init__(self, blocks: int, *, batch: int, seed: int) -> None:
        if blocks < 1:
            raise ValueError("data: the train split contains fewer than two tokens; prepare a larger corpus")
        self._blocks, self._batch, self._seed = blocks, batch, seed
        self._epoch, self._shuffled = -1, np.zeros(0, np.int64)

    def step(self, number: int, *, rank: int = 0, ranks: int = 1) -> list[int]:
        """The blocks of one step (from 0), of one rank."""
        share = self._batch // ranks
        first = number * self._batch + rank * share
        return [self._block(place) for place in range(first, first + share)]

    def _block(self, place: int) -> int:
        epoch, within = divmod(place, self._blocks)
        if epoch != self._epoch:
            self._epoch = epoch
            self._shuffled = np.random.Generator(np.random.Philox(key=[self._seed, epoch])).permutation(self._blocks)
        return int(self._shuffled[within])
