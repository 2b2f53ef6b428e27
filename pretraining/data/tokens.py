"""Token files: written as they come, read as one long row, cut into blocks.

A split of a data set is one row of token ids that lies in files, `train-00000.bin`, `train-00001.bin` …, in their order.
Each document is followed by end-of-text. Ids are little-endian uint16 where the vocabulary allows it, else uint32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

IGNORED = -100  # what torch's cross entropy leaves out


def token_dtype(vocabulary: int) -> "np.dtype[Any]":
    """How wide a token id is in the files."""
    return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")


class TokenArray:
    """The tokens of one split, memory-mapped: `row[start:stop]` reads what is asked for only.

    Raises:
        ValueError: there are no such files, or one's size is not a whole number of tokens.
    """

    def __init__(self, folder: Path, split: str, vocabulary: int) -> None:
        paths = sorted(folder.glob(f"{split}-*.bin"))
        if not paths:
            raise ValueError(f"data: there are no tokens {split}-*.bin in {folder}; run `sagechain pretrain prepare`")
        kind = token_dtype(vocabulary)
        for path in paths:
            if path.stat().st_size % kind.itemsize:
                raise ValueError(
                    f"data: {path} is cut: its size is not a multiple of {kind.itemsize} bytes; prepare again"
                )
        # numpy cannot map an empty file.
        self._shards = [np.memmap(path, kind, "r") for path in paths if path.stat().st_size]
        self._ends = np.cumsum([len(shard) for shard in self._shards], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, part: slice) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """Tokens as int64, over the borders of files."""
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
    """A row cut into blocks for a model that predicts the next token: each token of the row but the first is a target once.

    Block i reads tokens [i·context, (i+1)·context) and predicts those one further on, so neighbours share one token, as
    the last target of one and the first input of the next. The last block is filled up with `IGNORED` targets.
    """

    def __init__(self, row: TokenArray, context: int) -> None:
        self.row, self.context = row, context
        self.targets = max(len(row) - 1, 0)

    def __len__(self) -> int:
        return (self.targets + self.context - 1) // self.context

    def read(self, numbers: Sequence[int]) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]":
        """Inputs and targets of these blocks, both int64 of shape (blocks, context)."""
        inputs = np.zeros((len(numbers), self.context), np.int64)
        targets = np.full((len(numbers), self.context), IGNORED, np.int64)
        for place, number in enumerate(numbers):
            tokens = self.row[number * self.context : (number + 1) * self.context + 1]
            inputs[place, : len(tokens) - 1] = tokens[:-1]
            targets[place, : len(tokens) - 1] = tokens[1:]
        return inputs, targets


class BlockOrder:
    """Which blocks each step reads: shuffled anew in every epoch, the same for the same seed, known for any step at once.

    Steps run over epochs without a gap: what is left of one epoch begins the next step. Ranks of a group share a step:
    each reads its own part, and their parts together are what one process alone would read.
    """

    def __init__(self, blocks: int, *, batch: int, seed: int) -> None:
        if blocks < 1:
            raise ValueError("data: the train split holds fewer than two tokens; prepare a larger corpus")
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
