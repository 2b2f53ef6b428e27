"""What is inside a source's files: .py files are one document each, the other formats have a document in each row.

`rows` yields a `Row` for each document and a `LeftOut` for each that is not one; it raises `LeftOut` where the rest of
the file cannot be read. Memory stays below a few times `max_bytes`, whatever the file.
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

PIECE_BYTES = 16 * 2**20  # plain .jsonl files are cut into pieces of this size, so that one file feeds several tasks
PARQUET_BATCH_ROWS = 64
JSON_GROWTH = 6  # an escaped character is at most 6 bytes for 1 (\u0001)
JSON_EXTRA_BYTES = 65_536  # room in a row for the other columns
TEXT_COLUMNS = ("content", "code", "text")  # the first that is there; beside code, a text describes it


class LeftOut(Exception):
    """Documents, or the rest of a file, that cannot be read: `size` bytes as far as known, 1 document where that is not."""

    def __init__(self, reason: str, size: int, documents: int = 1) -> None:
        super().__init__(reason, size, documents)
        self.reason, self.size, self.documents = reason, size, documents


@dataclass
class Row:
    """One document as it was found."""

    text: str
    id: str
    metadata: dict[str, str] = field(default_factory=dict)


def is_readable(path: Path) -> bool:
    """Whether the file's name has one of the endings that are read."""
    return _reader(path) is not None


def pieces(path: Path) -> Iterator[dict[str, int]]:
    """The parts of a file that can be read on their own: byte ranges of a .jsonl, row groups of a .parquet."""
    if path.suffix == ".jsonl" and (size := path.stat().st_size) > PIECE_BYTES:
        for start in range(0, size, PIECE_BYTES):
            yield {"start": start, "stop": min(start + PIECE_BYTES, size)}
    elif path.suffix == ".parquet":
        for group in range(_parquet(path).num_row_groups):
            yield {"start": group, "stop": group + 1}
    else:
        yield {}


def rows(path: Path, entry: dict[str, Any], max_bytes: int) -> Iterator[Row | LeftOut]:
    """The documents of one line of the list of inputs. Raises LeftOut where the rest of the file is lost."""
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
    named = {name: columns.get(name) for name in ("path", "repo_name", "license")}
    metadata = {name: value for name, value in named.items() if isinstance(value, str) and value}
    return Row(text.removeprefix("\ufeff"), row_id, {"path": row_id} | metadata)  # no Python begins with the mark


def _python(path: Path, entry: dict[str, Any], max_bytes: int) -> Iterator[Row | LeftOut]:
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


def _json_lines(path: Path, entry: dict[str, Any], max_bytes: int) -> Iterator[Row | LeftOut]:
    with path.open("rb") as file:
        if start := entry.get("start", 0):
            # The line that begins before the piece belongs to the piece before.
            file.seek(start - 1)
            start += _skip_line(file) - 1
        yield from _rows_of_lines(file, entry["file"], max_bytes, start, entry.get("stop"))


def _gzip_lines(path: Path, entry: dict[str, Any], max_bytes: int) -> Iterator[Row | LeftOut]:
    try:
        with gzip.open(path, "rb") as file:
            yield from _rows_of_lines(file, entry["file"], max_bytes)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LeftOut("broken archive", entry["size"]) from error


def _zstd_lines(path: Path, entry: dict[str, Any], max_bytes: int) -> Iterator[Row | LeftOut]:
    import pyarrow

    with path.open("rb"):
        pass  # raises what a file without permission should; Arrow's own error is of no such type
    try:
        # Arrow tells when a file was cut off; zstandard's reader just ends.
        with pyarrow.input_stream(str(path), compression="zstd") as stream, io.BufferedReader(stream) as file:
            yield from _rows_of_lines(file, entry["file"], max_bytes)
    except OSError as error:
        raise LeftOut("broken archive", entry["size"]) from error


def _rows_of_lines(
    file: Any, name: str, max_bytes: int, start: int = 0, stop: int | None = None
) -> Iterator[Row | LeftOut]:
    """Documents of the lines that begin in [start, stop); `file` stands at `start`."""
    longest = max_bytes * JSON_GROWTH + JSON_EXTRA_BYTES
    while (stop is None or start < stop) and (line := file.readline(longest)):
        size = len(line)
        if size == longest and not line.endswith(b"\n"):
            size += _skip_line(file)
            yield LeftOut("too large", size)
        elif line := line.removeprefix(BOM_UTF8).strip():
            try:
                columns = _columns(line)
            except (ValueError, RecursionError):  # text that is no UTF-8, numbers and nesting without end as well
                yield LeftOut("broken JSON", size)
            else:
                yield row_of(columns, f"{name}#{start}")
        start += size


def _columns(line: bytes) -> Any:
    """A row's columns: what orjson refuses may still be Python's JSON, with NaN, Infinity or half a surrogate pair."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line.decode("utf-8", "surrogatepass"))


def _skip_line(file: IO[bytes]) -> int:
    skipped = 0
    while part := file.readline(JSON_EXTRA_BYTES):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _parquet(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    with path.open("rb"):
        pass
    try:
        return pyarrow.parquet.ParquetFile(path, memory_map=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise LeftOut("broken archive", path.stat().st_size) from error


def _parquet_rows(path: Path, entry: dict[str, Any], max_bytes: int) -> Iterator[Row | LeftOut]:
    import pyarrow

    group, number = entry["start"], 0
    with _parquet(path) as file:
        try:
            columns = [
                name for name in file.schema_arrow.names if name in (*TEXT_COLUMNS, "path", "repo_name", "license")
            ]
            for batch in file.iter_batches(PARQUET_BATCH_ROWS, row_groups=[group], columns=columns):
                for row in batch.to_pylist():
                    yield row_of(row, f"{entry['file']}#{group}.{number}")
                    number += 1
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _lost(file.metadata.row_group(group), number) from error


def _lost(group: Any, read: int) -> LeftOut:
    """What is left of a row group after its first `read` rows, with its share of the bytes in the file."""
    size = sum(group.column(number).total_compressed_size for number in range(group.num_columns))
    lost = group.num_rows - read
    return LeftOut("broken archive", size * lost // max(group.num_rows, 1), lost)


_READERS: dict[str, Callable[[Path, dict[str, Any], int], Iterator[Row | LeftOut]]] = {
    ".py": _python,
    ".jsonl": _json_lines,
    ".json.gz": _gzip_lines,
    ".jsonl.gz": _gzip_lines,
    ".jsonl.zst": _zstd_lines,
    ".parquet": _parquet_rows,
}


ENDINGS = tuple(_READERS)


def _reader(path: Path) -> Callable[[Path, dict[str, Any], int], Iterator[Row | LeftOut]] | None:
    return next((reader for ending, reader in _READERS.items() if path.name.endswith(ending)), None)
