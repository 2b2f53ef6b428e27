"""The models that are known by name, with what one has to know before deploying them: licence, instance, memory.

for entry in catalogue():
    print(entry.model_id, entry.instance_type, entry.eula)

Facts come from `jumpstart.yaml`, which `refreshing.py` generates, under what `jumpstart_by_hand.yaml` puts right or adds.
Any other text model of JumpStart is read from its spec file (`jumpstart.py`).
"""

from datetime import date
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict
from sagechain.prompts import read_yaml, unknown_name


class CatalogueEntry(BaseModel):
    """A model that can be deployed by its JumpStart id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_id: str
    version: str
    """The version of JumpStart's spec that the facts below are of, and that is deployed."""
    title: str
    family: str
    wire: str
    license: str
    """What the licence is called."""
    eula: str | None
    """Where the licence is that has to be accepted; None where none has to be."""
    instance_type: str
    """Taken where none is asked for."""
    instance_types: tuple[str, ...]
    """Those that JumpStart supports."""
    memory_gib: float
    """GPU memory that the weights alone take, in GiB."""
    context: int
    """Tokens of prompt and answer together that the container takes."""
    dated: date
    """When the facts were read."""
    source: str


def catalogue() -> list[CatalogueEntry]:
    """The models that are known by name, smallest of each family first."""
    return list(_entries())


def catalogue_entry(model_id: str) -> CatalogueEntry:
    """What the catalogue knows of a model.

    Raises:
        ValueError: it is not in the catalogue; the message says how any other JumpStart id is used.
    """
    entries = {entry.model_id: entry for entry in _entries()}
    if model_id not in entries:
        raise ValueError(
            f"{unknown_name('model_id', model_id, entries)}. Any other text model of JumpStart: "
            f"sagechain.endpoints.jumpstart.specs.jumpstart_spec({model_id!r}, region=…), or on the command line "
            f"`sagechain endpoints catalogue {model_id} --jumpstart`"
        )
    return entries[model_id]


@cache
def _entries() -> tuple[CatalogueEntry, ...]:
    generated, by_hand = data_of("jumpstart.yaml"), data_of("jumpstart_by_hand.yaml")
    shared = {"dated": generated["dated"], "source": " ".join(generated["source"].split())}
    return tuple(
        CatalogueEntry(model_id=model_id, **shared, **(generated["models"][model_id] | _without_pin(known)))
        for model_id, known in by_hand["models"].items()
    )


def _without_pin(known: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in known.items() if name != "pinned"}


def data_of(name: str) -> dict[str, Any]:
    """The contents of a YAML file of this package."""
    data: dict[str, Any] = read_yaml(__package__, name)
    return data
