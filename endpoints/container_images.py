"""Which wire a container image speaks, told by its address and the model's environment (`container_images.yaml`)."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


def wire_of_image(image: str, environment: Mapping[str, str]) -> str | None:
    """The wire that a container image speaks with this environment; None where it is not known."""
    for row in _images():
        if row["image"] in image and row.get("environment", {}).items() <= environment.items():
            return str(row["wire"])
    return None


@cache
def _images() -> list[dict[str, Any]]:
    text = (files("sagechain.endpoints") / "container_images.yaml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = yaml.safe_load(text)
    return rows
