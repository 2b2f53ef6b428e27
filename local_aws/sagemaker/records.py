"""The records of models, endpoint configurations and endpoints: one small JSON file each.

    FOLDER/models/REGION.NAME.json    FOLDER/endpoint-configs/…    FOLDER/endpoints/…    FOLDER/lock

A record belongs to a region, or to every one: those of endpoints that exist from the start, which end with the runtime.
One runtime at a time uses a folder.
"""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..files import read_json, remove_unfinished, write_atomically

EVERY_REGION = ""
ARN_MEMBERS = {"models": "ModelArn", "endpoint-configs": "EndpointConfigArn", "endpoints": "EndpointArn"}
KINDS = ("models", "endpoint-configs", "endpoints")

Record = Mapping[str, Any]
Key = tuple[str, str]
"""The region and the name of a record."""


class Store:
    """The records in a folder.

    Args:
        folder: created if absent.

    Raises:
        OSError: another runtime uses the folder, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(
            mode=0o700, parents=True, exist_ok=True
        )  # records have the environments of models, with their keys
        self.folder = folder
        self._file_lock = FileLock(folder / "lock", thread_local=False)
        try:
            self._file_lock.acquire(timeout=0)
        except Timeout as error:
            raise OSError(f"folder: another runtime uses {folder}; stop it, or give another folder") from error
        self._lock = threading.RLock()
        self._paths: dict[tuple[str, Key], Path] = {}
        self._records: dict[str, dict[Key, Record]] = {kind: self._read(kind) for kind in KINDS}

    def close(self) -> None:
        """Release the folder."""
        self._file_lock.release()

    def all(self, kind: str, region: str | None = None) -> dict[Key, Record]:
        """The records of a kind: all, or those of a region and of every region."""
        with self._lock:
            return {key: one for key, one in self._records[kind].items() if region is None or key[0] in (region, "")}

    def key(self, kind: str, name: str, region: str) -> Key | None:
        """The key of the record with a name that a region has, if there is one."""
        return next((key for key in ((region, name), (EVERY_REGION, name)) if key in self._records[kind]), None)

    def get(self, kind: str, key: Key) -> Record:
        """A record."""
        return self._records[kind][key]

    def put(self, kind: str, key: Key, record: Record) -> None:
        """Add or replace a record; one of every region ends with the runtime."""
        with self._lock:
            if key[0] != EVERY_REGION:
                path = self._paths.setdefault((kind, key), self.folder / kind / f"{key[0]}.{key[1]}.json")
                write_atomically(path, json.dumps(record, indent=1).encode())
            self._records[kind][key] = record

    def change(self, kind: str, key: Key, **fields: Any) -> None:
        """Change some fields of a record."""
        with self._lock:
            self.put(kind, key, {**self._records[kind][key], **fields})

    def remove(self, kind: str, key: Key) -> None:
        """Remove a record."""
        with self._lock:
            del self._records[kind][key]
            if path := self._paths.pop((kind, key), None):
                path.unlink()

    def _read(self, kind: str) -> dict[Key, Record]:
        folder = self.folder / kind
        folder.mkdir(exist_ok=True)
        remove_unfinished(folder)
        records: dict[Key, Record] = {}
        for path in folder.glob("*.json"):
            record = read_json(path)
            _, _, _, region, _, resource = record[ARN_MEMBERS[kind]].split(":")
            key = (region, resource.partition("/")[2])
            records[key], self._paths[kind, key] = record, path
        return records
