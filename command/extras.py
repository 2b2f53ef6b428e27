"""The optional parts of sagechain: what each enables, whether it is installed, which one a missing module belongs to."""

import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from sagechain.prompts import read_yaml


@dataclass(frozen=True)
class Extra:
    """One extra (`extras.yaml`)."""

    name: str
    enables: str
    modules: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Its modules that are not installed; nothing is imported."""
        return tuple(module for module in self.modules if not _is_installed(module))


@cache
def extras() -> dict[str, Extra]:
    """All extras, by name."""
    entries = read_yaml(__package__, "extras.yaml")
    return {name: Extra(name, entry["enables"], tuple(entry["modules"])) for name, entry in entries.items()}


def extra_of(module: str) -> str | None:
    """The extra that brings a module, such as `transformers` for `torch.nn`; None if no extra does."""
    for extra in extras().values():
        if any(f"{module}.".startswith(f"{each}.") for each in extra.modules):
            return extra.name
    return None


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):  # a parent is missing, or a broken installation
        return False
