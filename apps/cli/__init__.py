"""The `sagechain` command: one module a command; heavy imports stand inside the functions, so that `--help` is quick."""

from .main import main

__all__ = ["main"]
