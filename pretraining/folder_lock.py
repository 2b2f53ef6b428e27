"""A lock on a stage's folder: one process at a time. The system releases it when the process dies, however it dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOLCK, ENOSYS
from pathlib import Path

from filelock import FileLock, Timeout

from .display import console
from .errors import PretrainingError
from .manifest import LOCK

WAIT_SECONDS = 30.0  # the other process may be writing its last checkpoint


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Lock a folder while the block runs. The folder is created if it does not exist.

    Raises:
        PretrainingError: another process still has the lock after `WAIT_SECONDS`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Without filelock's substitute on file systems that have no locks: its file outlives a process that is killed.
    lock = FileLock(folder / LOCK, fallback_to_soft=False)
    try:
        _acquire(lock, folder)
    except OSError as error:
        if error.errno not in (ENOSYS, ENOLCK):
            raise
        console().print(f"The file system of {folder} has no locks: make sure that no other process works in it.")
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, folder: Path) -> None:
    try:
        lock.acquire(timeout=0)
        return
    except Timeout:
        console().print(f"Another process works in {folder}. Waiting up to {WAIT_SECONDS:.0f} s for its end.")
    try:
        lock.acquire(timeout=WAIT_SECONDS)
    except Timeout as error:
        raise PretrainingError(
            f"another process works in {folder} (`fuser {folder / LOCK}` names it). Wait for its end, or end it, and give "
            "the same command again; or name another folder."
        ) from error
