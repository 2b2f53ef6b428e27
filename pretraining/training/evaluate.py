"""How well a model predicts text it has not seen: bits per byte, and how often its first guess is right.

Bits per byte is the loss in bits over the bytes of the text, so models with different tokenizers compare, and it is what an
arithmetic coder with this model would need. What ends a document counts as a target, and has no byte.

Each block is read on its own, so a target sees at most `context` tokens before it.
"""

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import torch

from ..data.tokens import IGNORED, Blocks
from .model import fast_precision, losses

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

BLOCKS_AT_ONCE = 16


@dataclass(frozen=True)
class Evaluation:
    """Sums over targets, so that parts add up."""

    nats: float
    right: int
    targets: int

    def __add__(self, other: "Evaluation") -> "Evaluation":
        return Evaluation(self.nats + other.nats, self.right + other.right, self.targets + other.targets)

    @property
    def loss(self) -> float:
        """Nats a target."""
        return self.nats / self.targets

    @property
    def accuracy(self) -> float:
        """The share of targets that are the model's first guess."""
        return self.right / self.targets

    def bits_per_byte(self, bytes_per_token: float) -> float:
        """Bits a byte of text, where a token of the split (end-of-text among them) stands for so many bytes."""
        return self.loss / log(2) / bytes_per_token


@torch.no_grad()
def evaluate(
    model: "GPT2LMHeadModel",
    blocks: Blocks,
    numbers: list[int],
    *,
    precision: str = "auto",
    at_once: int = BLOCKS_AT_ONCE,
) -> Evaluation:
    """Judge a model on these blocks.

    Args:
        numbers: of the blocks.
        precision: of `fast_precision`.
        at_once: blocks of one forward pass.
    """
    device = next(model.parameters()).device
    was_training, found = model.training, Evaluation(0.0, 0, 0)
    model.eval()  # type: ignore[no-untyped-call]
    try:
        for first in range(0, len(numbers), at_once):
            inputs, targets = (
                torch.from_numpy(array).to(device) for array in blocks.read(numbers[first : first + at_once])
            )
            with fast_precision(device, precision):
                logits = model(input_ids=inputs, use_cache=False).logits
            right = (logits.argmax(-1) == targets).sum()
            nats = losses(logits.float(), targets).sum(dtype=torch.float64)
            found += Evaluation(float(nats), int(right), int((targets != IGNORED).sum()))
    finally:
        model.train(was_training)
    return found


def some_blocks(blocks: Blocks, count: int) -> list[int]:
    """So many blocks, spread evenly; all of them where there are fewer."""
    total = len(blocks)
    return list(range(total)) if total <= count else [number * total // count for number in range(count)]
