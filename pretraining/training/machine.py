"""The speed of this machine's matrix products, as the limit for training; and memory that is reused between steps."""

import ctypes
import sys
import time
from typing import TYPE_CHECKING

from .model import ModelShape
from .precision import autocast

if TYPE_CHECKING:
    import torch

SIZE = 1_024  # rows of the multiplied matrices
SECONDS = 0.5
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def matrix_rate(device: "torch.device", precision: str = "auto") -> float:
    """FLOP a second of products of matrices in a precision (`bf16`, `fp32`, `auto`). Takes half a second."""
    import torch

    size = SIZE * (8 if device.type == "cuda" else 1)
    with autocast(device, precision):
        generator = torch.Generator(device)  # a separate one: the numbers that training draws must not depend on it
        left, right = (torch.randn(size, size, device=device, generator=generator) for _ in range(2))
        if torch.is_autocast_enabled(device.type):
            left, right = left.bfloat16(), right.bfloat16()

        def multiply() -> float:
            start = time.perf_counter()
            (left @ right).sum().item()
            return time.perf_counter() - start

        multiply()
        end = time.perf_counter() + SECONDS
        fastest = multiply()
        while time.perf_counter() < end:
            fastest = min(fastest, multiply())
    return float(2 * size**3 / fastest)


def retain_freed_memory() -> None:
    """Make the C library reuse the memory of large freed tensors, in this process from now on.

    glibc returns every freed block above 32 MB to the system, and the pages of its next use have to be mapped and cleared
    again: measured at a quarter of a step of the `demo` preset. Elsewhere, and on GPUs, nothing changes.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        for setting, size in ((M_MMAP_THRESHOLD, 1 << 30), (M_TRIM_THRESHOLD, (1 << 31) - 1)):
            library.mallopt(setting, size)


def flops_per_token(shape: ModelShape) -> int:
    """FLOP of training for one token: 6 for each weight of a matrix, plus the attention.

    Source: PaLM, appendix B (arXiv 2204.02311): 6 N + 12 layers · width · context.
    """
    weights = 12 * shape.layers * shape.width**2 + shape.vocabulary * shape.width
    return 6 * weights + 12 * shape.layers * shape.width * shape.context
