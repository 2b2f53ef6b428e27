"""Documents in files: a .py file is one document, the other formats have one in each row.

`read_rows` yields a `Row` for each document and a `LeftOut` for each one that cannot be read; it raises `LeftOut` where
the rest of the file is lost. Memory stays below a few times `max_bytes`, whatever the file.

datatrove's readers are not used: they log broken rows and do not count them, hold a line in memory however long it
is, and give a file to one task, however large (datatrove 0.10.1).
"""

import gzip
import io
import json
import tokenize
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from .listing import Entry

PART_BYTES = 16 * 2**20  # a plain .jsonl is cut into parts of this size, so that one file feeds several tasks
PARQUET_BATCH_ROWS = 64
JSON_GROWTH = 6  # JSON writes one character in at most 6 bytes (\u0001)
JSON_EXTRA_BYTES = 65_536  # room in a row for the other columns
TEXT_COLUMNS = ("content", "code", "text")  # the first that exists; where there is code, `text` describes it
METADATA_COLUMNS = ("path", "repo_name", "license")


class LeftOut(Exception):
    """Documents, or the rest of a file, that cannot be read.

    Attributes:
        size: bytes, as far as known.
        documents: 1 where the number is not known.
    """

    def __init__(self, reason: str, size: int, documents: int = 1) -> None:
        super().__init__(reason, size, documents)
        self.reason, self.size, self.documents = reason, size, documents


@dataclass
class Row:
    """One document as it was found."""

    text: str
    id: str
    metadata: dict[str, str] = field(default_factory=dict)


Rows = Iterator[Row | LeftOut]


def is_readable(path: Path) -> bool:
    """Whether the file's name has one of the endings that are read."""
    return _reader(path) is not None


def parts(path: Path) -> Iterator[dict[str, int]]:
    """The parts of a file that can be read separately: byte ranges of a .jsonl, row groups of a .parquet."""
    if path.suffix == ".jsonl" and (size := path.stat().st_size) > PART_BYTES:
        for start in range(0, size, PART_BYTES):
            yield {"start": start, "stop": min(start + PART_BYTES, size)}
    elif path.suffix == ".parquet":
        for group in range(_open_parquet(path).num_row_groups):
            yield {"start": group, "stop": group + 1}
    else:
        yield {}


def read_rows(path: Path, entry: Entry, max_bytes: int) -> Rows:
    """The documents of one line of a listing. Raises LeftOut if the rest of the file is lost."""
    reader = _reader(path)
    assert reader is not None
    yield from reader(path, entry, max_bytes)


def row_of(columns: Any, row_id: str) -> Row | LeftOut:
    """The document in a row's columns."""
    if not isinstance(columns, dict):
        return LeftOut("broken JSON", 0)
    text = next((columns[name] for name in TEXT_COLUMNS if isinstance(columns.get(name), str)), None)
    if text is None:
        return LeftOut("no text column", 0)
    named = {name: columns.get(name) for name in METADATA_COLUMNS}
    metadata = {name: value for name, value in named.items() if isinstance(value, str) and value}
    return Row(text.removeprefix("\ufeff"), row_id, {"path": row_id} | metadata)  # Python code has no byte order mark


def _read_python(path: Path, entry: Entry, max_bytes: int) -> Rows:
    size = entry["size"]
    if size > max_bytes:
        yield LeftOut("too large", size)
        return
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if b"\0" in content:
        yield LeftOut("binary", size)
        return
    try:
        # PEP 263: a comment in the first two lines may name the encoding.
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        yield Row(content.decode(encoding), entry["file"], {"path": entry["file"]})
    except (SyntaxError, UnicodeError, LookupError):  # some codecs raise the plain UnicodeError
        yield LeftOut("not UTF-8", size)


def _read_json_lines(path: Path, entry: Entry, max_bytes: int) -> Rows:
    with path.open("rb") as file:
        if start := entry.get("start", 0):
            # A line that starts before this part belongs to the part before.
            file.seek(start - 1)
            start += _skip_line(file) - 1
        yield from _rows_of_lines(file, entry["file"], max_bytes, start, entry.get("stop"))


def _read_gzip_lines(path: Path, entry: Entry, max_bytes: int) -> Rows:
    try:
        with gzip.open(path, "rb") as file:
            yield from _rows_of_lines(file, entry["file"], max_bytes)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LeftOut("broken archive", entry["size"]) from error


def _read_zstd_lines(path: Path, entry: Entry, max_bytes: int) -> Rows:
    import pyarrow

    _check_permission(path)
    try:
        # Arrow raises where a file was cut off; zstandard's reader just ends.
        with pyarrow.input_stream(str(path), compression="zstd") as stream, io.BufferedReader(stream) as file:
            yield from _rows_of_lines(file, entry["file"], max_bytes)
    except OSError as error:
        raise LeftOut("broken archive", entry["size"]) from error


def _check_permission(path: Path) -> None:
    """Raise PermissionError if the file may not be read; Arrow raises a plain OSError instead."""
    with path.open("rb"):
        pass


def _rows_of_lines(file: Any, name: str, max_bytes: int, start: int = 0, stop: int | None = None) -> Rows:
    """Documents of the lines that start in [start, stop); `file` is at `start`."""
    longest = max_bytes * JSON_GROWTH + JSON_EXTRA_BYTES
    while (stop is None or start < stop) and (line := file.readline(longest)):
        size = len(line)
        if size == longest and not line.endswith(b"\n"):
            size += _skip_line(file)
            yield LeftOut("too large", size)
        elif line := line.removeprefix(BOM_UTF8).strip():
            try:
                columns = _parse_json(line)
            except (ValueError, RecursionError):  # also text that is not UTF-8, endless numbers, and deep nesting
                yield LeftOut("broken JSON", size)
            else:
                yield row_of(columns, f"{name}#{start}")
        start += size


def _parse_json(line: bytes) -> Any:
    """A row's columns. Python reads what orjson refuses: NaN, Infinity and half a surrogate pair."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line.decode("utf-8", "surrogatepass"))


def _skip_line(file: IO[bytes]) -> int:
    """Read to the end of the line, in small pieces; returns its bytes."""
    skipped = 0
    while piece := file.readline(JSON_EXTRA_BYTES):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _open_parquet(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    _check_permission(path)
    try:
        return pyarrow.parquet.ParquetFile(path, memory_map=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise LeftOut("broken archive", path.stat().st_size) from error


def _read_parquet(path: Path, entry: Entry, max_bytes: int) -> Rows:
    import pyarrow

    group, number = entry["start"], 0
    with _open_parquet(path) as file:
        try:
            columns = [name for name in file.schema_arrow.names if name in (*TEXT_COLUMNS, *METADATA_COLUMNS)]
            for batch in file.iter_batches(PARQUET_BATCH_ROWS, row_groups=[group], columns=columns):
                for row in batch.to_pylist():
                    yield row_of(row, f"{entry['file']}#{group}.{number}")
                    number += 1
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _lost_rows(file.metadata.row_group(group), number) from error


def _lost_rows(group: Any, read: int) -> LeftOut:
    """The rows of a row group after its first `read`, with their share of the group's bytes in the file."""
    size = sum(group.column(number).total_compressed_size for number in range(group.num_columns))
    lost = group.num_rows - read
    return LeftOut("broken archive", size * lost // max(group.num_rows, 1), lost)


_READERS: dict[str, Callable[[Path, Entry, int], Rows]] = {
    ".py": _read_python,
    ".jsonl": _read_json_lines,
    ".json.gz": _read_gzip_lines,
    ".jsonl.gz": _read_gzip_lines,
    ".jsonl.zst": _read_zstd_lines,
    ".parquet": _read_parquet,
}
ENDINGS = tuple(_READERS)


def _reader(path: Path) -> Callable[[Path, Entry, int], Rows] | None:
    return next((reader for ending, reader in _READERS.items() if path.name.endswith(ending)), None)
