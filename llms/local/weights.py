"""Which weights are under a path: files that are replaced or changed are another model, whatever their name.

version = FileVersion.of(path, [path])
version.key        # of this very file: other weights, or the same ones written again, have another
version.content    # of what is in it: a copy of the file has the same, as far as cheap reading shows
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

WHOLE = 8 << 20  # bytes: a file up to this size is read as a whole
SAMPLES, SAMPLE = 64, 64 << 10  # of a larger one 64 samples of 64 KiB each, its first and its last bytes among them


@dataclass(frozen=True)
class FileVersion:
    """What distinguishes one version of a model's files from another.

    Attributes:
        content: a digest of names, sizes, times of change, and samples of the files' bytes. LangChain's cache has it in its
            key.
        key: as `content`, with what only this machine's file system knows. Engines in memory are found by it.
    """

    content: str
    key: tuple[object, ...]

    @classmethod
    def of(cls, folder: Path, files: Iterable[Path]) -> Self:
        """The version of files, which are named relative to `folder`. Raises OSError."""
        digest, key = hashlib.sha256(), []
        for path in sorted(files):
            stat = path.stat()
            name = str(path.relative_to(folder))
            digest.update(repr((name, stat.st_size, stat.st_mtime_ns)).encode())
            digest.update(_sample(path, stat.st_size))
            # A file that is written with its old time of change still has a new inode, or a new time in the file system.
            key.append((name, stat.st_ino, stat.st_ctime_ns))
        content = digest.hexdigest()[:32]
        return cls(content, (content, *key))


def _sample(path: Path, size: int) -> bytes:
    """A digest of a small file, or of parts of a large one, evenly spread: retraining changes every part."""
    with path.open("rb") as file:
        if size <= WHOLE:
            return hashlib.sha256(file.read()).digest()
        digest = hashlib.sha256()
        for number in range(SAMPLES):
            file.seek((size - SAMPLE) * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE))
        return digest.digest()
