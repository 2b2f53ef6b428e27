"""One process at a time works in a stage's folder; the system lets a folder go when its process dies, however it dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOLCK, ENOSYS
from pathlib import Path

from filelock import FileLock, Timeout

from .display import console
from .errors import PretrainingError
from .manifest import LOCK

WAIT_SECONDS = 30.0  # seconds; who was asked to end writes a checkpoint first


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder meanwhile; it is made where there is none.

    Raises:
        PretrainingError: another process is still there after `WAIT_SECONDS` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Not filelock's substitute for file systems without locks: its file outlives a process that is killed.
    lock = FileLock(folder / LOCK, fallback_to_soft=False)
    try:
        _acquire(lock, folder)
    except OSError as error:
        if error.errno not in (ENOSYS, ENOLCK):
            raise
        console().print(f"There are no locks where {folder} lies: see to it that no other process works in it.")
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
