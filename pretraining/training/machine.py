"""How fast this machine multiplies matrices, which training is measured against; and memory that is kept between steps."""

import ctypes
import sys
import time
from typing import TYPE_CHECKING

from .model import ModelShape, fast_precision

if TYPE_CHECKING:
    import torch

SIZE = 1_024  # rows of the matrices that are multiplied
SECONDS = 0.5
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def matrix_rate(device: "torch.device", precision: str = "auto") -> float:
    """FLOP a second of products of matrices, in a precision of `fast_precision`. Takes half a second."""
    import torch

    size = SIZE * (8 if device.type == "cuda" else 1)
    with fast_precision(device, precision):
        drawn = torch.Generator(device)  # its own: training draws the same numbers, measured or not
        left, right = (torch.randn(size, size, device=device, generator=drawn) for _ in range(2))
        if torch.is_autocast_enabled(device.type):
            left, right = left.bfloat16(), right.bfloat16()

        def multiply() -> float:
            began = time.perf_counter()
            (left @ right).sum().item()
            return time.perf_counter() - began

        multiply()
        ends = time.perf_counter() + SECONDS
        fastest = multiply()
        while time.perf_counter() < ends:
            fastest = min(fastest, multiply())
    return float(2 * size**3 / fastest)


def keep_memory() -> None:
    """Have the C library keep the memory of large tensors for the next step, in this process from now on.

    glibc gives every block above 32 MB back to the system when it is freed, and the pages of its next use are made and
    cleared anew: measured at a quarter of a step of the `demo` preset. Elsewhere, and on GPUs, nothing changes.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        for setting, size in ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, (1 << 31) - 1)):
            library.mallopt(setting, size)


def flops_per_token(shape: ModelShape) -> int:
    """FLOP of training on one token: 6 for each weight in a product of matrices, and the attention.

    Source: PaLM, appendix B (arXiv 2204.02311): 6 N + 12 layers · width · context.
    """
    weights = 12 * shape.layers * shape.width**2 + shape.vocabulary * shape.width
    return 6 * weights + 12 * shape.layers * shape.width * shape.context
