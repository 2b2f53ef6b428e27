"""The list of a source's inputs: one JSON line each, in a fixed order, so that a resumed run reads the same shares.

A line has `file` (relative to the source), `size` and `sha256`, and where they apply `start` and `stop` (a part of a
large file) or `reason` (why it cannot be read). A data set of the hub is one line with its commit.
"""

import json
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


def write_entries(path: Path, entries: Iterable[Entry], *, prefix: str = "") -> str:
    """Write a listing and return the SHA-256 over `prefix` and the lines of inputs that can be read."""
    digest = sha256(prefix.encode())
    with path.open("wb") as file:
        for entry in entries:
            line = json.dumps(entry, ensure_ascii=True).encode() + b"\n"
            if "reason" not in entry:
                digest.update(line)
            file.write(line)
    return digest.hexdigest()


def read_entries(path: Path, rank: int, world_size: int) -> Iterator[Entry]:
    """Each `world_size`-th line, from line `rank` on."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number % world_size == rank:
                yield json.loads(line)
