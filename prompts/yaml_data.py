"""Read YAML files that belong to a package.

read_yaml("sagechain.prompts", "tool_prompt.yaml")
"""

from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read_yaml(package: str, name: str) -> Any:
    """The contents of a YAML file of a package, read once: callers share the value and must not change it."""
    import yaml  # here, so that modules with data files stay cheap to import

    return yaml.safe_load((files(package) / name).read_text(encoding="utf-8"))
