"""What is on its way, in files on this machine: if the process dies, the next command deletes what it left.

A record is a file for an endpoint that is being deployed, or used in a `deployed()` block, or deleted. Whoever works on it
holds its lock, which the system lets go when the process dies, however it dies; so a record without a holder is work that
nobody finishes, and `reap` does.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_state_path

FOLDER_VARIABLE = "SAGECHAIN_STATE"


@dataclass(frozen=True)
class Record:
    """An endpoint that somebody has to delete.

    `identity` is the tag of the deployment that made it; empty: whatever has the name and is ours.
    """

    name: str
    region: str
    address: str
    """Where SageMaker is: AWS, or a runtime on this machine."""
    identity: str = ""
    archive: str = ""
    """`s3://…`, where a checkpoint was uploaded for it."""


class Held:
    """A record that this process works on."""

    def __init__(self, record: Record, path: Path) -> None:
        self.record, self._path = record, path

    def write(self) -> None:
        """From now on somebody has to delete the endpoint."""
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self.record)), encoding="utf-8")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(self._path)

    def settle(self) -> None:
        """Nobody has to any more."""
        self._path.unlink(missing_ok=True)


@contextmanager
def holding(record: Record) -> Iterator[Held]:
    """Work on an endpoint's record. Raises ValueError where another process does."""
    with holding_if_free(record) as held:
        if held is None:
            raise ValueError(
                f"name: another process is deploying or deleting {record.name!r}; wait for it, or take another name"
            )
        yield held


@contextmanager
def holding_if_free(record: Record) -> Iterator[Held | None]:
    """Work on an endpoint's record; None where another process, or another block of this one, does already."""
    path = _path(record)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield None
        return
    try:
        yield Held(record, path)
    finally:
        lock.release()


def unfinished(address: str, region: str) -> list[Record]:
    """The records that nobody works on, of endpoints at that address."""
    found = []
    for path in sorted(_folder().glob("*.json")):
        try:
            with FileLock(path.with_suffix(".lock"), timeout=0):
                record = Record(**json.loads(path.read_text(encoding="utf-8")))
        except (Timeout, FileNotFoundError):
            continue  # held, or settled just now
        if (record.address, record.region) == (address, region):
            found.append(record)
    return found


def _folder() -> Path:
    given = os.environ.get(FOLDER_VARIABLE)
    return (Path(given) if given else user_state_path("sagechain")) / "endpoints"


def _path(record: Record) -> Path:
    where = sha256(f"{record.address} {record.region}".encode()).hexdigest()[:12]
    return _folder() / f"{record.name}-{where}.json"
