"""Counts of documents and their UTF-8 bytes in datatrove's statistics, so that they merge over tasks and machines."""

from collections.abc import Iterable, Iterator
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

LEFT_OUT = "left out: "
BYTES = " (bytes)"


class CountingStep(PipelineStep):  # type: ignore[misc]
    """A step that counts documents and their bytes under labels."""

    def count(self, label: str, size: int, documents: int = 1) -> None:
        """Add documents of `size` bytes together to `label`."""
        self.stat_update(label, value=documents)
        self.stat_update(label + BYTES, value=size, unit="bytes")

    def leave_out(self, reason: str, size: int, documents: int = 1) -> None:
        """Count documents that are not passed on, under the reason."""
        self.count(LEFT_OUT + reason, size, documents)


class Tally(CountingStep):
    """Passes every document on and counts it, under a name by which `tally` finds the count."""

    type = "tally"

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__()

    def run(self, data: Iterable[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Count the documents of one task."""
        for document in data:
            self.count("passed", len(document.text.encode("utf-8")))
            yield document


def counted(stats: Any, step: int, label: str) -> tuple[int, int]:
    """Documents and bytes under `label` in the statistics of step number `step`."""
    totals = stats.stats[step].stats
    documents, size = (int(totals[name].total) if name in totals else 0 for name in (label, label + BYTES))
    return documents, size


def tally(stats: Any, name: str) -> tuple[int, int]:
    """Documents and bytes that passed the `Tally` of that name."""
    step = next(number for number, step in enumerate(stats.stats) if step.name == f"{Tally.type}: {name}")
    return counted(stats, step, "passed")


def left_out(stats: Any, step: int) -> dict[str, tuple[int, int]]:
    """Documents and bytes that the step left out, by reason."""
    reasons = [
        name.removeprefix(LEFT_OUT)
        for name in stats.stats[step].stats
        if name.startswith(LEFT_OUT) and not name.endswith(BYTES)
    ]
    return {reason: counted(stats, step, LEFT_OUT + reason) for reason in sorted(reasons)}
