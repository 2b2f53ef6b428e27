"""The corpus as a whole: every document is kept or counted, in one split, whatever the workers and interruptions."""

import json
import os
import subprocess
import sys
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
from sagechain.pretraining.data.corpus import CorpusReport, CorpusSettings, split_of, write_corpus
from sagechain.pretraining.data.executors import Executor

ONE = Executor(workers=1, tasks=3)
ALL = CorpusSettings(validation_share=0.5)
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


def taken(report: CorpusReport) -> dict[str, int]:
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
    report = write_corpus(str(code), tmp_path / "corpus", ALL, ONE)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20))
    train, validation = (documents(tmp_path / "corpus", split) for split in ("train", "validation"))
    assert (report.train_documents, report.validation_documents) == (len(train), len(validation))
    assert report.train_bytes == sum(len(document["text"]) for document in train)
    assert report.validation_bytes == sum(len(document["text"]) for document in validation)
    assert {frozenset(document) for document in train} == {frozenset({"text", "id", "metadata"})}
    assert {frozenset(document["metadata"]) for document in train} == {frozenset({"path", "sha256"})}
    assert sorted(path.name for path in (tmp_path / "corpus").iterdir()) == [
        "plan.json",
        "report.json",
        "train",
        "validation",
    ]


def test_what_is_left_out_is_counted_in_the_order_of_the_stages(code: Path, tmp_path: Path) -> None:
    (code / "binary.py").write_bytes(b"\0")
    (code / "empty.py").write_bytes(b"")
    (code / "python2.py").write_text('print "hello"')
    (code / "generated.py").write_text("# Automatically generated.\na = 1")
    (code / "wide.py").write_text(f"a = '{'x' * 1000}'")
    (code / "dots.py").write_text("# " + "." * 90)
    (code / "secret.py").write_text("key = 'AKIA" + "QWERTYUIOPASDFGH'")
    (code / "copy.py").write_text(function(0))
    (code / "near.py").write_text(function(1).replace("_39", "_40"))
    report = write_corpus(str(code), tmp_path / "corpus", ALL, ONE)
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
    report = write_corpus(str(path), tmp_path / "corpus", EVEN, ONE)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20, 40))
    [lost] = report.left_out
    assert (lost.reason, lost.documents, report.read_documents) == ("broken archive", 20, 40)
    assert lost.bytes == sum(column.total_compressed_size for column in groups[:5]) < path.stat().st_size


def test_a_copy_in_another_file_or_format_stays_once(code: Path, tmp_path: Path) -> None:
    (code / "rows.jsonl").write_text("".join(json.dumps({"content": function(number)}) + "\n" for number in range(25)))
    report = write_corpus(str(code), tmp_path / "corpus", EVEN, ONE)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(25))
    assert taken(report) == {"exact duplicate": 20}


def test_a_file_whose_name_is_no_utf8_is_kept_under_a_name_that_can_be_written(code: Path, tmp_path: Path) -> None:
    (code / "07.py").rename(os.fsdecode(os.fsencode(code) + b"/latin-\xe9.py"))
    report = write_corpus(str(code), tmp_path / "corpus", ALL, ONE)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20))
    paths = [
        row["metadata"]["path"] for split in ("train", "validation") for row in documents(tmp_path / "corpus", split)
    ]
    assert ("latin-?.py" in paths, taken(report)) == (True, {})


def test_filters_follow_the_settings(code: Path, tmp_path: Path) -> None:
    (code / "copy.py").write_text(function(0))
    (code / "python2.py").write_text('print "hello"')
    everything = EVEN.model_copy(update={"syntax": False, "exact_duplicates": False, "near_duplicates": False})
    assert taken(write_corpus(str(code), tmp_path / "all", everything, ONE)) == {}
    seven = EVEN.model_copy(update={"keywords": ("value_7_", "value_8_"), "validation_share": 0.0})
    report = write_corpus(str(code), tmp_path / "seven", seven, ONE)
    assert texts(tmp_path / "seven") == [function(7), function(8)]
    assert taken(report) == {"no keyword": 20}


def test_one_worker_and_two_write_the_same_bytes(code: Path, tmp_path: Path) -> None:
    (code / "copy.py").write_text(function(3))
    (code / "near.py").write_text(function(4).replace("_39", "_40"))
    reports = [
        write_corpus(str(code), tmp_path / f"{workers}", ALL, Executor(workers=workers, tasks=5)) for workers in (1, 2)
    ]
    assert reports[0] == reports[1]
    for split in ("train", "validation"):
        assert files(tmp_path / "1", split) == files(tmp_path / "2", split) != {}


def test_added_files_move_no_document_to_the_other_split(code: Path, tmp_path: Path) -> None:
    write_corpus(str(code), tmp_path / "before", EVEN, ONE)
    for number in range(20, 30):
        (code / f"a{number}.py").write_text(function(number))
    write_corpus(str(code), tmp_path / "after", EVEN, ONE)
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
def test_the_share_held_out_is_the_one_asked_for(share: float) -> None:
    held_out = sum(split_of(str(number).encode(), share) == "validation" for number in range(10_000))
    assert held_out / 10_000 == pytest.approx(share, abs=0.01)


def test_a_local_copy_of_a_data_set_becomes_a_corpus(tmp_path: Path) -> None:
    import gzip

    folder = tmp_path / "clean"
    folder.mkdir()
    rows = [
        {
            "repo_name": "me/x",
            "path": f"{number}.py",
            "content": function(number),
            "license": ["mit", "gpl-3.0"][number % 2],
        }
        for number in range(20)
    ]
    packed = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    (folder / "file-000000000001.json.gz").write_bytes(packed)
    settings = EVEN.model_copy(update={"licenses": ("mit",)})
    report = write_corpus(f"hf:{folder}", tmp_path / "corpus", settings, ONE)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(0, 20, 2))
    assert taken(report) == {"licence": 10}
    assert documents(tmp_path / "corpus", "train")[0]["metadata"]["repo_name"] == "me/x"


def test_nothing_left_names_what_took_how_much(code: Path, tmp_path: Path) -> None:
    settings = CorpusSettings(keywords=("no such word",))
    with pytest.raises(PretrainingError, match=r"Of 20 documents none is left.*no keyword 20.*loosen"):
        write_corpus(str(code), tmp_path / "corpus", settings, ONE)


def test_an_empty_folder_says_that_nothing_was_found(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    with pytest.raises(PretrainingError, match="nothing was found"):
        write_corpus(str(tmp_path / "code"), tmp_path / "corpus", EVEN, ONE)


def test_an_empty_validation_split_is_an_error(code: Path, tmp_path: Path) -> None:
    with pytest.raises(PretrainingError, match="Raise the share"):
        write_corpus(str(code), tmp_path / "corpus", CorpusSettings(validation_share=1e-9), ONE)


def test_a_source_that_does_not_exist_is_found_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such"):
        write_corpus(str(tmp_path / "nowhere"), tmp_path / "corpus", EVEN, ONE)
    assert not (tmp_path / "corpus").exists()


def test_a_folder_with_other_files_is_not_touched(code: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds other files"):
        write_corpus(str(code), code, EVEN, ONE)


def test_a_folder_whose_name_is_a_pattern_is_refused(code: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not work"):
        write_corpus(str(code), tmp_path / "corpus[1]", EVEN, ONE)


def test_a_corpus_inside_its_own_source_is_not_read(code: Path) -> None:
    first = write_corpus(str(code), code / "corpus", EVEN, ONE)
    written = (code / "corpus" / "report.json").stat().st_mtime_ns
    assert write_corpus(str(code), code / "corpus", EVEN, ONE) == first
    assert (code / "corpus" / "report.json").stat().st_mtime_ns == written


def test_other_settings_or_inputs_start_anew(code: Path, tmp_path: Path) -> None:
    write_corpus(str(code), tmp_path / "corpus", EVEN, ONE)
    two = EVEN.model_copy(update={"keywords": ("value_7_", "value_8_"), "validation_share": 0.0})
    write_corpus(str(code), tmp_path / "corpus", two, ONE)
    assert texts(tmp_path / "corpus") == [function(7), function(8)]
    (code / "07.py").write_text(function(77).replace("f77", "value_7_"))
    write_corpus(str(code), tmp_path / "corpus", two, ONE)
    assert texts(tmp_path / "corpus") == [function(8), function(77).replace("f77", "value_7_")]


@pytest.mark.parametrize("name", ["read", "buckets", "write"])
def test_a_stopped_run_goes_on_where_it_was(name: str, code: Path, tmp_path: Path) -> None:
    def stop(running: str, done: int, tasks: int) -> None:
        if running == name and done == min(1, tasks - 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_corpus(str(code), tmp_path / "corpus", ALL, ONE, stop)
    marks = {path: path.stat().st_mtime_ns for path in (tmp_path / "corpus" / "passes").rglob("completions/*")}
    calls: list[tuple[str, int, int]] = []

    def still_there(*call: Any) -> None:
        calls.append(call)
        assert all(path.stat().st_mtime_ns == time for path, time in marks.items())

    report = write_corpus(str(code), tmp_path / "corpus", ALL, ONE, still_there)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20))
    assert (report.read_documents, report.train_documents + report.validation_documents) == (20, 20)
    assert next(call for call in calls if call[0] == "read") == ("read", 3 if name != "read" else 1, 3)


def test_a_run_stopped_while_it_lists_its_inputs_begins_again(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.data import corpus

    def stop(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus, "write_inputs", stop)
    with pytest.raises(KeyboardInterrupt):
        write_corpus(str(code), tmp_path / "corpus", ALL, ONE)
    monkeypatch.undo()
    write_corpus(str(code), tmp_path / "corpus", ALL, ONE)
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20))


@pytest.fixture
def killed(code: Path, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A run in a process of its own, at its first progress after the first finished task."""
    script = (
        "import sys; from pathlib import Path\n"
        "from sagechain.pretraining.data.corpus import CorpusSettings, write_corpus\n"
        "from sagechain.pretraining.data.executors import Executor\n"
        "def wait(name, done, tasks):\n"
        "    if done: print(name, flush=True); sys.stdin.read()\n"
        "settings = CorpusSettings(validation_share=0.5)\n"
        "write_corpus(sys.argv[1], Path(sys.argv[2]), settings, Executor(workers=2, tasks=3), wait)\n"
    )
    command = [sys.executable, "-c", script, str(code), str(tmp_path / "corpus")]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "read\n"
    yield process
    process.kill()
    process.communicate()


def test_a_killed_run_leaves_no_worker_and_its_tasks_are_kept(
    killed: "subprocess.Popen[str]", code: Path, tmp_path: Path
) -> None:
    children = _children(killed.pid)
    assert len(children) == 2
    killed.kill()
    killed.wait()
    for child in children:
        _wait_for_end(child)
    done: list[int] = []
    write_corpus(str(code), tmp_path / "corpus", ALL, ONE, lambda name, finished, tasks: done.append(finished))
    assert done[0] >= 1
    assert texts(tmp_path / "corpus") == sorted(function(number) for number in range(20))


def _children(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def _wait_for_end(pid: int) -> None:
    """Returns when the process has ended; the test's time limit ends the waiting otherwise."""
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z":
        os.sched_yield()


def test_nothing_is_said_on_standard_error(code: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from sagechain.pretraining.data.corpus import CorpusSettings, write_corpus\n"
        "from sagechain.pretraining.data.executors import Executor\n"
        "for workers in (1, 2):\n"
        "    settings = CorpusSettings(validation_share=0.5)\n"
        "    write_corpus(sys.argv[1], Path(sys.argv[2]) / str(workers), settings, Executor(workers=workers, tasks=2))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(code), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    "wrong",
    [{"validation_share": 1}, {"keywords": ["a", ""]}, {"max_bytes": 0}, {"min_alphanumeric": 2}, {"syntaxx": True}],
)
def test_settings_out_of_range_are_value_errors(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CorpusSettings(**wrong)
