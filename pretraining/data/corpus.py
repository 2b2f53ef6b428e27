"""From a source to a clean corpus in two splits: read, filter, deduplicate, write.

    report = write_corpus(source, listing, Path("data/corpus"), CorpusSettings(), Executor(workers=2))

writes train/*.jsonl.zst, validation/*.jsonl.zst and report.json to the folder. The passes run as tasks, and a finished
task is not run again (`executors/`), so a stopped call resumes at its first unfinished task. Until the corpus is
complete, the folder contains passes/ as well.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from datatrove.data import Document
from datatrove.pipeline.readers.jsonl import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from pydantic import BaseModel, ConfigDict

from ..errors import NothingLeft
from ..manifest import PARTIAL, write_json
from . import filters
from .corpus_settings import CorpusSettings
from .counts import CountingStep, Counts, Tally, left_out, total_counts
from .deduplicate import NEAR, exact_steps, near_steps
from .executors import Executor
from .sources import Source, SourceReader

NONE = (0, 0)


class LeftOutRow(BaseModel):
    """The documents that one filter removed, or that could not be read for one reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    documents: int
    bytes: int


class CorpusReport(BaseModel):
    """Documents read, left out by reason in the order of the passes, and written to each split. Bytes are of UTF-8."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read_documents: int
    read_bytes: int
    left_out: tuple[LeftOutRow, ...]
    train_documents: int
    train_bytes: int
    validation_documents: int
    validation_bytes: int


def write_corpus(
    source: Source, listing: Path, folder: Path, settings: CorpusSettings, executor: Executor
) -> CorpusReport:
    """Write the source's cleaned documents to `folder` and report what became of all of them.

    A complete corpus stays as it is, and an incomplete one is completed; the caller removes one of other inputs first.

    Args:
        listing: the file that `Source.write_listing` wrote.
        folder: created if it does not exist.
        executor: where the work runs. Its number of tasks decides how the documents are divided over the files.

    Raises:
        NothingLeft: the filters left no document for training, or none for validation.
        PretrainingError: a task failed, or a data set cannot be reached.
    """
    folder = folder.absolute()
    report_file, passes = folder / "report.json", folder / "passes"
    if not report_file.is_file():
        inputs = _copy_once(listing, passes / "inputs.jsonl")
        with executor.session():
            report = _run_passes(source, inputs, folder, settings, executor)
        _check_not_empty(report, settings)
        write_json(report_file, report.model_dump(mode="json"))
    shutil.rmtree(passes, ignore_errors=True)
    return CorpusReport.model_validate_json(report_file.read_text("utf-8"))


def _copy_once(listing: Path, inputs: Path) -> Path:
    """The list of inputs, where all tasks find it. A resumed call, and a Slurm job still at work, read the first copy."""
    if not inputs.is_file():
        inputs.parent.mkdir(parents=True, exist_ok=True)
        Path(shutil.copy(listing, inputs.with_suffix(PARTIAL))).replace(inputs)
    return inputs


def _run_passes(
    source: Source, inputs: Path, folder: Path, settings: CorpusSettings, executor: Executor
) -> CorpusReport:
    """Run all passes; complete ones are not run again."""
    passes = inputs.parent
    cleaned = passes / "cleaned"
    exact_signatures, exact_matches, exact_filter = exact_steps(passes / "exact", executor.tasks)
    near_signatures, near_buckets, near_clusters, near_filter = near_steps(passes / "near")

    def run(name: str, steps: list[Any], tasks: int | None = None) -> Counts:
        return total_counts(executor.run(name, steps, passes / "tasks" / name.replace(" ", "-"), tasks=tasks))

    first: list[Any] = [
        SourceReader(source, inputs, settings.max_bytes),
        filters.CodeFilter(_predicates(settings)),
        JsonlWriter(str(cleaned), compression="zstd"),
    ]
    last: list[Any] = [PassReader(cleaned), Tally("cleaned")]
    if settings.exact_duplicates:
        first.append(exact_signatures)
    read = run("read", first)
    if settings.exact_duplicates:
        run("exact duplicates", [exact_matches])
        last.append(exact_filter)
    last.append(Tally("without exact duplicates"))
    if settings.near_duplicates:
        run("signatures", [*last, near_signatures])
        run("buckets", [near_buckets], NEAR.num_buckets)
        run("clusters", [near_clusters], 1)
        last.append(near_filter)
    last.append(SplitWriter(folder, settings.validation_share))
    return _report(read, run("write", last))


def _predicates(settings: CorpusSettings) -> list[filters.Predicate]:
    """The filters that the settings enable, the cheap ones first."""
    choices: list[tuple[bool, Callable[[], filters.Predicate]]] = [
        (bool(settings.licenses), lambda: filters.Licenses(settings.licenses)),
        (bool(settings.keywords), lambda: filters.Keywords(settings.keywords)),
        (True, lambda: filters.LineLengths(settings.max_line_mean, settings.max_line_length)),
        (settings.min_alphanumeric > 0, lambda: filters.Alphanumeric(settings.min_alphanumeric)),
        (settings.generated, filters.Generated),
        (settings.secrets, filters.Secrets),
        (settings.syntax, filters.Syntax),
    ]
    return [predicate() for is_enabled, predicate in choices if is_enabled]


class PassReader(JsonlReader):  # type: ignore[misc]
    """Reads what the task of the same rank wrote in an earlier pass; a task that wrote nothing left no file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), add_file_path=False)

    def run(self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """The documents, in the order of that file."""
        name = f"{rank:05d}.jsonl.zst"
        if self.data_folder.exists(name):
            yield from self.read_file(name)


class SplitWriter(JsonlWriter, CountingStep):  # type: ignore[misc]
    """Writes each document to train/ or validation/ by its text alone, so a document never moves from one to the other."""

    def __init__(self, folder: Path, validation_share: float) -> None:
        super().__init__(str(folder), output_filename="${split}/${rank}.jsonl", compression="zstd")
        self.validation_share = validation_share

    def write(self, document: Document, rank: int = 0, **_: Any) -> None:
        """Write one document and count it."""
        content = document.text.encode("utf-8")
        split = split_of(content, self.validation_share)
        document.metadata.pop("duplicate_count", None)  # added by the exact filter
        super().write(document, rank, split=split)
        self.count(f"written to {split}", len(content))


def read_documents(folder: Path) -> Any:
    """The documents of one split, in the order of its files."""
    return JsonlReader(str(folder), compression="zstd", add_file_path=False).run()


def split_of(content: bytes, validation_share: float) -> str:
    """`validation` where the first 8 bytes of the SHA-256, as a fraction of 1, lie below the share; else `train`."""
    return "validation" if int.from_bytes(sha256(content).digest()[:8]) < validation_share * 2**64 else "train"


def _report(read: Counts, written: Counts) -> CorpusReport:
    """The report, from the counts of the first and of the last pass."""
    train, validation = (written.get(f"written to {split}", NONE) for split in ("train", "validation"))
    total = train[0] + validation[0], train[1] + validation[1]
    cleaned, unique = written.get("cleaned", NONE), written.get("without exact duplicates", NONE)
    removed = left_out(read)
    removed["exact duplicate"] = cleaned[0] - unique[0], cleaned[1] - unique[1]
    removed["near duplicate"] = unique[0] - total[0], unique[1] - total[1]
    rows = [LeftOutRow(reason=reason, documents=n, bytes=size) for reason, (n, size) in removed.items() if n]
    return CorpusReport(
        read_documents=total[0] + sum(row.documents for row in rows),
        read_bytes=total[1] + sum(row.bytes for row in rows),
        left_out=tuple(rows),
        train_documents=train[0],
        train_bytes=train[1],
        validation_documents=validation[0],
        validation_bytes=validation[1],
    )


def _check_not_empty(report: CorpusReport, settings: CorpusSettings) -> None:
    lost = ", ".join(f"{row.reason} {row.documents}" for row in report.left_out) or "nothing was found"
    if not report.train_documents:
        raise NothingLeft(
            f"Of {report.read_documents} documents none remains for training. Left out: {lost}. "
            "Give another source, or loosen the settings that removed most."
        )
    if settings.validation_share and not report.validation_documents:
        raise NothingLeft(
            f"None of {report.train_documents} documents went to validation at validation_share="
            f"{settings.validation_share}. Left out: {lost}. Raise the share, or give more documents."
        )
