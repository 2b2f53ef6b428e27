"""How well a model predicts unseen text: bits per byte, and the share of correct first guesses.

Bits per byte is the loss in bits divided by the bytes of the text: what an arithmetic coder with this model would need.
Models with different tokenizers can be compared by it. The token that ends a document counts as a target without bytes.

Each block is evaluated separately, so a target has at most `context` tokens before it.
"""

from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING

import torch

from ..data.tokens import IGNORED, Blocks
from .model import losses
from .precision import autocast

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

MAX_BATCH = 16  # blocks of one forward pass


@dataclass(frozen=True)
class Evaluation:
    """Sums over targets, which can be added."""

    nats: float
    correct: int
    targets: int

    def __add__(self, other: "Evaluation") -> "Evaluation":
        return Evaluation(self.nats + other.nats, self.correct + other.correct, self.targets + other.targets)

    @property
    def loss(self) -> float:
        """Nats for each target."""
        return self.nats / self.targets

    @property
    def accuracy(self) -> float:
        """The share of targets that are the model's first guess."""
        return self.correct / self.targets

    def bits_per_byte(self, bytes_per_token: float) -> float:
        """Bits for each byte of text, given the bytes of an average token of the split (end-of-text included)."""
        return self.loss / log(2) / bytes_per_token


@torch.no_grad()
def evaluate(
    model: "GPT2LMHeadModel",
    blocks: Blocks,
    numbers: list[int],
    *,
    precision: str = "auto",
    batch: int = MAX_BATCH,
) -> Evaluation:
    """Evaluate a model on some blocks.

    Args:
        numbers: the blocks' numbers.
        precision: `bf16`, `fp32` or `auto`.
        batch: blocks of one forward pass.
    """
    device = next(model.parameters()).device
    was_training, total = model.training, Evaluation(0.0, 0, 0)
    model.eval()  # type: ignore[no-untyped-call]
    try:
        for first in range(0, len(numbers), batch):
            inputs, targets = (
                torch.from_numpy(array).to(device) for array in blocks.read(numbers[first : first + batch])
            )
            with autocast(device, precision):
                logits = model(input_ids=inputs, use_cache=False).logits
            correct = (logits.argmax(-1) == targets).sum()
            nats = losses(logits.float(), targets).sum(dtype=torch.float64)
            total += Evaluation(float(nats), int(correct), int((targets != IGNORED).sum()))
    finally:
        model.train(was_training)
    return total


def evenly_spread_blocks(blocks: Blocks, count: int) -> list[int]:
    """The numbers of `count` blocks, spread evenly; of all if there are fewer."""
    count = min(count, len(blocks))
    return [number * len(blocks) // count for number in range(count)]
