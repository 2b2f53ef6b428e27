"""Blocks as batches for one of several processes, from any step on (`tokens.py` defines their order)."""

from collections.abc import Iterator

import torch
from torch.utils.data import IterableDataset

from ..data.tokens import BlockOrder, Blocks


class Batches(IterableDataset[dict[str, torch.Tensor]]):
    """An endless stream of batches of `device_batch` blocks for one rank, from a step on."""

    def __init__(self, blocks: Blocks, order: BlockOrder, *, first_step: int, device_batch: int, rank: int, ranks: int):
        self._blocks, self._order, self._first_step = blocks, order, first_step
        self._device_batch, self._rank, self._ranks = device_batch, rank, ranks

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        step = self._first_step
        while True:
            numbers = self._order.step(step, rank=self._rank, ranks=self._ranks)
            for start in range(0, len(numbers), self._device_batch):
                inputs, targets = self._blocks.read(numbers[start : start + self._device_batch])
                labels = torch.from_numpy(targets)
                # The Trainer counts the targets of a step in `shift_labels`, and looks for `labels` first.
                yield {"input_ids": torch.from_numpy(inputs), "labels": labels, "shift_labels": labels}
            step += 1
