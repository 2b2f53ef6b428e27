"""An estimate of the memory that training needs on a device, and the changes that make a run fit.

Bytes of the model's state as in ZeRO, section 3.1 (arXiv 1910.02054); activations as in Korthikanti et al., section 4
(arXiv 2205.05198), without the matrix of attention scores, which is never complete in memory. The estimate shows what
cannot work; whether a run near the limit works has to be tried.
"""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..training.model import ModelShape
from .hardware import Hardware

USABLE_MEMORY = 0.9  # of a device; the rest goes to the driver and to fragmentation
MOST_DEVICES = 4_096

FP32, BF16 = 4, 2  # bytes
# Bytes of a layer for each token and unit of width, in 16 bits, attention scores not stored (table 2: "selective").
ACTIVATION_BYTES = 34
# Bytes for each token and entry of the vocabulary: logits, their log softmax in fp32, and its gradients.
LOGIT_BYTES = 14


class Memory(BaseModel):
    """Bytes on one device."""

    model_config = ConfigDict(frozen=True)

    weights: int
    gradients: int
    optimizer: int
    buffers: int
    """Low-precision copies of weights, and what the devices exchange."""
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.buffers + self.activations


def count_parameters(shape: ModelShape) -> int:
    """Parameters of a GPT-2, whose output layer is the embedding of the tokens."""
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
    """Bytes on one device at the peak of a step.

    Weights, gradients and optimizer state are fp32, as in torch's autocast: 16 bytes for a parameter with AdamW, as many
    as in ZeRO's layout of bf16 weights with an fp32 master copy.
    """
    parameters, matrices = count_parameters(shape), 12 * shape.layers * shape.width**2
    states = 2 * parameters - (matrices if optimizer == "muon" else 0)
    parts = devices if sharded else 1
    low = BF16 if precision == "bf16" else 0
    if sharded:  # the largest piece that is gathered on a device, and its gradient
        piece = max(12 * shape.width**2, (shape.vocabulary + shape.context) * shape.width)
        buffers = piece * (2 * FP32 + low)
    else:  # DDP's buckets contain each gradient once more
        buffers = parameters * (low + (FP32 if devices > 1 else 0))
    return Memory(
        weights=-(-parameters * FP32 // parts),
        gradients=-(-parameters * FP32 // parts),
        optimizer=-(-states * FP32 // parts),
        buffers=buffers,
        activations=_activations(shape, device_batch, precision, checkpointing),
    )


def _activations(shape: ModelShape, device_batch: int, precision: str, checkpointing: bool) -> int:
    """Stored between forward and backward pass; with checkpointing each layer's input, and one complete layer."""
    wide = 1 if precision == "bf16" else 2
    tokens = device_batch * shape.context
    layer = ACTIVATION_BYTES * wide * tokens * shape.width
    stored = layer + shape.layers * FP32 * tokens * shape.width if checkpointing else shape.layers * layer
    return stored + LOGIT_BYTES * tokens * shape.vocabulary


def usable_bytes(hardware: Hardware) -> int | None:
    """Bytes of one device that a run may take, or None if its memory is not known."""
    return None if hardware.memory_bytes is None else int(hardware.memory_bytes * USABLE_MEMORY)


def remedies(shape: ModelShape, hardware: Hardware, fixed: dict[str, Any], chosen: dict[str, Any]) -> Iterator[str]:
    """Single changes that make a run fit; where none does, all of them and the number of devices."""
    limit = usable_bytes(hardware) or 0

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
    if not chosen["sharded"] and hardware.devices > 1 and fits(sharded=True):
        singles.append("sharding='full' (FSDP: the state divided over the devices, in a loop of your own)")
    if singles:
        yield from singles
        return
    least = {"device_batch": 1, "checkpointing": True, "sharded": True}
    devices = hardware.devices
    while devices <= MOST_DEVICES and not fits(**least, devices=devices):
        devices *= 2
    if devices > MOST_DEVICES:
        yield f"no number of {hardware.device}: one layer and one sequence are too large; take a device with more memory"
    else:
        yield f"all of device_batch=1, activation_checkpointing=True, sharding='full', on {devices}x{hardware.device}"
