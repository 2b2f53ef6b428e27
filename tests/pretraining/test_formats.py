"""Documents in JSON lines and parquet: each row is read or counted, whatever is broken."""

import gzip
import json
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from sagechain.pretraining.data.sources.formats import LeftOut, Row, read_rows

from tests.pretraining.sources import MAX_BYTES, read, rows
from tests.processes import run


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
def test_a_row_that_cannot_be_parsed_is_counted(line: bytes, reason: str, code: Path, tmp_path: Path) -> None:
    (code / "rows.jsonl").write_bytes(line + b"\n" + rows("b = 1"))
    [document], reasons = read(code, tmp_path)
    assert (document.text, reasons) == ("b = 1", {reason: 1})


@given(lines=st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b"")), max_size=8))
def test_any_bytes_between_good_rows_lose_none_of_them(
    lines: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "rows.jsonl"
    path.write_bytes(b"".join(b'{"content": "good"}\n' + line + b"\n" for line in lines))
    found = list(read_rows(path, {"file": "rows.jsonl"}, MAX_BYTES))
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
def test_in_a_row_with_text_and_code_the_code_is_read(kind: str, code: Path, tmp_path: Path) -> None:
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
            for row in read_rows(path, {"file": "rows.parquet", "start": group, "stop": group + 1}, MAX_BYTES):
                documents += 1 if isinstance(row, Row) else row.documents
        except LeftOut as lost:
            documents, size = documents + lost.documents, size + lost.size
    assert documents == 200
    assert size < path.stat().st_size


@pytest.mark.parametrize("ending", [".json.gz", ".jsonl.zst"])
def test_a_truncated_archive_is_read_up_to_the_truncation(ending: str, code: Path, tmp_path: Path) -> None:
    noise = [sha256(bytes([number])).hexdigest() * 200 for number in range(100)]
    pack = gzip.compress if ending.endswith("gz") else zstandard.compress
    whole = pack(b"".join(rows(f"{number} {text}") for number, text in enumerate(noise)))
    (code / f"rows{ending}").write_bytes(whole[:-9])
    (code / f"trailing{ending}").write_bytes(b"no archive at all")
    documents, reasons = read(code, tmp_path)
    assert [document.text.split()[0] for document in documents] == [str(number) for number in range(len(documents))]
    assert reasons == {"broken archive": 2}


def test_a_line_of_100_mb_is_skipped_in_little_memory(code: Path, tmp_path: Path) -> None:
    with (code / "rows.jsonl").open("wb") as file:
        file.write(rows("a = 1"))
        file.truncate(100_000_000)  # a hole: zeros without a line end
        file.seek(100_000_000)
        file.write(b"\n" + rows("b = 1"))
    script = (
        "import re, sys; from pathlib import Path; from tests.pretraining.sources import read\n"
        "def peak_mb(): return int(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text())[1]) // 1024\n"
        "before = peak_mb()\n"
        "documents, reasons = read(sys.argv[1], Path(sys.argv[2]))\n"
        "grown = peak_mb() - before\n"
        "print([document.text for document in documents], reasons, grown < 40)"
    )
    done = run("-c", script, str(code), str(tmp_path), check=True)
    assert done.stdout.strip() == "['a = 1', 'b = 1'] {'too large': 1} True"


@given(
    sizes=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    cuts=st.lists(st.integers(0, 2_000), max_size=4),
)
def test_however_a_file_is_divided_each_line_is_read_once(
    sizes: list[int], cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "rows.jsonl"
    texts = [f"{number}" + "x" * size for number, size in enumerate(sizes)]
    path.write_bytes(rows(*texts))
    ends = sorted({0, path.stat().st_size, *(cut for cut in cuts if cut < path.stat().st_size)})
    found = []
    for start, stop in pairwise(ends):
        found += list(read_rows(path, {"file": "rows.jsonl", "start": start, "stop": stop}, MAX_BYTES))
    assert [row.text for row in found if isinstance(row, Row)] == texts
