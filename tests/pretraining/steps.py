"""A step for tests of executors, in a module that workers and Slurm jobs can import."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep


class Write(PipelineStep):  # type: ignore[misc]
    """Writes a file for its task. Task `failing` raises until a file `repaired` exists; task `ending` ends its process."""

    type, name = "test", "write"

    def __init__(self, folder: Path, failing: int = -1, ending: int = -1) -> None:
        super().__init__()
        self.folder, self.failing, self.ending = str(folder), failing, ending

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        print("steps may print")
        if rank == self.ending:
            os._exit(3)
        if rank == self.failing and not (Path(self.folder) / "repaired").exists():
            raise RuntimeError("no luck")
        (Path(self.folder) / f"{rank}.txt").write_text(f"{rank} of {world_size}, process {os.getpid()}")
        self.stat_update("written")
        self.stat_update("ranks", value=rank)
        yield from ()


def processes(folder: Path) -> set[str]:
    return {path.read_text().split()[-1] for path in folder.glob("*.txt")}


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.txt"))
