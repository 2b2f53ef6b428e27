"""Reading code from folders, files and data sets: what comes out, and every document that does not, with its reason."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from datatrove.data import Document
from hypothesis import given
from hypothesis import strategies as st
from sagechain.pretraining import PretrainingError
from sagechain.pretraining.data.counts import counted, left_out
from sagechain.pretraining.data.formats import PIECE_BYTES, LeftOut, Row
from sagechain.pretraining.data.formats import rows as rows_of
from sagechain.pretraining.data.sources import SourceReader, check_source, write_inputs
from sagechain.pretraining.data.workers import quiet_datatrove

quiet_datatrove()
MAX_BYTES = 1_000_000


def read(source: Path | str, folder: Path, tasks: int = 1) -> tuple[list[Document], dict[str, int]]:
    """All documents of a source, and how many were left out for each reason."""
    from datatrove.utils.stats import PipelineStats

    write_inputs(str(source), folder / "inputs.jsonl")
    documents, stats = [], PipelineStats()
    for rank in range(tasks):
        reader = SourceReader(str(source), folder / "inputs.jsonl", MAX_BYTES)
        documents += list(reader.run(rank=rank, world_size=tasks))
        stats += PipelineStats([reader.stats])
    assert counted(stats, 0, "read")[0] == len(documents)
    return documents, {reason: taken[0] for reason, taken in left_out(stats, 0).items()}


def rows(*contents: Any) -> bytes:
    return b"".join(json.dumps({"content": content}).encode() + b"\n" for content in contents)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    return folder


def test_a_python_file_is_a_document_with_its_relative_path_and_hash(code: Path, tmp_path: Path) -> None:
    (code / "package").mkdir()
    (code / "package" / "a.py").write_text("é = 1\n", "utf-8")
    [document], nothing = read(code, tmp_path)
    assert (document.text, document.id) == ("é = 1\n", "package/a.py")
    assert document.metadata == {"path": "package/a.py", "sha256": sha256("é = 1\n".encode()).hexdigest()}
    assert nothing == {}


def test_each_kind_of_file_that_cannot_be_read_is_counted_once(code: Path, tmp_path: Path) -> None:
    (code / "binary.py").write_bytes(b"a = 1\0")
    (code / "latin.py").write_bytes("é = 1".encode("latin-1"))
    (code / "unknown_cookie.py").write_bytes(b"# -*- coding: no-such -*-\n")
    (code / "undefined_cookie.py").write_bytes(b"# -*- coding: undefined -*-\n")
    (code / "empty.py").write_bytes(b"")
    (code / "blank.py").write_bytes(b" \n\t\n")
    (code / "large.py").write_bytes(b"#" * (MAX_BYTES + 1))
    (code / "broken.parquet").write_bytes(b"PAR1 but no more")
    (code / "README.md").write_text("# Text")
    (code / ".git").mkdir()
    (code / ".git" / "hook.py").write_text("a = 1")
    (code / "self.py").symlink_to("self.py")
    (code / "nowhere.py").symlink_to("no-such-file.py")
    (code / "loop").symlink_to(code)
    os.mkfifo(code / "pipe.py")
    documents, reasons = read(code, tmp_path)
    assert documents == []
    assert reasons == {
        "binary": 1,
        "not UTF-8": 3,
        "empty": 2,
        "too large": 1,
        "broken archive": 1,
        "other kind of file": 1,
        "hidden folder": 1,
        "link loop": 1,
        "unreadable": 1,
        "folder seen before": 1,
        "not a file": 1,
    }


def test_an_encoding_named_in_the_file_is_honoured(code: Path, tmp_path: Path) -> None:
    (code / "latin.py").write_bytes("# -*- coding: latin-1 -*-\né = 1\n".encode("latin-1"))
    (code / "marked.py").write_bytes("\ufeffé = 2\n".encode())
    documents, nothing = read(code, tmp_path)
    assert [document.text for document in documents] == ["# -*- coding: latin-1 -*-\né = 1\n", "é = 2\n"]
    assert nothing == {}


def test_files_without_permission_are_counted(code: Path, tmp_path: Path) -> None:
    (code / "closed.py").write_text("a = 1")
    (code / "closed.py").chmod(0)
    (code / "open.py").write_text("a = 1")
    (code / "closed").mkdir(mode=0)
    (tmp_path / "first" / "code").mkdir(parents=True)
    (tmp_path / "first" / "code" / "a.py").write_text("a = 1")
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    # Root may read everything, so the reading is done by a process that is nobody.
    script = (
        "import os, sys; from pathlib import Path\n"
        "from tests.pretraining.test_sources import read\n"
        "first = Path(sys.argv[2], 'first')\n"
        "read(first / 'code', first)\n"  # what reading imports may lie where only root may read
        "os.geteuid() or os.seteuid(65534)\n"
        "documents, reasons = read(sys.argv[1], Path(sys.argv[2]))\n"
        "print([document.id for document in documents], reasons)"
    )
    command = [sys.executable, "-c", script, str(code), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['open.py'] {'no permission': 2}"


def test_linked_folders_are_read_once_under_their_real_names(code: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.py").write_text("b = 1")
    (code / "z").mkdir()
    (code / "z" / "a.py").write_text("a = 1")
    (code / "a_link").symlink_to("z")
    (code / "other").symlink_to(tmp_path / "elsewhere")
    documents, reasons = read(code, tmp_path)
    assert [document.id for document in documents] == ["z/a.py", "other/b.py"]
    assert reasons == {"folder seen before": 1}


INSTALLED = {
    "env": "env/pyvenv.cfg",
    "conda": "conda/conda-meta/history",
    "site-packages": "a/lib/site-packages/READ",
    "dist-packages": "a/lib/dist-packages/READ",
    "node_modules": "a/node_modules/READ",
}


@pytest.mark.parametrize("name", INSTALLED)
def test_installed_packages_in_a_folder_are_left_out_and_read_where_they_are_asked_for(
    name: str, code: Path, tmp_path: Path
) -> None:
    mark = code / INSTALLED[name]
    mark.parent.mkdir(parents=True)
    mark.touch()
    packages = next(folder for folder in mark.parents if folder.name == name)
    (packages / "b.py").write_text("b = 1")
    (code / "a.py").write_text("a = 1")
    documents, reasons = read(code, tmp_path)
    assert [document.id for document in documents] == ["a.py"]
    assert reasons == {"installed packages": 1}
    [document], _ = read(packages, tmp_path)
    assert document.id == "b.py"


def test_a_folder_with_a_manifest_that_no_stage_wrote_is_read(code: Path, tmp_path: Path) -> None:
    manifests = ["[]", '{"stage": "train"}', '{"stage": "train", "versions": null}', "{broken", "[" * 200_000, "\udcff"]
    for number, content in enumerate(manifests):
        (code / f"{number}").mkdir()
        (code / f"{number}" / "manifest.json").write_text(content, "utf-8", "surrogateescape")
        (code / f"{number}" / "a.py").write_text(f"a = {number}")
    documents, reasons = read(code, tmp_path)
    assert [document.text for document in documents] == [f"a = {number}" for number in range(len(manifests))]
    assert reasons == {"other kind of file": len(manifests)}


@pytest.mark.parametrize("ending", [".jsonl", ".json.gz", ".jsonl.gz", ".jsonl.zst"])
def test_rows_are_documents_and_broken_rows_are_counted(ending: str, code: Path, tmp_path: Path) -> None:
    good = {"content": "a = 1", "path": "x/a.py", "repo_name": "me/x", "license": "mit", "size": "5"}
    lines = [
        json.dumps(good).encode(),
        b'{"content": "cut',
        b"[1]",
        b"",
        b'{"other": 1}',
        b'{"content": null, "text": "b = 1"}',
        b'{"content": "half \\ud800"}',
        b'{"content": " "}',
        json.dumps({"content": "#" * (MAX_BYTES + 1)}).encode(),
    ]
    packers: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstandard.compress, "jsonl": bytes}
    pack = packers[ending.rsplit(".", 1)[-1]]
    (code / f"rows{ending}").write_bytes(pack(b"\n".join(lines)))
    (first, second), reasons = read(code, tmp_path)
    assert (first.text, second.text) == ("a = 1", "b = 1")
    expected = {"path": "x/a.py", "repo_name": "me/x", "license": "mit", "sha256": sha256(b"a = 1").hexdigest()}
    assert first.metadata == expected
    assert reasons == {"broken JSON": 2, "not UTF-8": 1, "no text column": 1, "empty": 1, "too large": 1}


@pytest.mark.parametrize("ending", [".jsonl", ".json.gz", ".jsonl.zst"])
def test_rows_of_other_programs_json_are_documents(ending: str, code: Path, tmp_path: Path) -> None:
    mark = "\ufeff".encode()
    lines = [
        mark + b'{"content": "a = 1"}',
        b'{"content": "\\ufeffb = 1"}',
        mark + '{"content": "\ufeff\ufeffc = 1"}'.encode(),  # of two marks one is the text's own
        b'{"content": "d = 1", "stars": NaN, "forks": -Infinity}',
        b'{"content": NaN, "text": "e = 1"}',
        b'{"content": "f = 1", "path": "half \\ud800.py", "stars": NaN}',
    ]
    packers: dict[str, Callable[[bytes], bytes]]
    packers = {".jsonl": bytes, ".json.gz": gzip.compress, ".jsonl.zst": zstandard.compress}
    (code / f"rows{ending}").write_bytes(packers[ending](b"\r\n".join(lines)))
    documents, nothing = read(code, tmp_path)
    assert [document.text for document in documents] == [
        "a = 1", "b = 1", "\ufeffc = 1", "d = 1", "e = 1", "f = 1",
    ]  # fmt: skip
    assert [document.id for document in documents[:2]] == [f"rows{ending}#0", f"rows{ending}#{len(lines[0]) + 2}"]
    assert (documents[5].metadata["path"], nothing) == ("half ?.py", {})


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[" * 100_000, "broken JSON"),
        (b'{"content": "a = 1", "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "broken JSON"),
        (b'{"content": "a = 1", "n": NaN, "huge": ' + b"9" * 5_000 + b"}", "broken JSON"),
        (b'{"content": "\xe9 = 1"}', "broken JSON"),
        (b'{"content": "\xed\xa0\x80 = 1"}', "not UTF-8"),
        (b'{"content": "\\udcff = 1"}', "not UTF-8"),
        ('{"content": "a = 1"}'.encode("utf-16"), "broken JSON"),
    ],
)
def test_a_row_that_no_program_reads_is_counted(line: bytes, reason: str, code: Path, tmp_path: Path) -> None:
    (code / "rows.jsonl").write_bytes(line + b"\n" + rows("b = 1"))
    [document], reasons = read(code, tmp_path)
    assert (document.text, reasons) == ("b = 1", {reason: 1})


@given(lines=st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b"")), max_size=8))
def test_any_bytes_between_good_rows_lose_none_of_them(
    lines: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_bytes(b"".join(b'{"content": "good"}\n' + line + b"\n" for line in lines))
    found = list(rows_of(path, {"file": "rows.jsonl"}, MAX_BYTES))
    assert sum(isinstance(row, Row) and row.text == "good" for row in found) == len(lines)
    assert len(found) == len(lines) + sum(bool(line.removeprefix("\ufeff".encode()).strip()) for line in lines)


def test_parquet_rows_are_documents(code: Path, tmp_path: Path) -> None:
    table = pyarrow.table({"code": ["a = 1", None, "b = 1"], "license": ["mit", "mit", None], "n": [1, 2, 3]})
    pyarrow.parquet.write_table(table, code / "rows.parquet", row_group_size=2)
    documents, reasons = read(code, tmp_path)
    assert [(document.text, document.id) for document in documents] == [
        ("a = 1", "rows.parquet#0.0"),
        ("b = 1", "rows.parquet#1.0"),
    ]
    assert [document.metadata.get("license") for document in documents] == ["mit", None]
    assert reasons == {"no text column": 1}


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "data set"])
def test_where_a_row_has_text_and_code_the_code_is_read(kind: str, code: Path, tmp_path: Path) -> None:
    row = {"task_id": 1, "text": "Write a function that doubles.", "code": "def double(x):\n    return 2 * x\n"}
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), code / "rows.parquet")
    else:
        (code / "rows.jsonl").write_text(json.dumps(row))
    [document], nothing = read(f"hf:{code}" if kind == "data set" else code, tmp_path)
    assert (document.text, nothing) == (row["code"], {})


@given(place=st.floats(0, 1), damage=st.binary(min_size=1, max_size=60))
def test_wherever_a_parquet_is_damaged_its_rows_are_read_or_counted(
    place: float, damage: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "rows.parquet"
    table = pyarrow.table({"content": [sha256(bytes([number])).hexdigest() for number in range(200)]})
    pyarrow.parquet.write_table(table, path, 100, compression="zstd", data_page_size=500, write_batch_size=20)
    footer = int.from_bytes(path.read_bytes()[-8:-4], "little") + 8
    with path.open("r+b") as file:
        file.seek(int(place * (path.stat().st_size - footer - len(damage))))
        file.write(damage)
    documents = size = 0
    for group in range(2):
        try:
            for row in rows_of(path, {"file": "rows.parquet", "start": group, "stop": group + 1}, MAX_BYTES):
                documents += 1 if isinstance(row, Row) else row.documents
        except LeftOut as lost:
            documents, size = documents + lost.documents, size + lost.size
    assert documents == 200
    assert size < path.stat().st_size


@pytest.mark.parametrize("ending", [".json.gz", ".jsonl.zst"])
def test_a_truncated_archive_gives_what_comes_before_the_cut(ending: str, code: Path, tmp_path: Path) -> None:
    noise = [sha256(bytes([number])).hexdigest() * 200 for number in range(100)]
    pack = gzip.compress if ending.endswith("gz") else zstandard.compress
    whole = pack(b"".join(rows(f"{number} {text}") for number, text in enumerate(noise)))
    (code / f"rows{ending}").write_bytes(whole[:-9])
    (code / f"trailing{ending}").write_bytes(b"no archive at all")
    documents, reasons = read(code, tmp_path)
    assert [document.text.split()[0] for document in documents] == [str(number) for number in range(len(documents))]
    assert reasons == {"broken archive": 2}


def test_a_line_of_100_mb_is_skipped_without_being_held(code: Path, tmp_path: Path) -> None:
    with (code / "rows.jsonl").open("wb") as file:
        file.write(rows("a = 1"))
        file.truncate(100_000_000)  # a hole: zeros without a line end
        file.seek(100_000_000)
        file.write(b"\n" + rows("b = 1"))
    script = (
        "import re, sys; from pathlib import Path; from tests.pretraining.test_sources import read\n"
        "def most(): return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1])\n"
        "before = most()\n"
        "documents, reasons = read(sys.argv[1], Path(sys.argv[2]))\n"
        "grown = (most() - before) // 1024\n"
        "print([document.text for document in documents], reasons, grown < 40)"
    )
    command = [sys.executable, "-c", script, str(code), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['a = 1', 'b = 1'] {'too large': 1} True"


def test_a_large_file_of_lines_feeds_several_tasks_and_no_line_is_lost(code: Path, tmp_path: Path) -> None:
    lines = [f"{number} " + "x" * 99_000 for number in range(3 * PIECE_BYTES // 99_000)]
    (code / "rows.jsonl").write_bytes(rows(*lines))
    write_inputs(str(code), tmp_path / "inputs.jsonl")
    shares = [
        [document.text for document in SourceReader(str(code), tmp_path / "inputs.jsonl", MAX_BYTES).run(None, rank, 3)]
        for rank in range(3)
    ]
    assert all(shares)
    assert sorted(chain.from_iterable(shares)) == sorted(lines)


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 2_000), max_size=4),
)
def test_however_a_file_is_cut_each_line_is_read_once(
    sizes: list[int], cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "rows.jsonl"
    texts = [f"{number}" + "x" * size for number, size in enumerate(sizes)]
    path.write_bytes(rows(*texts))
    ends = sorted({0, path.stat().st_size, *(cut for cut in cuts if cut < path.stat().st_size)})
    found = []
    for start, stop in pairwise(ends):
        found += list(rows_of(path, {"file": "rows.jsonl", "start": start, "stop": stop}, MAX_BYTES))
    assert [row.text for row in found if isinstance(row, Row)] == texts


def test_the_number_of_tasks_does_not_change_what_is_read(code: Path, tmp_path: Path) -> None:
    for number in range(20):
        (code / f"{number:02d}.py").write_text(f"a = {number}")
    (code / "rows.jsonl").write_bytes(rows("b = 1", "b = 2"))
    one, _ = read(code, tmp_path)
    seven, _ = read(code, tmp_path, tasks=7)
    assert sorted(document.id for document in seven) == sorted(document.id for document in one)


def test_the_standard_library_is_more_than_9_mb_without_its_tests(tmp_path: Path) -> None:
    write_inputs("stdlib", tmp_path / "inputs.jsonl")
    entries = [json.loads(line) for line in (tmp_path / "inputs.jsonl").read_text().splitlines()]
    assert sum(entry["size"] for entry in entries) > 9_000_000
    names = {entry["file"] for entry in entries}
    assert {"ast.py", "json/decoder.py", "asyncio/tasks.py"} <= names
    assert not [name for name in names if {"test", "tests", "site-packages"} & set(name.split("/"))]


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize("files", [1, 2])
def test_a_local_copy_of_a_data_set_is_read(files: int, tasks: int, tmp_path: Path) -> None:
    folder = tmp_path / "codeparrot-clean"
    folder.mkdir()
    for number in range(1, files + 1):
        lines = [
            {
                "repo_name": "me/x",
                "path": f"{number}/{line}.py",
                "copies": "1",
                "size": "5",
                "content": f"a = {number}{line}",
                "license": "mit",
                "hash": 1,
                "line_mean": 5.0,
                "line_max": 5,
                "alpha_frac": 0.4,
                "autogenerated": False,
            }
            for line in range(4)
        ]
        packed = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
        (folder / f"file-{number:012d}.json.gz").write_bytes(packed)
    documents, nothing = read(f"hf:{folder}", tmp_path, tasks)
    assert sorted(document.text for document in documents) == [
        f"a = {number}{line}" for number in range(1, files + 1) for line in range(4)
    ]
    assert documents[0].metadata["repo_name"] == "me/x"
    assert documents[0].metadata["license"] == "mit"
    assert not [document.id for document in documents if str(tmp_path) in document.id]
    assert nothing == {}


def test_a_broken_local_copy_of_a_data_set_says_how_it_can_be_read(code: Path, tmp_path: Path) -> None:
    (code / "a.jsonl").write_bytes(rows("a = 1\n") + b'{"content": "b\n')
    with pytest.raises(
        PretrainingError, match=r"Give the folder itself, .*/code: there what is broken is counted and left"
    ):
        read(f"hf:{code}", tmp_path)
    [document], reasons = read(code, tmp_path)
    assert (document.text, reasons) == ("a = 1\n", {"broken JSON": 1})


def data_set_folder(folder: Path, default: str = "") -> Path:
    """A local copy of a data set with two configurations."""
    front: dict[str, Any] = {"configs": []}
    for name in ("python", "java"):
        (folder / name).mkdir(parents=True)
        (folder / name / "rows.jsonl").write_bytes(rows(f"{name} = 1"))
        front["configs"].append({"config_name": name, "data_files": f"{name}/*.jsonl", "default": name == default})
    (folder / "README.md").write_text(f"---\n{json.dumps(front)}\n---\n")
    return folder


def test_a_configuration_of_a_data_set_is_read_and_is_a_source_of_its_own(tmp_path: Path) -> None:
    folder = data_set_folder(tmp_path / "code#1")
    digests = []
    for name in ("python", "java"):
        check_source(f"hf:{folder}#{name}")
        [document], nothing = read(f"hf:{folder}#{name}", tmp_path)
        assert (document.text, document.id, nothing) == (f"{name} = 1", "code#1#0.0", {})
        digests.append(write_inputs(f"hf:{folder}#{name}", tmp_path / "inputs.jsonl"))
    assert digests[0] != digests[1]


def test_a_configuration_that_is_not_chosen_is_a_value_error_that_names_them(tmp_path: Path) -> None:
    folder = data_set_folder(tmp_path / "code")
    several = f"has several configurations. Name one of them, such as hf:{folder}#python. Known: python, java"
    with pytest.raises(ValueError, match=re.escape(several)):
        check_source(f"hf:{folder}")
    with pytest.raises(ValueError, match=r"there is no 'pyton'\. Did you mean 'python'\? Known: java, python"):
        check_source(f"hf:{folder}#pyton")
    chosen = data_set_folder(tmp_path / "chosen", default="java")
    check_source(f"hf:{chosen}")
    [document], _ = read(f"hf:{chosen}", tmp_path)
    assert document.text == "java = 1"


def test_a_data_set_without_a_train_split_is_a_value_error_that_names_those_it_has(code: Path) -> None:
    (code / "test.jsonl").write_bytes(rows("a = 1"))
    (code / "validation.jsonl").write_bytes(rows("b = 1"))
    with pytest.raises(ValueError, match=r"no split 'train'; it has .*test.* Give the folder itself, .*/code\.$"):
        check_source(f"hf:{code}")
    check_source(str(code))


def test_a_data_set_folder_without_data_is_found_before_any_work(code: Path) -> None:
    with pytest.raises(PretrainingError, match=r"cannot be read \(EmptyDatasetError.*Give the folder itself"):
        check_source(f"hf:{code}")


def test_a_configuration_of_the_hub_is_looked_up_at_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    def asked(path: str, config: str = "", *, revision: str | None) -> Any:
        assert (path, revision) == ("owner/code", "v2")
        return SimpleNamespace(config=SimpleNamespace(data_files={"test": []} if config == "tests" else None))

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_session", lambda: SimpleNamespace(head=lambda *_, **__: None))
    monkeypatch.setattr("huggingface_hub.dataset_info", lambda *_, **__: SimpleNamespace(sha="first"))
    monkeypatch.setattr("datasets.get_dataset_config_names", lambda *a, **k: asked(*a, **k) and ["python", "tests"])
    monkeypatch.setattr("datasets.get_dataset_default_config_name", lambda *a, **k: asked(*a, **k) and None)
    monkeypatch.setattr("datasets.load_dataset_builder", asked)
    check_source("hf:owner/code@v2#python")
    with pytest.raises(ValueError, match=r"such as hf:owner/code@v2#python\. Known: python, tests"):
        check_source("hf:owner/code@v2")
    with pytest.raises(ValueError, match=r"no split 'train'; it has test\. Give a folder of the files to train on"):
        check_source("hf:owner/code@v2#tests")


@pytest.mark.parametrize("source", ["", "no/such/folder", "hf:", "hf:/no/such/folder"])
def test_a_source_that_does_not_exist_is_a_value_error(source: str) -> None:
    with pytest.raises(ValueError, match="there is no such"):
        check_source(source)


def test_a_file_of_another_kind_is_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a = 1")
    with pytest.raises(ValueError, match=r"must end in \.py"):
        check_source(str(tmp_path / "a.txt"))


def test_a_data_set_out_of_reach_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(PretrainingError, match="hf:FOLDER"):
        check_source("hf:codeparrot/codeparrot-clean")


def test_a_data_set_of_the_hub_is_read_as_it_was_when_it_was_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import IterableDataset
    from huggingface_hub import constants

    asked: list[tuple[Any, ...]] = []

    def info(name: str, *, revision: str | None, timeout: float) -> Any:
        return SimpleNamespace(sha=f"{name}, {revision}")

    def load(path: str, *, name: str | None, revision: str, **_: Any) -> Any:
        asked.append((path, name, revision))
        return IterableDataset.from_generator(lambda: iter([{"content": "a = 1"}]))

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.dataset_info", info)
    monkeypatch.setattr("datasets.load_dataset", load)
    [document], _ = read("hf:owner/code", tmp_path)
    read("hf:owner/code@v2#python", tmp_path)
    assert document.text == "a = 1"
    assert asked == [("owner/code", None, "owner/code, None"), ("owner/code", "python", "owner/code, v2")]
    before = write_inputs("hf:owner/code", tmp_path / "inputs.jsonl")
    monkeypatch.setattr("huggingface_hub.dataset_info", lambda *_, **__: SimpleNamespace(sha="newer"))
    assert write_inputs("hf:owner/code", tmp_path / "inputs.jsonl") != before


@pytest.mark.parametrize("source", ["{}", "hf:{}"])
def test_a_list_is_another_where_a_byte_is_and_the_same_for_a_copy(source: str, code: Path, tmp_path: Path) -> None:
    path, listed = code / "a.jsonl", tmp_path / "inputs.jsonl"
    path.write_bytes(rows("a = 1"))
    times, before = path.stat(), write_inputs(source.format(code), listed)
    os.utime(path, ns=(0, 0))
    assert write_inputs(source.format(code), listed) == before
    path.write_bytes(rows("a = 2"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert write_inputs(source.format(code), listed) != before
