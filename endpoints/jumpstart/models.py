"""The catalogue: models with the facts needed before a deployment, such as licence, instance and memory.

for entry in catalogue():
    print(entry.model_id, entry.instance_type, entry.eula)

`jumpstart.yaml` is generated (`refresh.py`); `jumpstart_by_hand.yaml` corrects and extends it. Any other text model of
JumpStart is read from its spec file (`specs.py`).
"""

from datetime import date
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict
from sagechain.prompts import read_yaml, unknown_name


class CatalogueEntry(BaseModel):
    """A model that can be deployed by its JumpStart id."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    model_id: str
    version: str
    """The version of JumpStart's spec that is deployed; the facts below refer to it."""
    title: str
    family: str
    wire: str
    license: str
    """The licence's name."""
    eula: str | None
    """The address of the licence that has to be accepted; None if none has to be accepted."""
    instance_type: str
    """The default."""
    instance_types: tuple[str, ...]
    """The types that JumpStart supports."""
    memory_gib: float
    """GPU memory of the weights alone, in GiB."""
    context: int
    """The container's limit on prompt and answer together, in tokens."""
    dated: date
    """When the facts were read."""
    source: str


def catalogue() -> list[CatalogueEntry]:
    """All models of the catalogue, the smallest of each family first."""
    return list(_entries())


def catalogue_entry(model_id: str) -> CatalogueEntry:
    """The catalogue's entry of a model.

    Raises:
        ValueError: it is not in the catalogue; the message explains how to use any other JumpStart id.
    """
    entries = {entry.model_id: entry for entry in _entries()}
    if model_id not in entries:
        raise ValueError(
            f"{unknown_name('model_id', model_id, entries)}. Any other text model of JumpStart: "
            f"sagechain.endpoints.jumpstart.jumpstart_spec({model_id!r}, region=…), or on the command line "
            f"`sagechain endpoints catalogue {model_id} --jumpstart`"
        )
    return entries[model_id]


@cache
def _entries() -> tuple[CatalogueEntry, ...]:
    generated, by_hand = load_data("jumpstart.yaml"), load_data("jumpstart_by_hand.yaml")
    shared = {"dated": generated["dated"], "source": " ".join(generated["source"].split())}
    return tuple(
        CatalogueEntry(model_id=model_id, **shared, **(generated["models"][model_id] | _without_pin(known)))
        for model_id, known in by_hand["models"].items()
    )


def _without_pin(known: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in known.items() if name != "pinned"}


def load_data(name: str) -> dict[str, Any]:
    """The contents of a YAML file of this package."""
    data: dict[str, Any] = read_yaml(__package__, name)
    return data
