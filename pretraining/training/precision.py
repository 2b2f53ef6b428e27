"""The precision of products of matrices: measured, chosen for a run, and used for its forward passes.

precision = choose_precision("auto", stored=None, processes=processes)   # "bf16" or "fp32"
with autocast(device, precision):
    logits = model(input_ids=inputs).logits
"""

import contextlib
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    import torch

    from .processes import Processes

Precision = Literal["bf16", "fp32"]


def choose_precision(setting: str, *, stored: Precision | None, processes: "Processes") -> Precision:
    """The precision of a run, the same in every process.

    Args:
        setting: `bf16`, `fp32`, or `auto`: what the run has used so far, else the faster one on this machine.
        stored: what the run has used so far; None for a new run.
        processes: the first one decides.
    """
    import torch

    kind = "cuda" if torch.cuda.is_available() else "cpu"
    precision = stored or faster_precision(kind) if setting == "auto" else setting
    return "bf16" if processes.agreed(float(precision == "bf16")) else "fp32"


def autocast(device: "torch.device", precision: str = "auto") -> Any:
    """PyTorch's autocast to a precision; with `auto`, to the faster one on this device."""
    import torch

    if precision == "auto":
        precision = faster_precision(device.type)
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()


@cache
def faster_precision(kind: str) -> Precision:
    """The precision in which this kind of device (`cpu`, `cuda`) multiplies matrices faster.

    A CPU is measured, for 20 ms, since its flags are not enough: a Xeon with AVX-512 BF16 whose AMX was hidden gave
    306 GFLOP/s in fp32 and 47 in bf16 (torch 2.13).
    """
    import torch

    if kind == "cuda":
        # Before Ampere bf16 is emulated.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    has_bf16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if kind != "cpu" or not has_bf16:
        return "fp32"
    return cast(Precision, min(("fp32", "bf16"), key=_product_seconds))


def _product_seconds(precision: str) -> float:
    """The fastest of some products of the `demo` preset's shape."""
    import torch

    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.ones(size, dtype=dtype) for size in ((2_048, 256), (256, 1_024)))
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - start)
    return min(seconds)
