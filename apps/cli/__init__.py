"""The `sagechain` command: one module a command group. Heavy imports are inside the functions, so that `--help` is fast."""

from .main import main

__all__ = ["main"]
