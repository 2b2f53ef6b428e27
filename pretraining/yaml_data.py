"""Data files of packages."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@cache
def read_yaml(package: str, name: str) -> Any:
    """The contents of a YAML file of a package, read once: callers share the value and must not change it."""
    return yaml.safe_load((files(package) / name).read_text(encoding="utf-8"))
