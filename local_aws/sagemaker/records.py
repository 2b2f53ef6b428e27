"""The records of models, endpoint configurations and endpoints: one small JSON file each.

    FOLDER/models/NAME.json    FOLDER/endpoint-configs/NAME.json    FOLDER/endpoints/NAME.json    FOLDER/lock

One runtime at a time uses a folder.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..files import read_json, remove_unfinished, write_atomically

KINDS = ("models", "endpoint-configs", "endpoints")

Record = Mapping[str, Any]


class Store:
    """The records in a folder.

    Args:
        folder: created if absent.

    Raises:
        OSError: another runtime uses the folder, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._file_lock = FileLock(folder / "lock", thread_local=False)
        try:
            self._file_lock.acquire(timeout=0)
        except Timeout as error:
            raise OSError(f"folder: another runtime uses {folder}; stop it, or give another folder") from error
        self._lock = threading.RLock()
        self._records: dict[str, dict[str, Record]] = {kind: self._read(kind) for kind in KINDS}
        self._in_memory: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Release the folder."""
        self._file_lock.release()

    def all(self, kind: str) -> dict[str, Record]:
        """The records of a kind, by name."""
        with self._lock:
            return dict(self._records[kind])

    def find(self, kind: str, name: str) -> Record | None:
        """A record, if there is one."""
        return self._records[kind].get(name)

    def put(self, kind: str, name: str, record: Record, *, in_memory: bool = False) -> None:
        """Add or replace a record; one that is `in_memory` ends with the runtime."""
        with self._lock:
            if in_memory:
                self._in_memory.add((kind, name))
            else:
                write_atomically(self._path(kind, name), json.dumps(record, indent=1).encode())
            self._records[kind][name] = record

    def change(self, kind: str, name: str, **fields: Any) -> None:
        """Change some fields of a record."""
        with self._lock:
            record = {**self._records[kind][name], **fields}
            self.put(kind, name, record, in_memory=(kind, name) in self._in_memory)

    def remove(self, kind: str, name: str) -> None:
        """Remove a record."""
        with self._lock:
            del self._records[kind][name]
            if (kind, name) in self._in_memory:
                self._in_memory.remove((kind, name))
            else:
                self._path(kind, name).unlink()

    def _path(self, kind: str, name: str) -> Path:
        return self.folder / kind / f"{name}.json"

    def _read(self, kind: str) -> dict[str, Record]:
        folder = self.folder / kind
        folder.mkdir(exist_ok=True)
        remove_unfinished(folder)
        return {path.stem: read_json(path) for path in folder.glob("*.json")}
