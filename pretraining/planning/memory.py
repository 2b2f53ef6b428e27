"""How much memory of a device a training run takes, estimated, and what makes a run fit that does not.

Bytes of the model's state as in ZeRO, section 3.1 (arXiv 1910.02054); activations as in Korthikanti et al., section 4
(arXiv 2205.05198), with the attention never held whole. Good to find out what cannot work; a run near the limit must be
tried.
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..training.model import ModelShape
from .hardware import Hardware

USABLE_MEMORY = 0.9  # of a device; the rest is the driver's, and lost between blocks
MOST_DEVICES = 4_096

FP32, BF16 = 4, 2  # bytes
# Bytes of a layer for each token and unit of width, in 16 bits, scores of the attention not kept (table 2: "selective").
ACTIVATION_BYTES = 34
# Bytes for each token and word of the vocabulary: logits, their logarithm of softmax in fp32, and its gradients.
LOGIT_BYTES = 14


class Memory(BaseModel):
    """Bytes on one device."""

    model_config = ConfigDict(frozen=True)

    weights: int
    gradients: int
    optimizer: int
    buffers: int
    """Low-precision copies of weights, and what devices send each other."""
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.buffers + self.activations


def count_parameters(shape: ModelShape) -> int:
    """Parameters of a GPT-2, the output layer being the embedding of the tokens."""
    embeddings = (shape.vocabulary + shape.context) * shape.width
    block = 12 * shape.width**2 + 13 * shape.width
    return embeddings + shape.layers * block + 2 * shape.width


def estimate_memory(
    shape: ModelShape,
    *,
    devices: int,
    device_batch: int,
    optimizer: Literal["muon", "adamw"],
    precision: Literal["bf16", "fp32"],
    checkpointing: bool,
    sharded: bool,
) -> Memory:
    """Bytes on one device at the fullest moment of a step.

    Weights, gradients and optimizer state are fp32, as torch's autocast keeps them: 16 bytes for a parameter with AdamW,
    as many as in ZeRO's layout of bf16 weights beside an fp32 master.
    """
    parameters, matrices = count_parameters(shape), 12 * shape.layers * shape.width**2
    states = 2 * parameters - (matrices if optimizer == "muon" else 0)
    parts = devices if sharded else 1
    low = BF16 if precision == "bf16" else 0
    if sharded:  # the largest piece that is put together on a device, and its gradient
        piece = max(12 * shape.width**2, (shape.vocabulary + shape.context) * shape.width)
        buffers = piece * (2 * FP32 + low)
    else:  # DDP's buckets hold each gradient once more
        buffers = parameters * (low + (FP32 if devices > 1 else 0))
    return Memory(
        weights=-(-parameters * FP32 // parts),
        gradients=-(-parameters * FP32 // parts),
        optimizer=-(-states * FP32 // parts),
        buffers=buffers,
        activations=_activations(shape, device_batch, precision, checkpointing),
    )


def _activations(shape: ModelShape, device_batch: int, precision: str, checkpointing: bool) -> int:
    """Kept between forward and backward pass; with checkpointing each layer's input, and one layer whole."""
    wide = 1 if precision == "bf16" else 2
    tokens = device_batch * shape.context
    layer = ACTIVATION_BYTES * wide * tokens * shape.width
    kept = layer + shape.layers * FP32 * tokens * shape.width if checkpointing else shape.layers * layer
    return kept + LOGIT_BYTES * tokens * shape.vocabulary


def usable_bytes(found: Hardware) -> int | None:
    """Bytes of one device that a run may take, or None where its memory is not known."""
    return None if found.memory_bytes is None else int(found.memory_bytes * USABLE_MEMORY)


def remedies(shape: ModelShape, found: Hardware, fixed: dict[str, Any], chosen: dict[str, Any]) -> Iterator[str]:
    """Single changes that make it fit; where none does, all of them, and how many devices."""
    limit = usable_bytes(found) or 0

    def fits(**changes: Any) -> bool:
        return estimate_memory(shape, **(fixed | chosen | changes)).total <= limit

    smaller = [
        size
        for size in range(1, chosen["device_batch"])
        if chosen["device_batch"] % size == 0 and fits(device_batch=size)
    ]
    singles = [f"device_batch={max(smaller)} (more steps accumulated)"] if smaller else []
    if not chosen["checkpointing"] and fits(checkpointing=True):
        singles.append("activation_checkpointing=True (a third more work)")
    if not chosen["sharded"] and found.devices > 1 and fits(sharded=True):
        singles.append("sharding='full' (FSDP: the state spread over the devices, by a loop of your own)")
    if singles:
        yield from singles
        return
    least = {"device_batch": 1, "checkpointing": True, "sharded": True}
    devices = found.devices
    while devices <= MOST_DEVICES and not fits(**least, devices=devices):
        devices *= 2
    if devices > MOST_DEVICES:
        yield f"no number of {found.device}: one layer and one sequence alone are too large; take a device with more memory"
    else:
        yield f"all of device_batch=1, activation_checkpointing=True, sharding='full', on {devices}x{found.device}"
