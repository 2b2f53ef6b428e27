"""From a source to a clean corpus in two splits: read, filter, deduplicate, write.

Five passes, each in tasks that survive a kill (`executors.py`); running again goes on at the first unfinished task.

    report = write_corpus("stdlib", Path("data/corpus"), CorpusSettings(), Executor(workers=2))

leaves train/*.jsonl.zst and validation/*.jsonl.zst in the folder, the report in report.json, and in plan.json what they
were made from. While it works, the folder holds passes/ as well.
"""

import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import zstandard
from datatrove.data import Document
from datatrove.pipeline.readers.jsonl import JsonlReader
from datatrove.pipeline.writers.jsonl import JsonlWriter
from pydantic import BaseModel, ConfigDict, Field

from ..errors import NothingLeft
from ..manifest import has_files, write_json
from . import deduplicate, filters
from .counts import CountingStep, Tally, counted, left_out, tally
from .executors import Executor, Progress
from .sources import SourceReader, check_source, write_inputs
from .workers import quiet_datatrove

Name = Annotated[str, Field(min_length=1)]

_LIMITS = filters.filter_data()["thresholds"]


class CorpusSettings(BaseModel):
    """What stays in the corpus, and how it is divided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keywords: tuple[Name, ...] = Field((), description="Keep only documents in which one of these occurs. None: all.")
    licenses: tuple[Name, ...] = Field(
        (), description="Keep only documents with one of these licences (`permissive`: see filters.yaml). None: all."
    )
    max_bytes: int = Field(_LIMITS["max_bytes"], ge=1, description="Size of the largest document, in bytes.")
    max_line_mean: float = Field(_LIMITS["max_line_mean"], gt=0, description="Mean length of the lines, in characters.")
    max_line_length: int = Field(_LIMITS["max_line_length"], ge=1, description="Longest line, in characters.")
    min_alphanumeric: float = Field(
        _LIMITS["min_alphanumeric"], ge=0, le=1, description="Least share of letters and digits among the characters."
    )
    generated: bool = Field(
        True, description="Leave out files that say in their first lines that a program wrote them."
    )
    syntax: bool = Field(True, description="Leave out what does not parse as Python.")
    secrets: bool = Field(True, description="Leave out documents that hold what looks like a credential.")
    exact_duplicates: bool = Field(True, description="Keep one of each group of equal documents.")
    near_duplicates: bool = Field(True, description="Keep one of each group of similar documents.")
    validation_share: float = Field(
        0.1, ge=0, lt=1, description="Share of the documents that are held out for validation, chosen by their SHA-256."
    )


class LeftOutRow(BaseModel):
    """How much one reason took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    documents: int
    bytes: int


class CorpusReport(BaseModel):
    """What was read, what was left out and why, in the order of the stages, and what is kept. Bytes are of UTF-8."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    read_documents: int
    read_bytes: int
    left_out: tuple[LeftOutRow, ...]
    train_documents: int
    train_bytes: int
    validation_documents: int
    validation_bytes: int


def write_corpus(
    source: str, folder: Path, settings: CorpusSettings, executor: Executor, on_progress: Progress | None = None
) -> CorpusReport:
    """Write the source's cleaned documents to `folder` and say what became of all of them.

    A corpus that is there already, of the same inputs and settings, is left as it is. One that was begun is gone on
    with; if the inputs or settings are others, it starts anew.

    Args:
        source: `stdlib`, a file or folder, or `hf:NAME` (see `sources.py`).
        folder: made if need be.
        settings: what stays.
        executor: where the work runs. Its number of tasks decides how the documents lie in the files.
        on_progress: called with a pass's name, its finished tasks and all its tasks.

    Raises:
        ValueError: the source does not exist, or the executor cannot run here.
        NothingLeft: the filters left no document to train on, or none to judge by.
        PretrainingError: a task failed, or a data set cannot be reached.
    """
    executor.check()
    check_source(source)
    folder = folder.absolute()
    _check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    quiet_datatrove()
    inputs = _started(source, folder, settings, executor.tasks)
    kept = folder / "report.json"
    if not kept.is_file():
        with executor.session():
            report = _Passes(source, inputs, folder, settings, executor, on_progress).run()
        _check_left(report, settings)
        write_json(kept, report.model_dump(mode="json"))
    shutil.rmtree(inputs.parent)
    return CorpusReport.model_validate_json(kept.read_text("utf-8"))


def _check_folder(folder: Path) -> None:
    if any(mark in str(folder) for mark in ("*", "?", "[", "::")):
        # fsspec, which datatrove reads and writes with, takes these as patterns.
        raise ValueError(f"folder={str(folder)!r}: the characters * ? [ :: do not work in it. Choose another folder.")
    if not (folder / "plan.json").is_file() and has_files(folder):
        raise ValueError(f"folder={str(folder)!r}: it holds other files. Choose a new or empty folder.")


def _started(source: str, folder: Path, settings: CorpusSettings, tasks: int) -> Path:
    """The list of inputs, in the folder of the passes; what is there of another source or other settings is removed."""
    plan, passes = folder / "plan.json", folder / "passes"
    if not plan.is_file():
        write_json(plan, {})  # says from here on that the folder is ours, and of no plan yet
    passes.mkdir(parents=True, exist_ok=True)
    inputs, found = passes / "inputs.jsonl", passes / "inputs-now.jsonl"
    listed = {"inputs": write_inputs(source, found, without=folder), "tasks": tasks}
    wanted = listed | {"settings": settings.model_dump(mode="json")}
    if json.loads(plan.read_text("utf-8")) != wanted:
        write_json(plan, {})
        (folder / "report.json").unlink(missing_ok=True)
        for old in ("tasks", "cleaned", "exact", "near", "../train", "../validation"):
            shutil.rmtree(passes / old, ignore_errors=True)
        write_json(plan, wanted)
    return found.replace(inputs)


class _Passes:
    """The passes in order, over the folders they share."""

    def __init__(
        self,
        source: str,
        inputs: Path,
        folder: Path,
        settings: CorpusSettings,
        executor: Executor,
        on_progress: Progress | None,
    ) -> None:
        self.reader = SourceReader(source, inputs, settings.max_bytes)
        self.folder, self.passes = folder, inputs.parent
        self.settings, self.executor, self.on_progress = settings, executor, on_progress

    def run(self) -> CorpusReport:
        """All passes; those that are complete are not run again."""
        cleaned, exact, near = self.passes / "cleaned", self.passes / "exact", self.passes / "near"
        clean: list[Any] = [
            self.reader,
            filters.CodeFilter(_predicates(self.settings)),
            JsonlWriter(str(cleaned), compression="zstd"),
        ]
        final: list[Any] = [PassReader(cleaned), Tally("cleaned")]
        if self.settings.exact_duplicates:
            clean.append(deduplicate.exact_signatures(exact, self.executor.tasks))
        read = self._pass("read", clean)
        if self.settings.exact_duplicates:
            self._pass("exact duplicates", deduplicate.exact_matches(exact))
            final.append(deduplicate.without_exact(exact))
        final.append(Tally("without exact duplicates"))
        if self.settings.near_duplicates:
            self._pass("signatures", [*final, deduplicate.near_signatures(near)])
            self._pass("buckets", deduplicate.near_buckets(near), deduplicate.near_config().num_buckets)
            self._pass("clusters", deduplicate.near_clusters(near), 1)
            final.append(deduplicate.without_near(near))
        final.append(SplitWriter(self.folder, self.settings.validation_share))
        return _report(read, self._pass("write", final))

    def _pass(self, name: str, steps: list[Any], tasks: int | None = None) -> Any:
        folder = self.passes / "tasks" / name.replace(" ", "-")
        return self.executor.run(name, steps, folder, tasks=tasks, on_progress=self.on_progress)


def _predicates(settings: CorpusSettings) -> list[filters.Predicate]:
    """What the settings ask for, the cheap ones first."""
    wanted: list[tuple[bool, Callable[[], filters.Predicate]]] = [
        (bool(settings.licenses), lambda: filters.Licenses(settings.licenses)),
        (bool(settings.keywords), lambda: filters.Keywords(settings.keywords)),
        (True, lambda: filters.LineLengths(settings.max_line_mean, settings.max_line_length)),
        (settings.min_alphanumeric > 0, lambda: filters.Alphanumeric(settings.min_alphanumeric)),
        (settings.generated, filters.Generated),
        (settings.secrets, filters.Secrets),
        (settings.syntax, filters.Syntax),
    ]
    return [predicate() for is_wanted, predicate in wanted if is_wanted]


class PassReader(JsonlReader):  # type: ignore[misc]
    """Reads what the task of the same rank wrote in an earlier pass; a task that kept nothing left no file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), add_file_path=False)

    def run(self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """The documents in the order in which they were written."""
        name = f"{rank:05d}.jsonl.zst"
        if self.data_folder.exists(name):
            yield from self.read_file(name)


class SplitWriter(JsonlWriter, CountingStep):  # type: ignore[misc]
    """Writes each document to train/ or validation/ by its text alone, so a document never changes sides."""

    def __init__(self, folder: Path, validation_share: float) -> None:
        super().__init__(str(folder), output_filename="${split}/${rank}.jsonl", compression="zstd")
        self.validation_share = validation_share

    def write(self, document: Document, rank: int = 0, **_: Any) -> None:
        """Write one document and count it."""
        content = document.text.encode("utf-8")
        split = split_of(content, self.validation_share)
        document.metadata.pop("duplicate_count", None)  # the exact filter's note
        super().write(document, rank, split=split)
        self.count(f"kept for {split}", len(content))


def read_documents(folder: Path) -> Iterator[dict[str, Any]]:
    """The documents of one split, in order: `text`, `id` and `metadata`."""
    for path in sorted(folder.glob("*.jsonl.zst")):
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as unpacked:
            yield from map(json.loads, io.TextIOWrapper(unpacked, encoding="utf-8"))


def split_of(content: bytes, validation_share: float) -> str:
    """`validation` where the first 8 bytes of the SHA-256, as a fraction of 1, lie below the share; else `train`."""
    return "validation" if int.from_bytes(sha256(content).digest()[:8]) < validation_share * 2**64 else "train"


def _report(read: Any, written: Any) -> CorpusReport:
    train, validation = (counted(written, -1, f"kept for {split}") for split in ("train", "validation"))
    kept = (train[0] + validation[0], train[1] + validation[1])
    before, between = (tally(written, name) for name in ("cleaned", "without exact duplicates"))
    taken = left_out(read, 0) | left_out(read, 1)
    taken["exact duplicate"] = (before[0] - between[0], before[1] - between[1])
    taken["near duplicate"] = (between[0] - kept[0], between[1] - kept[1])
    rows = [LeftOutRow(reason=reason, documents=n, bytes=size) for reason, (n, size) in taken.items() if n]
    return CorpusReport(
        read_documents=kept[0] + sum(row.documents for row in rows),
        read_bytes=kept[1] + sum(row.bytes for row in rows),
        left_out=tuple(rows),
        train_documents=train[0],
        train_bytes=train[1],
        validation_documents=validation[0],
        validation_bytes=validation[1],
    )


def _check_left(report: CorpusReport, settings: CorpusSettings) -> None:
    lost = ", ".join(f"{row.reason} {row.documents}" for row in report.left_out) or "nothing was found"
    if not report.train_documents:
        raise NothingLeft(
            f"Of {report.read_documents} documents none is left to train on. Left out: {lost}. "
            "Give another source, or loosen the settings that took most."
        )
    if settings.validation_share and not report.validation_documents:
        raise NothingLeft(
            f"None of {report.train_documents} documents fell to validation at validation_share="
            f"{settings.validation_share}. Left out: {lost}. Raise the share, or give more documents."
        )
