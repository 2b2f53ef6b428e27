"""Code in files: the standard library, a folder or one file.

Below a folder, hidden folders, installed packages and the output of `sagechain pretrain` are left out and counted. A
linked folder is read once. How the documents are read from a file is in `formats.py`.
"""

import os
import sysconfig
from collections.abc import Iterator
from errno import ELOOP
from pathlib import Path
from stat import S_ISREG

from ...manifest import file_sha256, is_stage_output
from .formats import ENDINGS, LeftOut, Row, is_readable, parts, read_rows
from .listing import Entry, read_entries, write_entries

STDLIB = "stdlib"
# Folders of the standard library that contain tests, installed packages, or Python 2.
NOT_STDLIB = {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib2to3"}
INSTALLED = {"site-packages", "dist-packages", "node_modules"}
ENVIRONMENT = ("pyvenv.cfg", "conda-meta")  # what venv and virtualenv, and conda, leave in each environment


class FileSource:
    """A `Source` of files. A copy elsewhere is the same source, and a file in which one byte changed is another.

    Args:
        name: `stdlib`, or the path of a folder or a file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._is_stdlib = name == STDLIB
        self._root = Path(sysconfig.get_paths()["stdlib"] if self._is_stdlib else name)

    def check(self) -> None:
        if not self.name or not self._root.exists():
            raise ValueError(
                f"source={self.name!r}: the file or folder does not exist. Give a path, hf:NAME or stdlib."
            )
        if self._root.is_file() and not is_readable(self._root):
            raise ValueError(
                f"source={self.name!r}: files of this kind are not read. It must end in {', '.join(ENDINGS)}."
            )

    def write_listing(self, path: Path, *, output: Path | None = None) -> str:
        return write_entries(path, self._entries(output))

    def rows(self, listing: Path, rank: int, world_size: int, max_bytes: int) -> Iterator[Row | LeftOut]:
        for entry in read_entries(listing, rank, world_size):
            if "reason" in entry:
                yield LeftOut(entry["reason"], entry["size"])
                continue
            path = self._root if self._root.is_file() else self._root / entry["file"]
            try:
                yield from read_rows(path, entry, max_bytes)
            except LeftOut as error:
                yield error
            except OSError as error:
                yield LeftOut(_reason(error), entry["size"])

    def _entries(self, output: Path | None) -> Iterator[Entry]:
        if self._root.is_file():
            yield from _file_entries(self._root, self._root.name)
            return
        for path, reason in _walk(self._root, NOT_STDLIB if self._is_stdlib else set(), _identity(output)):
            name = path.relative_to(self._root).as_posix()
            if reason:
                yield {"file": name, "size": 0, "reason": reason}
            elif not self._is_stdlib or path.suffix == ".py":
                yield from _file_entries(path, name)


def _file_entries(path: Path, name: str) -> Iterator[Entry]:
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
        for part in parts(path):
            yield entry | digest | part
    except LeftOut as error:
        yield {**entry, "reason": error.reason}
    except OSError as error:
        yield {"file": name, "size": 0, "reason": _reason(error)}


def _reason(error: OSError) -> str:
    if error.errno == ELOOP:
        return "link loop"
    return "no permission" if isinstance(error, PermissionError) else "unreadable"


def _identity(folder: Path | None) -> tuple[int, int] | None:
    """Device and inode, the same for every link to a folder; None if it does not exist or may not be read."""
    try:
        state = folder.stat() if folder else None
    except OSError:
        return None
    return (state.st_dev, state.st_ino) if state else None


def _walk(root: Path, without: set[str], output: tuple[int, int] | None) -> Iterator[tuple[Path, str]]:
    """Files in order, and folders that are left out with the reason. Real folders come first, then linked ones.

    Args:
        without: names of folders that are not part of the source.
        output: the identity of another such folder.
    """
    visited: set[tuple[int, int] | None] = set()
    folders, linked = [root], list[Path]()
    while folders or linked:
        folder = folders.pop() if folders else linked.pop(0)
        if (identity := _identity(folder)) in visited:
            yield folder, "folder seen before"
            continue
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield folder, _reason(error)
            continue
        visited.add(identity)
        inside: list[Path] = []
        for entry in entries:
            if not _is_folder(entry):
                yield Path(entry.path), ""
            elif entry.name in without or entry.name == "__pycache__" or _is_output(entry, output):
                continue
            elif reason := _folder_reason(entry):
                yield Path(entry.path), reason
            else:
                (linked if entry.is_symlink() else inside).append(Path(entry.path))
        folders += reversed(inside)


def _is_output(entry: "os.DirEntry[str]", output: tuple[int, int] | None) -> bool:
    return output is not None and _identity(Path(entry.path)) == output


def _folder_reason(entry: "os.DirEntry[str]") -> str:
    """Why a folder is left out; "" where it is read."""
    if entry.name.startswith("."):
        return "hidden folder"
    if entry.name in INSTALLED or any(os.path.exists(os.path.join(entry.path, name)) for name in ENVIRONMENT):
        return "installed packages"
    return "output of sagechain" if is_stage_output(Path(entry.path)) else ""


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: reading it as a file raises the reason
        return False
