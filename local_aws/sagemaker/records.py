"""What the local runtime knows of models, endpoint configurations and endpoints: one small JSON file a record.

    FOLDER/models/NAME.json    FOLDER/endpoint-configs/NAME.json    FOLDER/endpoints/NAME.json    FOLDER/lock

A record is written beside its place and then renamed, so a runtime that is killed leaves each as it was or as it is now.
One runtime at a time holds a folder.
"""

import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

KINDS = ("models", "endpoint-configs", "endpoints")
UNFINISHED = ".unfinished"

Record = Mapping[str, Any]


class Store:
    """The records in a folder.

    Args:
        folder: created if absent.

    Raises:
        OSError: another runtime holds the folder, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file_lock = FileLock(folder / "lock", thread_local=False)
        try:
            self._file_lock.acquire(timeout=0)
        except Timeout as error:
            raise OSError(f"folder: another runtime holds {folder}; stop it, or give another folder") from error
        self._lock = threading.RLock()
        self._records: dict[str, dict[str, Record]] = {kind: self._read(kind) for kind in KINDS}
        self._unwritten: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Let go of the folder."""
        self._file_lock.release()

    def all(self, kind: str) -> dict[str, Record]:
        """The records of a kind, by name."""
        with self._lock:
            return dict(self._records[kind])

    def find(self, kind: str, name: str) -> Record | None:
        """A record, if there is one."""
        return self._records[kind].get(name)

    def put(self, kind: str, name: str, record: Record, *, written: bool = True) -> None:
        """Keep a record; one that is not `written` ends with the runtime."""
        with self._lock:
            if written:
                write_whole(self._path(kind, name), json.dumps(record, indent=1).encode())
            else:
                self._unwritten.add((kind, name))
            self._records[kind][name] = record

    def change(self, kind: str, name: str, **facts: Any) -> Record:
        """Change some facts of a record, and give it back."""
        with self._lock:
            record = {**self._records[kind][name], **facts}
            self.put(kind, name, record, written=(kind, name) not in self._unwritten)
            return record

    def remove(self, kind: str, name: str) -> None:
        """Forget a record."""
        with self._lock:
            del self._records[kind][name]
            if (kind, name) in self._unwritten:
                self._unwritten.remove((kind, name))
            else:
                self._path(kind, name).unlink()

    def _path(self, kind: str, name: str) -> Path:
        return self.folder / kind / f"{name}.json"

    def _read(self, kind: str) -> dict[str, Record]:
        place = self.folder / kind
        place.mkdir(exist_ok=True)
        remove_unfinished(place)
        return {path.stem: read_record(path) for path in place.glob("*.json")}


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that whoever reads it, now or after a crash, sees all of the old or all of the new one."""
    unfinished = path.with_name(path.name + UNFINISHED)
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read_record(path: Path) -> dict[str, Any]:
    """What `write_whole` wrote as JSON. Raises OSError if somebody else has changed it."""
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise OSError(f"{path} is not as the runtime wrote it: {error}; remove it") from error
    return record


def remove_unfinished(folder: Path) -> None:
    """Remove what a runtime that was killed had not finished."""
    for path in folder.glob(f"*{UNFINISHED}"):
        with suppress(FileNotFoundError):
            path.unlink()
