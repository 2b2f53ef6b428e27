"""What is on its way, in files on this machine: if the process dies, the next command deletes what it left.

A record is a file for an endpoint that is being deployed, or used in a `deployed()` block, or deleted. Whoever works on it
holds the lock of its name, which the system lets go when the process dies, however it dies; so a record whose name nobody
holds is work that nobody finishes, and `reap` does.
"""

import json
import os
import sys
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
    """A deployment that somebody has to delete."""

    name: str
    region: str
    account: str
    """Its number."""
    address: str
    """Where SageMaker is: AWS, or a runtime on this machine."""
    identity: str
    """The tag of the deployment: what another one made under the name is none of this one's business."""
    archive: str = ""
    """`s3://…`, where a checkpoint was uploaded for it."""


class Held:
    """A record whose name this process holds."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self._path = _path(record, f"{record.identity}.json")

    def write(self) -> None:
        """From now on somebody has to delete the deployment."""
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
    """Work on a deployment. Raises ValueError where another process works on that name."""
    with holding_if_free(record) as held:
        if held is None:
            raise ValueError(
                f"name: another process is deploying or deleting {record.name!r}; wait for it, or take another name"
            )
        yield held


@contextmanager
def holding_if_free(record: Record) -> Iterator[Held | None]:
    """Work on a deployment; None where another process, or another block of this one, works on that name."""
    path = _path(record, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)  # a block may be left in another thread than it was entered in
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield None
        return
    try:
        yield Held(record)
    finally:
        lock.release()


def unfinished(account: str, region: str, address: str) -> Iterator[Held]:
    """The deployments there that nobody works on; each is held while the caller has it."""
    for path in sorted(_folder().glob("*.json")):
        record = _read(path)
        if record is None or (record.account, record.region, record.address) != (account, region, address):
            continue
        with holding_if_free(record) as held:
            if held is not None and path.exists():  # else it was settled just now
                yield held


def _read(path: Path) -> Record | None:
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        print(f"The record {path} cannot be read ({error}); what it is of is not deleted.", file=sys.stderr)
        return None


def _folder() -> Path:
    given = os.environ.get(FOLDER_VARIABLE)
    return (Path(given) if given else user_state_path("sagechain")) / "endpoints"


def _path(record: Record, ending: str) -> Path:
    where = sha256(f"{record.account} {record.address} {record.region}".encode()).hexdigest()[:12]
    return _folder() / f"{record.name}-{where}.{ending}"
