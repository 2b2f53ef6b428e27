"""Read code from the standard library, folders and files, or Hugging Face data sets, and count what cannot be read.

A source is named by a text: `stdlib`, `PATH`, `hf:NAME[@REVISION][#CONFIG]` or `hf:FOLDER[#CONFIG]`. `write_inputs`
lists what it holds, in a fixed order, in a file that every task reads; `SourceReader` then takes each `world_size`-th
line of it. So a run that is resumed reads the same shards, and nothing is held in memory but one document. What is
inside a file is `formats.py`'s part, and data sets are `hub.py`'s.
"""

import json
import os
import sysconfig
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import Any

from datatrove.data import Document

from ..manifest import file_sha256, is_stage_output
from . import hub
from .counts import CountingStep
from .formats import ENDINGS, LeftOut, Row, is_readable, pieces, row_of, rows

# Folders of the standard library that hold tests, what was installed besides, or Python 2.
NOT_STDLIB = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3", "__pycache__"}
INSTALLED = {"site-packages", "dist-packages", "node_modules"}
ENVIRONMENT = ("pyvenv.cfg", "conda-meta")  # what venv and virtualenv, and conda, leave in each environment


def check_source(source: str) -> None:
    """Raise ValueError where the source does not exist, PretrainingError where a data set is out of reach; see `hub`."""
    if source == "stdlib":
        return
    if source.startswith("hf:"):
        hub.check(source)
        return
    if not source or not Path(source).exists():
        raise ValueError(f"source={source!r}: there is no such file or folder. Give a path, hf:NAME or stdlib.")
    if Path(source).is_file() and not is_readable(Path(source)):
        raise ValueError(f"source={source!r}: files of this kind are not read. It must end in {', '.join(ENDINGS)}.")


def write_inputs(source: str, path: Path, without: Path | None = None) -> str:
    """List the source's inputs in `path`, one JSON line each; return the SHA-256 of how and what can be read.

    A line has `file` (relative), `size` and `sha256`, and where they apply `start` and `stop` (a piece of a large file)
    or `reason` (it cannot be read). So the list is another where one byte of a file is, and the same for a copy.
    Below the source, folders whose names begin with a dot, or that hold installed packages or a stage's output, are
    left out and counted; links to folders are followed once, and the folder `without`, where the output goes, never.
    """
    digest = sha256(f"hf:{hub.data_set(source).config or ''}".encode() if source.startswith("hf:") else b"")
    with path.open("wb") as file:
        for entry in _inputs(source, without):
            line = json.dumps(entry, ensure_ascii=True).encode() + b"\n"
            if "reason" not in entry:
                digest.update(line)
            file.write(line)
    return digest.hexdigest()


def _inputs(source: str, without: Path | None) -> Iterator[dict[str, Any]]:
    if source.startswith("hf:"):
        yield from _dataset_entries(source)
        return
    root = _root(source)
    if root.is_file():
        yield from _file_entries(root, root.name)
        return
    seen = {(state.st_dev, state.st_ino) for state in [without.stat()]} if without else set()
    for path, reason in _walk(root, NOT_STDLIB if source == "stdlib" else set(), seen):
        name = path.relative_to(root).as_posix()
        if reason:
            yield {"file": name, "size": 0, "reason": reason}
        elif source != "stdlib" or path.suffix == ".py":
            yield from _file_entries(path, name)


def _dataset_entries(source: str) -> Iterator[dict[str, Any]]:
    data_set = hub.data_set(source)
    if not data_set.is_folder:
        yield {"data set": source.removeprefix("hf:"), "commit": hub.commit(data_set)}
        return
    root = Path(data_set.place)
    # `datasets` reads these files itself; they are listed so that a changed copy makes another list.
    for path in sorted(root.rglob("*")):
        if path.is_file():
            name, size = path.relative_to(root).as_posix(), path.stat().st_size
            yield {"file": name, "size": size, "sha256": file_sha256(path)}


def _file_entries(path: Path, name: str) -> Iterator[dict[str, Any]]:
    try:
        state = path.stat()
        if not S_ISREG(state.st_mode):
            yield {"file": name, "size": 0, "reason": "not a file"}
            return
        entry = {"file": name, "size": state.st_size}
        if not is_readable(path):
            yield {**entry, "reason": "other kind of file"}
            return
        digest = {"sha256": file_sha256(path)}
        for piece in pieces(path):
            yield entry | digest | piece
    except LeftOut as error:
        yield {**entry, "reason": error.reason}
    except OSError as error:
        yield {"file": name, "size": 0, "reason": _os_reason(error)}


def _os_reason(error: OSError) -> str:
    from errno import ELOOP

    return (
        "link loop" if error.errno == ELOOP else "no permission" if isinstance(error, PermissionError) else "unreadable"
    )


def _walk(root: Path, without: set[str], seen: set[tuple[int, int]]) -> Iterator[tuple[Path, str]]:
    """Files in order, and folders that are left out with the reason. Real folders come first, then linked ones."""
    folders, linked = [root], list[Path]()
    while folders or linked:
        folder = folders.pop() if folders else linked.pop(0)
        try:
            state = folder.stat()
            if (state.st_dev, state.st_ino) in seen:
                yield folder, "folder seen before"
                continue
            seen.add((state.st_dev, state.st_ino))
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield folder, _os_reason(error)
            continue
        inside: list[Path] = []
        for entry in entries:
            if not _is_folder(entry):
                yield Path(entry.path), ""
            elif entry.name in without or entry.name == "__pycache__":
                continue
            elif reason := _folder_reason(entry):
                yield Path(entry.path), reason
            else:
                (linked if entry.is_symlink() else inside).append(Path(entry.path))
        folders += reversed(inside)


def _folder_reason(entry: "os.DirEntry[str]") -> str:
    if entry.name.startswith("."):
        return "hidden folder"
    if entry.name in INSTALLED or any(os.path.exists(os.path.join(entry.path, name)) for name in ENVIRONMENT):
        return "installed packages"
    return "output of sagechain" if is_stage_output(Path(entry.path)) else ""


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself; reading it as a file tells
        return False


def _in_utf8(name: str) -> str:
    """A file's name may be of any bytes, of which Python makes half surrogate pairs; they cannot be written down."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _root(source: str) -> Path:
    return Path(sysconfig.get_paths()["stdlib"] if source == "stdlib" else source)


class SourceReader(CountingStep):
    """Yields the documents of a task's share of the inputs; counts the others with the reason.

    A document has its text, an id that names its place in the source, and in its metadata `path`, `sha256` (of the
    text's UTF-8 bytes) and, where known, `repo_name` and `license`.

    Args:
        source: as for `check_source`.
        inputs: the file that `write_inputs` made.
        max_bytes: size of the longest document that is read; longer ones are never held in memory.
    """

    type = "reader"
    name = "source"

    def __init__(self, source: str, inputs: Path, max_bytes: int) -> None:
        super().__init__()
        self.source = source
        self.inputs = str(inputs)
        self.max_bytes = max_bytes

    def run(self, data: Iterable[Document] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Read the share of task `rank`."""
        found = self._dataset_rows(rank, world_size) if self.source.startswith("hf:") else self._rows(rank, world_size)
        for row in found:
            if isinstance(row, LeftOut):
                self.leave_out(row.reason, row.size, row.documents)
            elif (document := self._document(row)) is not None:
                yield document

    def _document(self, row: Row) -> Document | None:
        try:
            content = row.text.encode("utf-8")
        except UnicodeEncodeError:  # half a surrogate pair, which JSON can carry
            self.leave_out("not UTF-8", len(row.text))
            return None
        reason = "too large" if len(content) > self.max_bytes else "binary" if "\0" in row.text else ""
        if reason or not row.text.strip():
            self.leave_out(reason or "empty", len(content))
            return None
        self.count("read", len(content))
        metadata = {name: _in_utf8(value) for name, value in row.metadata.items()}
        return Document(row.text, _in_utf8(row.id), metadata=metadata | {"sha256": sha256(content).hexdigest()})

    def _rows(self, rank: int, world_size: int) -> Iterator[Row | LeftOut]:
        root = _root(self.source)
        with open(self.inputs, encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                if number % world_size != rank:
                    continue
                entry = json.loads(line)
                if "reason" in entry:
                    yield LeftOut(entry["reason"], entry["size"])
                    continue
                path = root if root.is_file() else root / entry["file"]
                try:
                    yield from rows(path, entry, self.max_bytes)
                except LeftOut as error:
                    yield error
                except OSError as error:
                    yield LeftOut(_os_reason(error), entry["size"])

    def _dataset_rows(self, rank: int, world_size: int) -> Iterator[Row | LeftOut]:
        data_set = hub.data_set(self.source)
        with open(self.inputs, encoding="utf-8") as lines:
            commit = None if data_set.is_folder else json.loads(next(lines))["commit"]
        name = Path(data_set.place).name if data_set.is_folder else self.source.removeprefix("hf:")
        try:
            for number, columns in enumerate(hub.shard(data_set, commit, rank, world_size)):
                yield row_of(columns, f"{name}#{rank}.{number}")
        except Exception as error:
            raise hub.unreadable(self.source, error) from error
