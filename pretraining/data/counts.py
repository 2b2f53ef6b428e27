"""Counts of documents and their UTF-8 bytes in datatrove's statistics, which merges them over tasks and machines."""

from collections.abc import Iterable, Iterator
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep

LEFT_OUT = "left out: "
BYTES = " (bytes)"

Counts = dict[str, tuple[int, int]]
"""Documents and bytes by label."""


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
    """Passes every document on and counts it."""

    type, name = "tally", "tally"

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def run(self, data: Iterable[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Count the documents of one task."""
        for document in data:
            self.count(self.label, len(document.text.encode("utf-8")))
            yield document


def total_counts(stats: Any) -> Counts:
    """The counts of all steps of a pass, in the order of the steps."""
    totals: Counts = {}
    for step in stats.stats:
        for label in sorted(step.stats):
            if label + BYTES in step.stats:
                totals[label] = int(step.stats[label].total), int(step.stats[label + BYTES].total)
    return totals


def left_out(totals: Counts) -> Counts:
    """The counts of the documents that were left out, by reason."""
    return {label.removeprefix(LEFT_OUT): count for label, count in totals.items() if label.startswith(LEFT_OUT)}
