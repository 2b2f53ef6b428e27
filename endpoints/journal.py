"""A journal of unfinished deployments, in files on this machine: after a crash the next command deletes the remains.

There is one file for each endpoint that is being deployed, used in a `deployed()` block, or deleted. The process working on
it holds a lock on its name, which the operating system releases when the process dies. So a file whose name is not locked
belongs to a process that died, and `reap` deletes its endpoint.
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
class Deployment:
    """What has to be deleted if its process dies."""

    name: str
    region: str
    account: str
    """The account's number."""
    address: str
    """SageMaker's URL: AWS's or a local one."""
    identity: str
    """The tag of the deployment; resources of other deployments under the same name are left alone."""
    archive: str = ""
    """`s3://…` of a checkpoint that was uploaded for it."""


class JournalEntry:
    """The journal's entry of a deployment whose name this process has locked."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._path = _path(deployment, f"{deployment.identity}.json")

    def write(self) -> None:
        """Write the entry: from now on the deployment is deleted if this process dies."""
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self.deployment)), encoding="utf-8")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(self._path)

    def remove(self) -> None:
        """Remove the entry: the deployment is finished, or deleted."""
        self._path.unlink(missing_ok=True)


@contextmanager
def locked_entry(deployment: Deployment) -> Iterator[JournalEntry]:
    """The entry of a deployment, its name locked. Raises ValueError if another process has locked it."""
    with try_locked_entry(deployment) as entry:
        if entry is None:
            raise ValueError(
                f"name: another process is deploying or deleting {deployment.name!r}; wait for it, or choose another name"
            )
        yield entry


@contextmanager
def try_locked_entry(deployment: Deployment) -> Iterator[JournalEntry | None]:
    """As `locked_entry`; None if another process, or another block of this one, has locked the name."""
    path = _path(deployment, "lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)  # a block may be left in another thread than it was entered in
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield None
        return
    try:
        yield JournalEntry(deployment)
    finally:
        lock.release()


def abandoned_entries(account: str, region: str, address: str) -> Iterator[JournalEntry]:
    """The entries of processes that died; each is locked while the caller has it."""
    for path in sorted(_folder().glob("*.json")):
        deployment = _read(path)
        if deployment is None:
            continue
        if (deployment.account, deployment.region, deployment.address) != (account, region, address):
            continue
        with try_locked_entry(deployment) as entry:
            if entry is not None and path.exists():  # else another process has just removed it
                yield entry


def _read(path: Path) -> Deployment | None:
    try:
        return Deployment(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        print(f"The journal's file {path} cannot be read ({error}); its deployment is not deleted.", file=sys.stderr)
        return None


def _folder() -> Path:
    folder = os.environ.get(FOLDER_VARIABLE)
    return (Path(folder) if folder else user_state_path("sagechain")) / "endpoints"


def _path(deployment: Deployment, ending: str) -> Path:
    place = sha256(f"{deployment.account} {deployment.address} {deployment.region}".encode()).hexdigest()[:12]
    return _folder() / f"{deployment.name}-{place}.{ending}"
