"""The corpus as a whole: every document is in one split or counted, with any workers and interruptions."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from sagechain.pretraining import PretrainingError
from sagechain.pretraining.data import CorpusSettings, Executor
from sagechain.pretraining.data.corpus import CorpusReport, split_of
from sagechain.pretraining.data.executors.workers import run_task

from tests.pretraining.sources import ONE_WORKER, corpus_of
from tests.processes import Process, run, start

ALL = CorpusSettings(validation_share=0.5)
PASSES = "".join(
    f"prepare: {name}\n" for name in ("read", "exact duplicates", "signatures", "buckets", "clusters", "write")
)
EVEN = ALL.model_copy(update={"near_duplicates": False})


def function(number: int) -> str:
    """A document unlike those of other numbers."""
    words = " + ".join(f"value_{number}_{place}" for place in range(40))
    lines = words.replace(" + ", " + \\\n    ", 40)
    return f"def f{number}():\n    return {lines}\n"


def documents(folder: Path, split: str) -> list[dict[str, Any]]:
    lines = [line for content in files(folder, split).values() for line in content.decode().splitlines()]
    return [json.loads(line) for line in lines]


def files(folder: Path, split: str) -> dict[str, bytes]:
    paths = sorted((folder / split).glob("*.jsonl.zst"))
    return {path.name: zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read() for path in paths}


def texts(folder: Path) -> list[str]:
    return sorted(document["text"] for split in ("train", "validation") for document in documents(folder, split))


def left_out(report: CorpusReport) -> dict[str, int]:
    return {row.reason: row.documents for row in report.left_out}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """20 documents that have nothing in common."""
    folder = tmp_path / "code"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02d}.py").write_text(function(number))
    return folder


def test_every_document_is_in_one_split_with_its_path_and_hash(code: Path, tmp_path: Path) -> None:
    report = corpus_of(code, tmp_path / "corpus", ALL)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20))
    train, validation = (documents(tmp_path / "corpus", split) for split in ("train", "validation"))
    assert (report.train_documents, report.validation_documents) == (len(train), len(validation))
    assert report.train_bytes == sum(len(document["text"]) for document in train)
    assert report.validation_bytes == sum(len(document["text"]) for document in validation)
    assert {frozenset(document) for document in train} == {frozenset({"text", "id", "metadata"})}
    assert {frozenset(document["metadata"]) for document in train} == {frozenset({"path", "sha256"})}
    assert {path.name for path in (tmp_path / "corpus").iterdir()} == {"report.json", "train", "validation"}


def test_left_out_documents_are_counted_in_the_order_of_the_passes(code: Path, tmp_path: Path) -> None:
    (code / "binary.py").write_bytes(b"\0")
    (code / "empty.py").write_bytes(b"")
    (code / "python2.py").write_text('print "hello"')
    (code / "generated.py").write_text("# Automatically generated.\na = 1")
    (code / "wide.py").write_text(f"a = '{'x' * 1000}'")
    (code / "dots.py").write_text("# " + "." * 90)
    (code / "secret.py").write_text("key = 'AKIA" + "QWERTYUIOPASDFGH'")
    (code / "copy.py").write_text(function(0))
    (code / "near.py").write_text(function(1).replace("_39", "_40"))
    report = corpus_of(code, tmp_path / "corpus", ALL)
    assert [(row.reason, row.documents) for row in report.left_out] == [
        ("binary", 1),
        ("empty", 1),
        ("few letters", 1),
        ("generated", 1),
        ("long lines", 1),
        ("secret", 1),
        ("syntax", 1),
        ("exact duplicate", 1),
        ("near duplicate", 1),
    ]
    rows = {row.reason: row.bytes for row in report.left_out}
    assert (rows["syntax"], rows["exact duplicate"]) == (13, len(function(0)))
    assert report.read_documents == 29
    assert report.read_bytes == report.train_bytes + report.validation_bytes + sum(rows.values())


def test_the_rows_lost_of_a_damaged_parquet_are_counted_with_their_share_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pyarrow.table({"content": [function(number) for number in range(40)]})
    pyarrow.parquet.write_table(table, path, row_group_size=4, compression="zstd")
    groups = [pyarrow.parquet.read_metadata(path).row_group(number).column(0) for number in range(10)]
    with path.open("r+b") as file:
        for column in groups[:5]:
            file.seek(column.dictionary_page_offset)
            file.write(b"\xff" * 40)
    report = corpus_of(path, tmp_path / "corpus", EVEN)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20, 40))
    [lost] = report.left_out
    assert (lost.reason, lost.documents, report.read_documents) == ("broken archive", 20, 40)
    assert lost.bytes == sum(column.total_compressed_size for column in groups[:5]) < path.stat().st_size


def test_of_copies_in_several_files_or_formats_one_remains(code: Path, tmp_path: Path) -> None:
    (code / "rows.jsonl").write_text("".join(json.dumps({"content": function(number)}) + "\n" for number in range(25)))
    report = corpus_of(code, tmp_path / "corpus", EVEN)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(25))
    assert left_out(report) == {"exact duplicate": 20}


def test_a_file_whose_name_is_not_utf8_gets_a_name_that_can_be_written(code: Path, tmp_path: Path) -> None:
    (code / "07.py").rename(os.fsdecode(os.fsencode(code) + b"/latin-\xe9.py"))
    report = corpus_of(code, tmp_path / "corpus", ALL)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20))
    paths = [
        row["metadata"]["path"] for split in ("train", "validation") for row in documents(tmp_path / "corpus", split)
    ]
    assert ("latin-?.py" in paths, left_out(report)) == (True, {})


def test_filters_follow_the_settings(code: Path, tmp_path: Path) -> None:
    (code / "copy.py").write_text(function(0))
    (code / "python2.py").write_text('print "hello"')
    everything = EVEN.model_copy(update={"syntax": False, "exact_duplicates": False, "near_duplicates": False})
    assert left_out(corpus_of(code, tmp_path / "all", everything)) == {}
    seven = EVEN.model_copy(update={"keywords": ("value_7_", "value_8_"), "validation_share": 0.0})
    report = corpus_of(code, tmp_path / "seven", seven)
    assert texts(tmp_path / "seven") == [function(7), function(8)]
    assert left_out(report) == {"no keyword": 20}


def test_two_workers_write_the_bytes_of_one_and_print_only_the_passes(
    code: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (code / "copy.py").write_text(function(3))
    (code / "near.py").write_text(function(4).replace("_39", "_40"))
    reports = [corpus_of(code, tmp_path / f"{workers}", ALL, Executor(workers=workers, tasks=5)) for workers in (1, 2)]
    assert reports[0] == reports[1]
    for split in ("train", "validation"):
        assert files(tmp_path / "1", split) == files(tmp_path / "2", split) != {}
    assert capfd.readouterr() == ("", PASSES * 2)


def test_added_files_move_no_document_to_the_other_split(code: Path, tmp_path: Path) -> None:
    corpus_of(code, tmp_path / "before", EVEN)
    for number in range(20, 30):
        (code / f"a{number}.py").write_text(function(number))
    corpus_of(code, tmp_path / "after", EVEN)
    for split in ("train", "validation"):
        before, after = (
            {document["text"] for document in documents(tmp_path / name, split)} for name in ("before", "after")
        )
        assert before < after


@given(st.binary(), st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_larger_share_only_adds_to_validation(content: bytes, share: float, other: float) -> None:
    if split_of(content, min(share, other)) == "validation":
        assert split_of(content, max(share, other)) == "validation"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_share_of_validation_is_that_of_the_settings(share: float) -> None:
    validation = sum(split_of(str(number).encode(), share) == "validation" for number in range(10_000))
    assert validation / 10_000 == pytest.approx(share, abs=0.01)


def test_documents_with_other_licences_are_left_out(code: Path, tmp_path: Path) -> None:
    rows = [
        {"repo_name": "me/x", "content": function(number), "license": ["mit", "gpl-3.0"][number % 2]}
        for number in range(20, 40)
    ]
    (code / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = corpus_of(code / "rows.jsonl", tmp_path / "corpus", EVEN.model_copy(update={"licenses": ("mit",)}))
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20, 40, 2))
    assert left_out(report) == {"licence": 10}
    assert documents(tmp_path / "corpus", "train")[0]["metadata"]["repo_name"] == "me/x"


def test_if_no_document_remains_the_error_names_the_documents_each_filter_removed(code: Path, tmp_path: Path) -> None:
    settings = CorpusSettings(keywords=("no such word",))
    with pytest.raises(PretrainingError, match=r"Of 20 documents none remains.*no keyword 20.*loosen"):
        corpus_of(code, tmp_path / "corpus", settings)


def test_the_error_for_an_empty_folder_states_that_nothing_was_found(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    with pytest.raises(PretrainingError, match="nothing was found"):
        corpus_of(tmp_path / "code", tmp_path / "corpus", EVEN)


def test_an_empty_validation_split_is_an_error(code: Path, tmp_path: Path) -> None:
    with pytest.raises(PretrainingError, match="Raise the share"):
        corpus_of(code, tmp_path / "corpus", CorpusSettings(validation_share=1e-9))


def test_a_corpus_inside_its_own_source_is_not_read(code: Path) -> None:
    first = corpus_of(code, code / "corpus", EVEN)
    written = (code / "corpus" / "report.json").stat().st_mtime_ns
    assert corpus_of(code, code / "corpus", EVEN) == first
    assert (code / "corpus" / "report.json").stat().st_mtime_ns == written


Tasks = list[tuple[str, int]]


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """Pass and rank of the tasks that started in this process. One that is already in the list is interrupted."""
    started: Tasks = []

    def run(engine: Any, rank: int) -> str:
        task = (Path(engine.logging_dir.path).name, rank)
        if task in started:
            raise KeyboardInterrupt
        started.append(task)
        return run_task(engine, rank)

    monkeypatch.setattr("sagechain.pretraining.data.executors.executor.run_task", run)
    return started


@pytest.mark.parametrize("name", ["read", "buckets", "write"])
def test_a_stopped_run_resumes_at_its_first_unfinished_task(
    name: str, code: Path, tmp_path: Path, tasks: Tasks
) -> None:
    tasks.append((name, 1))
    with pytest.raises(KeyboardInterrupt):
        corpus_of(code, tmp_path / "corpus", ALL, ONE_WORKER)
    finished = tasks[1:]
    assert finished[-1] == (name, 0)
    tasks.clear()
    report = corpus_of(code, tmp_path / "corpus", ALL, ONE_WORKER)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20))
    assert (report.read_documents, report.train_documents + report.validation_documents) == (20, 20)
    assert tasks[0] == (name, 1)
    assert not {*finished} & {*tasks}


CORPUS_OF = (
    "import sys; from pathlib import Path\n"
    "from sagechain.pretraining.data import CorpusSettings, Executor\n"
    "from tests.pretraining.sources import corpus_of\n"
    "code, folder, settings = sys.argv[1], Path(sys.argv[2]), CorpusSettings(validation_share=0.5)\n"
)


@pytest.fixture
def paused(code: Path, tmp_path: Path) -> Iterator[Process]:
    """A process that waits in the middle of the first pass, after its first task."""
    script = (
        f"{CORPUS_OF}"
        "from concurrent.futures import as_completed; from sagechain.pretraining.data.executors import workers\n"
        "def wait(futures):\n"
        "    yield next(as_completed(futures)); print('waits', flush=True); sys.stdin.read()\n"
        "workers.as_completed = wait\n"
        "corpus_of(code, folder, settings, Executor(workers=2, tasks=3))\n"
    )
    with start("-c", script, str(code), str(tmp_path / "corpus"), start_new_session=True) as process:
        assert process.stdout.readline() == "waits\n"
        yield process
        process.kill()


def test_a_killed_run_leaves_no_worker_and_its_finished_tasks_are_not_repeated(
    paused: Process, code: Path, tmp_path: Path, tasks: Tasks
) -> None:
    children = _children(paused.pid)
    assert len(children) == 2
    paused.kill()
    paused.wait()
    for child in children:
        _wait_for_end(child)
    corpus_of(code, tmp_path / "corpus", ALL, ONE_WORKER)
    assert len([name for name, _ in tasks if name == "read"]) < 3
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20))


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def _wait_for_end(pid: int) -> None:
    """Returns when the process has ended; the test's time limit ends the waiting otherwise."""
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z":
        os.sched_yield()


def test_a_new_process_prints_only_the_passes(code: Path, tmp_path: Path) -> None:
    script = f"{CORPUS_OF}corpus_of(code, folder, settings, Executor(workers=1, tasks=2))"
    done = run("-c", script, str(code), str(tmp_path / "corpus"), check=True)
    assert (done.stdout, done.stderr) == ("", PASSES)


@pytest.mark.parametrize(
    "wrong",
    [{"validation_share": 1}, {"keywords": ["a", ""]}, {"max_bytes": 0}, {"min_alphanumeric": 2}, {"syntaxx": True}],
)
def test_settings_out_of_range_are_value_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CorpusSettings(**wrong)
