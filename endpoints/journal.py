"""A journal of unfinished deployments, in files on this machine: after a crash the next command deletes the remains.

There is one file for each endpoint that is being deployed, used in a `deployed()` block, or deleted. The process working on
it holds a lock on its name, which the operating system releases when the process dies. So a file whose name is not locked
belongs to a process that died, and `reap` deletes its endpoint. Where a folder is shared by machines, locks of another
machine may be invisible: a file also names its process (`live_process.py`).
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_state_path
from sagechain.llms.errors import LLMError

from .live_process import ProcessRecord, this_process
from .progress import note

FOLDER_VARIABLE = "SAGECHAIN_STATE"

_created_here: dict[str, "Deployment"] = {}


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
    created: tuple[str, ...] = ()
    """The kinds of resources that its process has certainly created, so that no tags need to be read to delete them."""
    endpoint_created: float = 0
    """The CreationTime of its endpoint, in seconds since the epoch; 0: not known."""


class JournalEntry:
    """The journal's entry of a deployment whose name this process has locked.

    Attributes:
        host: another machine that may be working on it; empty: this process has locked it.
    """

    def __init__(self, deployment: Deployment, path: Path | None = None, host: str = "") -> None:
        self.deployment, self.host = deployment, host
        self.path = path or _path(deployment, f"{deployment.identity}.json")

    def write(self, **changes: Any) -> None:
        """Write the entry: from now on the deployment is deleted if this process dies.

        Args:
            changes: fields of the deployment that have changed.

        Raises:
            LLMError: the file cannot be written.
        """
        self.deployment = replace(self.deployment, **changes)
        self._write(asdict(this_process()))

    def release(self) -> None:
        """Leave the deployment to the next command, on whichever machine, if it is neither finished nor deleted."""
        with suppress(LLMError, OSError):  # then the entry is abandoned when this process ends
            if self.path.exists():
                self._write(None)

    def remove(self) -> None:
        """Remove the entry: the deployment is finished, or deleted. Raises LLMError if the file cannot be removed."""
        with _failures_as_llm_errors(self.deployment):
            self.path.unlink(missing_ok=True)

    def _write(self, process: dict[str, Any] | None) -> None:
        partial = self.path.with_suffix(".partial")
        with _failures_as_llm_errors(self.deployment):
            partial.touch(mode=0o600)
            with partial.open("w", encoding="utf-8") as file:
                json.dump(asdict(self.deployment) | {"process": process}, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)


@contextmanager
def locked_entry(deployment: Deployment) -> Iterator[JournalEntry]:
    """The entry of a deployment, its name locked.

    Raises:
        ValueError: another process has locked the name.
        LLMError: names cannot be locked in the journal's folder.
    """
    with try_locked_entry(deployment) as entry:
        if entry is None:
            raise ValueError(
                f"name: another process is deploying or deleting {deployment.name!r}; wait for it, or choose another name"
            )
        yield entry


@contextmanager
def try_locked_entry(deployment: Deployment, path: Path | None = None) -> Iterator[JournalEntry | None]:
    """As `locked_entry`; None if another process, or another block of this one, has locked the name."""
    lock_path = _path(deployment, "lock")
    lock = FileLock(lock_path, thread_local=False)  # a block may be left in another thread than it was entered in
    process = os.getpid()
    try:
        with _failures_as_llm_errors(deployment):
            lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire(timeout=0)
    except Timeout:
        yield None
        return
    try:
        entry = JournalEntry(deployment, path)
        try:
            yield entry
        finally:
            if os.getpid() == process:  # a forked child leaves the block of its parent
                entry.release()
    finally:
        if os.getpid() == process:
            lock.release()


def unfinished_entries() -> Iterator[JournalEntry]:
    """The entries of all regions and accounts that no living process of this machine works on.

    Each is locked while the caller has it, except one of another machine, whose `host` is set.
    """
    for path, deployment, process in _records():
        if process is not None and process.is_of_another_machine:
            yield JournalEntry(deployment, path, process.host)
            continue
        if process is not None and process.is_another_living_process:
            continue
        try:
            with try_locked_entry(deployment, path) as entry:
                if entry is not None and path.exists():  # else another process has just removed it
                    yield entry
        except LLMError as error:  # of the lock: perhaps another process is working on it
            note(f"The journal's file {path} is left alone, and its deployment is not deleted: {error.message}")


def remember(deployment: Deployment) -> None:
    """Remember, until this process ends, what it created."""
    _created_here[_place(deployment)] = deployment


def recall(deployment: Deployment) -> Deployment | None:
    """What this process created under that name in that account and region, if it is not deleted."""
    return _created_here.get(_place(deployment))


def forget(deployment: Deployment) -> None:
    """Forget a deployment that is deleted."""
    _created_here.pop(_place(deployment), None)


def _records() -> Iterator[tuple[Path, Deployment, ProcessRecord | None]]:
    for path in sorted(_folder().glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            process = content.pop("process", None)
            deployment = Deployment(**content | {"created": tuple(content.get("created", ()))})
            if not all(isinstance(content[key], str) for key in ("name", "region", "account", "address", "identity")):
                raise TypeError("a field that is not text")
            yield path, deployment, ProcessRecord(**process) if process else None
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, AttributeError) as error:
            note(f"The journal's file {path} cannot be read ({error}); its deployment is not deleted.")


@contextmanager
def _failures_as_llm_errors(deployment: Deployment) -> Iterator[None]:
    """Raise what a full or read-only disk causes, or a file system without locks, as an LLMError."""
    try:
        yield
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:
        failure = LLMError(deployment.name, f"the journal of unfinished deployments cannot be written: {error}.")
        failure.advice = f"Free space on the disk, or name another folder in {FOLDER_VARIABLE}."
        raise failure from error


def _folder() -> Path:
    folder = os.environ.get(FOLDER_VARIABLE)
    return (Path(folder) if folder else user_state_path("sagechain")) / "endpoints"


def _path(deployment: Deployment, ending: str) -> Path:
    return _folder() / f"{_place(deployment)}.{ending}"


def _place(deployment: Deployment) -> str:
    """A name for the endpoint's name in its region and account."""
    account = sha256(f"{deployment.account} {deployment.address} {deployment.region}".encode()).hexdigest()[:12]
    return f"{deployment.name}-{account}"
