"""Devices to train on: their memory, peak rate and price per hour. The figures are in `hardware.yaml`.

find_hardware("8xH100")            # a number of devices
find_hardware("ml.p4d.24xlarge")   # a SageMaker instance; "2xml.p4d.24xlarge" are two
find_hardware("cpu")               # this machine's processor, measured for half a second
"""

import os
import re
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..yaml_data import read_yaml

CPU = "cpu"


class Hardware(BaseModel):
    """Equal devices that train one model together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    device: str
    devices: int
    memory_bytes: int | None
    """Of one device. None: unknown."""
    peak_flops: float
    """FLOP a second of one device, dense, in its precision."""
    precision: Literal["bf16", "fp32"]
    mfu: float
    """The share of the peak that the model's own FLOP are assumed to reach."""
    usd_per_hour: float | None = None
    """Of all devices, on demand. None: unknown."""
    peak_source: str
    mfu_source: str
    price_source: str = ""

    @property
    def sources(self) -> list[str]:
        """A sentence on the source of each figure."""
        peak = f"peak {round(self.peak_flops / 1e12, 2):g} TFLOP/s dense in {self.precision}: {self.peak_source}"
        price = [f"price: {self.price_source}"] if self.price_source else []
        return [peak, f"MFU: {self.mfu_source}", *price]


def find_hardware(text: str) -> Hardware:
    """The hardware that a text names: `8xH100`, `ml.g5.xlarge`, `2xml.p5.48xlarge`, `cpu`.

    Raises:
        ValueError: unknown hardware; the message lists the known names.
    """
    data, (count, name) = _data(), _split(text)
    if name == CPU:
        if count > 1:
            raise _unknown_hardware(text)
        return _this_processor()
    if name in data["instances"]:
        return _instances(count, name)
    if name not in data["devices"]:
        raise _unknown_hardware(text)
    return _devices(f"{count}x{name}", name, count)


def _split(text: str) -> tuple[int, str]:
    """Number and name; a known name as `hardware.yaml` spells it."""
    match = re.fullmatch(r"\s*(?:(\d+)\s*[xX×]\s*)?(\S+)\s*", text)
    if not match or int(match[1] or 1) < 1:
        return 1, text
    name = match[2].lower()
    return int(match[1] or 1), _names().get(name, name)


@cache
def _names() -> dict[str, str]:
    data = _data()
    plain = {name.lower(): name for name in (*data["devices"], *data["instances"], CPU)}
    return plain | {name.lower(): target for name, target in data["aliases"].items()}


def _data() -> Any:
    return read_yaml(__package__, "hardware.yaml")


def _devices(name: str, device: str, devices: int) -> Hardware:
    known, mfu = _data()["devices"][device], _data()["mfu"]["gpu"]
    return Hardware(
        name=name,
        device=device,
        devices=devices,
        memory_bytes=known["memory_gb"] * 10**9,
        peak_flops=known["peak_tflops"] * 1e12,
        precision=known["precision"],
        mfu=mfu["share"],
        peak_source=known["source"],
        mfu_source=mfu["source"],
    )


def _instances(count: int, name: str) -> Hardware:
    known, prices = _data()["instances"][name], _data()["prices"]
    machine = _devices(name if count == 1 else f"{count}x{name}", known["device"], count * known["devices"])
    if known["usd_per_hour"] is None:
        return machine
    source = f"{prices['region']}, {prices['as_of']}: {prices['source']}"
    return machine.model_copy(update={"usd_per_hour": count * known["usd_per_hour"], "price_source": source})


def _this_processor() -> Hardware:
    nominal, mfu = _data()["cpu"]["gflops_per_core"], _data()["mfu"]["cpu"]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    flops, precision, source = _measured_rate() or (
        nominal * 1e9 * cores,
        "fp32",
        f"nominal, {nominal} GFLOP/s a core, as torch is not installed to measure it",
    )
    return Hardware(
        name=f"{CPU} ({cores} cores)",
        device=CPU,
        devices=1,
        memory_bytes=_memory(),
        peak_flops=flops,
        precision=precision,
        mfu=mfu["share"],
        peak_source=source,
        mfu_source=mfu["source"],
    )


def _measured_rate() -> tuple[float, str, str] | None:
    """FLOP a second of this processor, its precision and its source; None if torch is not installed."""
    try:
        import torch
    except ModuleNotFoundError:
        return None
    from ..training.machine import matrix_rate
    from ..training.precision import faster_precision

    return matrix_rate(torch.device(CPU)), faster_precision(CPU), "measured now, products of matrices"


def _memory() -> int | None:
    """Bytes of this machine's memory, where the system reports it."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _unknown_hardware(text: str) -> ValueError:
    count, name = _split(text)
    similar = get_close_matches(name.lower(), _names(), n=1, cutoff=0.5)
    hint = f" Did you mean {(f'{count}x' if count > 1 else '') + _names()[similar[0]]!r}?" if similar else ""
    known = ", ".join(sorted({*_names().values()}))
    return ValueError(
        f"hardware: {text!r} is unknown.{hint} Give NUMBERxDEVICE such as 8xH100, a SageMaker instance, or cpu."
        f" Known: {known}"
    )
