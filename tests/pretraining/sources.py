"""Sources and corpora as `prepare` reads and writes them."""

import json
from pathlib import Path
from typing import Any

from datatrove.data import Document
from sagechain.pretraining.data import CorpusSettings, Executor
from sagechain.pretraining.data.corpus import CorpusReport, write_corpus
from sagechain.pretraining.data.counts import left_out, total_counts
from sagechain.pretraining.data.sources import SourceReader, open_source

MAX_BYTES = 1_000_000
ONE_WORKER = Executor(workers=1, tasks=3)


def check(source: Path | str) -> None:
    open_source(str(source)).check()


def list_inputs(source: Path | str, listing: Path) -> str:
    """Write the list of a source's inputs; its digest."""
    return open_source(str(source)).write_listing(listing)


def reader(source: Path | str, listing: Path) -> SourceReader:
    return SourceReader(open_source(str(source)), listing, MAX_BYTES)


def read(source: Path | str, folder: Path, tasks: int = 1) -> tuple[list[Document], dict[str, int]]:
    """All documents of a source, and how many were left out for each reason."""
    from datatrove.utils.stats import PipelineStats

    list_inputs(source, folder / "inputs.jsonl")
    documents, stats = [], PipelineStats()
    for rank in range(tasks):
        step = reader(source, folder / "inputs.jsonl")
        documents += list(step.run(rank=rank, world_size=tasks))
        stats += PipelineStats([step.stats])
    totals = total_counts(stats)
    assert totals.get("read", (0, 0))[0] == len(documents)
    return documents, {reason: count[0] for reason, count in left_out(totals).items()}


def rows(*contents: Any) -> bytes:
    return b"".join(json.dumps({"content": content}).encode() + b"\n" for content in contents)


def corpus_of(
    source: Path | str, folder: Path, settings: CorpusSettings, executor: Executor = ONE_WORKER
) -> CorpusReport:
    """A corpus as `prepare` writes it."""
    opened, listing = open_source(str(source)), folder.parent / "inputs.jsonl"
    opened.write_listing(listing, output=folder)
    return write_corpus(opened, listing, folder, settings, executor)
