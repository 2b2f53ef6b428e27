"""Files that are whole at any time: a runtime that is killed while it writes leaves the old contents or the new ones."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

UNFINISHED = ".unfinished"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, now or after a crash, finds all of the old or all of the new contents."""
    unfinished = path.with_name(path.name + UNFINISHED)
    unfinished.touch(mode=0o600)
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The contents of a JSON file that `write_atomically` wrote.

    Raises:
        OSError: it has been changed since, and is not JSON.
    """
    try:
        contents: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise OSError(f"{path} is not as the runtime wrote it: {error}; remove it") from error
    return contents


def remove_unfinished(folder: Path) -> None:
    """Remove the files of a folder that a killed runtime had not finished writing."""
    for path in folder.glob(f"*{UNFINISHED}"):
        with suppress(FileNotFoundError):
            path.unlink()
