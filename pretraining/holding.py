"""One process at a time writes in a stage's folder; the system lets a folder go when its process dies, however it dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sagechain.pretraining.errors import PretrainingError
from sagechain.pretraining.manifest import LOCK
from sagechain.pretraining.progress import console

PATIENCE = 30.0  # seconds; who was asked to end writes a checkpoint first


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder meanwhile; it is made where there is none.

    Raises:
        PretrainingError: another process is still there after `PATIENCE` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console().print(f"Another process works in {folder}. Waiting up to {PATIENCE:.0f} s for its end.")
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout as error:
            raise PretrainingError(
                f"another process works in {folder} (`fuser {folder / LOCK}` names it). Wait for its end, or end it, and "
                "give the same command again; or name another folder."
            ) from error
    try:
        yield
    finally:
        lock.release()
