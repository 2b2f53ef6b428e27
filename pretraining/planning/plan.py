"""An estimate of a training run: parameters, FLOP, memory of a device, hours, dollars.

    print(format_plan(plan_preset("codeparrot-small", hardware="ml.p4d.24xlarge", changes={"mfu": 0.35})))
    plan(shape, tokens=10**9, hardware="8xH100", batch_tokens=196_608).usd

The formulas of memory are in `memory.py`, the figures of devices in `hardware.yaml`, the sources in `plan_text.py`.
"""

from collections.abc import Mapping
from inspect import signature
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, validate_call

from ..errors import unknown_name
from ..training.machine import flops_per_token
from ..training.model import ModelShape
from ..training.settings import device_shares, load_preset
from .hardware import Hardware, find_hardware
from .memory import Memory, count_parameters, estimate_memory, remedies, usable_bytes

# The share of the FLOP that counts for MFU with activation checkpointing, which repeats the forward pass, a third of the
# work (Kaplan et al., section 2.1).
USEFUL_SHARE = 3 / 4


class Plan(BaseModel):
    """The estimate of a run."""

    model_config = ConfigDict(frozen=True)

    shape: ModelShape
    hardware: Hardware
    parameters: int
    tokens: int
    steps: int
    batch_tokens: int
    device_batch: int
    """Sequences in one forward pass of a device."""
    accumulation: int
    """Batches of that size in one step of one device."""
    optimizer: Literal["muon", "adamw"]
    activation_checkpointing: bool
    sharding: Literal["none", "full"]
    flops: float
    mfu: float
    """The share of the peak that the model's own FLOP reach; repeated computation does not count."""
    hours: float
    usd: float | None
    """None: the price is not known."""
    memory: Memory
    fits: bool | None
    """None: the device's memory is not known."""
    remedies: tuple[str, ...]
    """Changes that make it fit, where it does not."""


def plan_preset(
    name: str, *, hardware: str, tokens: int | None = None, changes: Mapping[str, Any] | None = None
) -> Plan:
    """Estimate a run of a preset.

    Args:
        name: the preset.
        hardware: as in `plan`.
        tokens: the budget, instead of the preset's.
        changes: fields of `ModelShape` and arguments of `plan`, except the budget, instead of the preset's.

    Raises:
        ValueError: an unknown preset or change, or a value that `plan` refuses.
    """
    preset, arguments, changes = load_preset(name), signature(plan).parameters.keys(), changes or {}
    known = {*ModelShape.model_fields, *arguments} - {"shape", "hardware", "tokens", "seconds"}
    for change in changes:
        if change not in known:
            raise unknown_name("setting", change, known)
    shape = preset["model"] | {field: value for field, value in changes.items() if field in ModelShape.model_fields}
    settings = {field: value for field, value in {**preset["training"], **changes}.items() if field in arguments}
    budget: dict[str, Any] = {} if tokens is None else {"tokens": tokens, "seconds": None}
    return plan(shape, hardware=hardware, **(settings | budget))


@validate_call
def plan(
    shape: ModelShape | Mapping[str, Any],
    *,
    hardware: str,
    tokens: int | None = None,
    seconds: float | None = None,
    batch_tokens: int = 2_048,
    device_batch: int | None = None,
    optimizer: Literal["muon", "adamw"] = "muon",
    activation_checkpointing: bool = False,
    sharding: Literal["none", "full"] = "none",
    mfu: float | None = None,
    usd_per_hour: float | None = None,
) -> Plan:
    """Estimate a run, without building or training anything.

    Args:
        shape: `ModelShape`, or its fields as in a preset's `model`.
        hardware: `8xH100`, `ml.p4d.24xlarge`, `cpu` … (`sagechain.pretraining.planning.hardware`).
        tokens, seconds: the budget; give one.
        batch_tokens: tokens of one step, over all devices.
        device_batch: sequences in one forward pass of a device; its whole share of a step if not given.
        optimizer: `muon` stores one number for a weight of the blocks' matrices, `adamw` two for every weight.
        activation_checkpointing: activations are computed twice; a third more work.
        sharding: `none`: each device stores the whole state (DDP, as in `train`); `full`: the state is divided over all
            (FSDP, ZeRO stage 3).
        mfu: share of the peak that the model's own FLOP reach, as measured in a run, above 0 and at most 1. If not given,
            the assumption of `hardware.yaml`, times 3/4 with `activation_checkpointing`.
        usd_per_hour: price of all the hardware, instead of that of `hardware.yaml`.

    Raises:
        ValueError: unknown hardware, a value out of range, or a step that cannot be divided evenly over the devices.
    """
    shape = ModelShape.model_validate(shape)
    machine = _hardware(hardware, mfu, usd_per_hour, USEFUL_SHARE if activation_checkpointing else 1.0)
    if (tokens is None) == (seconds is None):
        raise ValueError(f"tokens, seconds: give one of them as the budget (tokens={tokens}, seconds={seconds})")
    sizes = {"tokens": tokens, "seconds": seconds, "batch_tokens": batch_tokens, "device_batch": device_batch}
    for name, value in sizes.items():
        if value is not None and value <= 0:
            raise ValueError(f"{name}: {value} is not above 0")
    device_batch, accumulation = device_shares(batch_tokens, shape.context, machine.devices, device_batch)
    token_flops = flops_per_token(shape)
    tokens_per_second = machine.peak_flops * machine.devices * machine.mfu / token_flops
    steps = -(-(tokens or max(int((seconds or 0) * tokens_per_second), 1)) // batch_tokens)
    hours = steps * batch_tokens / tokens_per_second / 3600
    fixed: dict[str, Any] = {"devices": machine.devices, "optimizer": optimizer, "precision": machine.precision}
    chosen: dict[str, Any] = {
        "device_batch": device_batch,
        "checkpointing": activation_checkpointing,
        "sharded": sharding == "full",
    }
    memory = estimate_memory(shape, **fixed, **chosen)
    limit = usable_bytes(machine)
    fits = None if limit is None else memory.total <= limit
    return Plan(
        shape=shape,
        hardware=machine,
        parameters=count_parameters(shape),
        tokens=steps * batch_tokens,
        steps=steps,
        batch_tokens=batch_tokens,
        device_batch=device_batch,
        accumulation=accumulation,
        optimizer=optimizer,
        activation_checkpointing=activation_checkpointing,
        sharding=sharding,
        flops=float(token_flops) * steps * batch_tokens,
        mfu=machine.mfu,
        hours=hours,
        usd=None if machine.usd_per_hour is None else machine.usd_per_hour * hours,
        memory=memory,
        fits=fits,
        remedies=() if fits is not False else tuple(remedies(shape, machine, fixed, chosen)),
    )


def _hardware(text: str, mfu: float | None, usd_per_hour: float | None, useful_share: float) -> Hardware:
    """The hardware with the given MFU and price, or with those of `hardware.yaml`."""
    machine = find_hardware(text)
    if mfu is None:
        changes: dict[str, Any] = {"mfu": machine.mfu * useful_share}
    elif 0 < mfu <= useful_share:
        changes = {"mfu": mfu, "mfu_source": "given"}
    else:
        reason = " where the forward pass is done twice" if useful_share < 1 else ""
        raise ValueError(
            f"mfu: {mfu} is out of range; give the share of the peak, above 0 and at most {useful_share:g}{reason}"
        )
    if usd_per_hour is not None:
        if usd_per_hour < 0:
            raise ValueError(f"usd_per_hour: {usd_per_hour} is below 0")
        changes |= {"usd_per_hour": usd_per_hour, "price_source": "given"}
    return machine.model_copy(update=changes)
