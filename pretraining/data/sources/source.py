"""What every source of documents can do, and the source that a text names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from .data_sets import DATA_SET, DataSetSource
from .files import FileSource
from .formats import LeftOut, Row


class Source(Protocol):
    """Documents, or the reasons why some cannot be read."""

    name: str
    """The source as the user gave it."""

    def check(self) -> None:
        """Raise ValueError if the source does not exist, PretrainingError if it cannot be reached."""

    def write_listing(self, path: Path, *, output: Path | None = None) -> str:
        """Write the list of inputs that the tasks share, in a fixed order, one JSON line each.

        Args:
            output: folder of the results; it is left out where it is inside the source.

        Returns:
            The SHA-256 of the inputs that can be read, names and contents; "" where it cannot be known offline.
        """

    def rows(self, listing: Path, rank: int, world_size: int, max_bytes: int) -> Iterator[Row | LeftOut]:
        """The documents of task `rank` of `world_size` tasks, and what cannot be read."""


def open_source(name: str) -> Source:
    """The source that a text names: `stdlib`, `PATH`, `hf:NAME[@REVISION][#CONFIG]` or `hf:FOLDER[#CONFIG]`."""
    return DataSetSource(name) if name.startswith(DATA_SET) else FileSource(name)
