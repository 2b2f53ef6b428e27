"""Reading code from files and folders: the documents, and the reason for each file that is not one."""

import json
import os
from hashlib import sha256
from itertools import chain
from pathlib import Path

import pytest
from sagechain.pretraining.data.sources.formats import PART_BYTES

from tests.pretraining.sources import MAX_BYTES, check, list_inputs, read, reader, rows
from tests.processes import run


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
    # Root may read every file, so a process of an unprivileged user reads.
    script = (
        "import os, sys; from pathlib import Path\n"
        "from tests.pretraining.sources import read\n"
        "first = Path(sys.argv[2], 'first')\n"
        "read(first / 'code', first)\n"  # modules that reading imports may be readable by root only
        "os.geteuid() or os.seteuid(65534)\n"
        "documents, reasons = read(sys.argv[1], Path(sys.argv[2]))\n"
        "print([document.id for document in documents], reasons)"
    )
    done = run("-c", script, str(code), str(tmp_path), check=True)
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
def test_installed_packages_in_a_folder_are_omitted_but_can_be_a_source(name: str, code: Path, tmp_path: Path) -> None:
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


def test_a_large_file_of_lines_feeds_several_tasks_and_no_line_is_lost(code: Path, tmp_path: Path) -> None:
    lines = [f"{number} " + "x" * 99_000 for number in range(3 * PART_BYTES // 99_000)]
    (code / "rows.jsonl").write_bytes(rows(*lines))
    list_inputs(code, tmp_path / "inputs.jsonl")
    shares = [
        [document.text for document in reader(code, tmp_path / "inputs.jsonl").run(rank=rank, world_size=3)]
        for rank in range(3)
    ]
    assert all(shares)
    assert sorted(chain.from_iterable(shares)) == sorted(lines)


def test_the_number_of_tasks_does_not_change_what_is_read(code: Path, tmp_path: Path) -> None:
    for number in range(20):
        (code / f"{number:02d}.py").write_text(f"a = {number}")
    (code / "rows.jsonl").write_bytes(rows("b = 1", "b = 2"))
    one, _ = read(code, tmp_path)
    seven, _ = read(code, tmp_path, tasks=7)
    assert sorted(document.id for document in seven) == sorted(document.id for document in one)


def test_the_standard_library_is_more_than_9_mb_without_its_tests(tmp_path: Path) -> None:
    list_inputs("stdlib", tmp_path / "inputs.jsonl")
    entries = [json.loads(line) for line in (tmp_path / "inputs.jsonl").read_text().splitlines()]
    assert sum(entry["size"] for entry in entries) > 9_000_000
    names = {entry["file"] for entry in entries}
    assert {"ast.py", "json/decoder.py", "asyncio/tasks.py"} <= names
    assert not [name for name in names if {"test", "tests", "site-packages"} & set(name.split("/"))]


@pytest.mark.parametrize("source", ["", "no/such/folder", "hf:", "hf:/no/such/folder"])
def test_a_source_that_does_not_exist_is_a_value_error(source: str) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        check(source)


def test_a_file_of_another_kind_is_a_value_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a = 1")
    with pytest.raises(ValueError, match=r"must end in \.py"):
        check(str(tmp_path / "a.txt"))


@pytest.mark.parametrize("source", ["{}", "hf:{}"])
def test_the_digest_of_a_listing_changes_with_one_byte_and_not_with_dates(
    source: str, code: Path, tmp_path: Path
) -> None:
    path, listed = code / "a.jsonl", tmp_path / "inputs.jsonl"
    path.write_bytes(rows("a = 1"))
    times, before = path.stat(), list_inputs(source.format(code), listed)
    os.utime(path, ns=(0, 0))
    assert list_inputs(source.format(code), listed) == before
    path.write_bytes(rows("a = 2"))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert list_inputs(source.format(code), listed) != before
