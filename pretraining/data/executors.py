"""Run datatrove steps as tasks: in this process, in worker processes, on Slurm or on Ray.

The work is cut into `tasks`; each finished task leaves a mark in its folder and is skipped when the pass runs again.
What comes out depends on the number of tasks, never on the number of workers.

    with Executor(workers=2).session() as executor:  # its worker processes serve all passes
        stats = executor.run("read", [reader, writer], Path("passes/read"))

A local worker is a fresh Python that gets jobs on its standard input (`workers.py` has both ends), so scripts need no
`if __name__ == "__main__"`, and nothing is forked from a process with threads. Slurm and Ray are datatrove's own.
"""

import importlib.util
import inspect
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ..display import console
from ..errors import PretrainingError
from .slurm import noted_jobs, submit, wait_for_jobs
from .workers import WorkerPool, quiet_datatrove, run_task

Progress = Callable[[str, int, int], None]  # name of the pass, tasks done, tasks in all
Undone = Callable[[], list[int]]  # the tasks that are left; told as progress

OURS = {"self", "pipeline", "tasks", "workers", "logging_dir", "skip_completed", "depends", "job_name"}


class Executor(BaseModel):
    """Where the tasks run, and how many at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["local", "slurm", "ray"] = Field("local", description="Which engine runs the tasks.")
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="Tasks that run at once.")
    tasks: int = Field(8, ge=1, description="Parts the work is cut into. Results depend on this, not on the workers.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Passed to datatrove's Slurm or Ray executor, such as partition and time."
    )
    _pool: list[WorkerPool] = PrivateAttr(default_factory=list)

    def check(self) -> None:
        """Raise ValueError where this engine cannot work here, and say what is missing."""
        if self.kind == "local":
            if self.options:
                raise ValueError(f"options={self.options!r}: the local executor has none. Leave them out.")
            return
        if self.kind == "ray" and importlib.util.find_spec("ray") is None:
            raise ValueError("kind='ray': Ray is not installed. Run `pip install ray`, or use kind='local'.")
        if self.kind == "slurm" and shutil.which("sbatch") is None:
            raise ValueError(
                "kind='slurm': there is no `sbatch` here. Run this on a Slurm login node, or use kind='local'."
            )
        self._check_options()

    def _check_options(self) -> None:
        parameters = inspect.signature(_engine(self.kind).__init__).parameters
        known = {name: parameter for name, parameter in parameters.items() if name not in OURS}
        if unknown := sorted(self.options.keys() - known.keys()):
            raise ValueError(f"options: {self.kind} has no {', '.join(unknown)}. It has {', '.join(known)}.")
        needed = [name for name, parameter in known.items() if parameter.default is parameter.empty]
        if missing := [name for name in needed if name not in self.options]:
            raise ValueError(f"options: {self.kind} needs {', '.join(missing)} as well.")

    @contextmanager
    def session(self) -> Iterator["Executor"]:
        """Keep the local worker processes between passes; they end with the block, however it ends."""
        if self.kind != "local" or self.workers == 1 or self._pool:
            yield self
            return
        with WorkerPool(self.workers) as pool:
            self._pool.append(pool)
            try:
                yield self
            finally:
                self._pool.clear()

    def run(
        self,
        name: str,
        steps: Sequence[Any],
        folder: Path,
        *,
        tasks: int | None = None,
        on_progress: Progress | None = None,
    ) -> Any:
        """Run one pass and return its statistics, merged over the tasks.

        On Slurm, an exception cancels the pass's job; one that a killed driver left in the queue is waited for first.

        Args:
            name: the pass, for messages and progress.
            steps: datatrove pipeline steps, in order.
            folder: keeps logs/, stats/ and completions/; tasks that are complete there are not run again.
            tasks: parts the work is cut into, where it is not the executor's own number.
            on_progress: called as tasks finish, from this thread.

        Returns:
            datatrove's `PipelineStats`, one entry a step.

        Raises:
            ValueError: the engine is not there.
            PretrainingError: a task failed; the message names its log.
        """
        self.check()
        quiet_datatrove()
        count = self.tasks if tasks is None else tasks
        engine = self._datatrove_executor(name, steps, folder, count)
        undone = partial(_undone, name, engine, on_progress or (lambda *_: None))
        left = undone()
        if left and (jobs := noted_jobs(folder)):
            console().print(f"Slurm job {', '.join(jobs)} was submitted for {folder} before. Waiting for its end.")
            wait_for_jobs(folder, undone)
            left = undone()
        if left:
            {"local": self._run_local, "slurm": _run_slurm, "ray": _run_ray}[self.kind](name, engine, folder, undone)
        return _merged_stats(folder, count)

    def _datatrove_executor(self, name: str, steps: Sequence[Any], folder: Path, tasks: int) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        options = dict(self.options)
        if self.kind == "slurm":
            options["job_name"] = name.replace(" ", "-")
            if not options.keys() & {"env_command", "condaenv", "venv_path"}:
                options["env_command"] = f'export PATH="{Path(sys.executable).parent}:$PATH"'
        if self.kind != "local":
            options["workers"] = self.workers
        return _engine(self.kind)(list(steps), tasks=tasks, logging_dir=str(folder), **options)

    def _run_local(self, name: str, engine: Any, folder: Path, undone: Undone) -> None:
        ranks = engine.get_incomplete_ranks()

        def on_end(rank: int, failure: str) -> None:
            if failure:
                raise _failed(name, folder, rank, failure)
            undone()

        with self.session():
            if self._pool:
                self._pool[0].run(engine, ranks, folder, on_end)
            else:
                for rank in ranks:
                    on_end(rank, run_task(engine, rank))


def _engine(kind: str) -> Any:
    if kind == "slurm":
        from datatrove.executor.slurm import SlurmPipelineExecutor

        return SlurmPipelineExecutor
    if kind == "ray":
        from datatrove.executor.ray import RayPipelineExecutor

        return RayPipelineExecutor
    # Only its `_run_for_rank` is used: its `run` starts a manager process even for one worker, and a pool for each pass.
    from datatrove.executor.local import LocalPipelineExecutor

    return LocalPipelineExecutor


def _undone(name: str, engine: Any, report: Progress) -> list[int]:
    """The tasks that are not complete, once it is told how many are."""
    ranks: list[int] = engine.get_incomplete_ranks()
    report(name, engine.world_size - len(ranks), engine.world_size)
    return ranks


def _run_slurm(name: str, engine: Any, folder: Path, undone: Undone) -> None:
    """Submit, then wait until every task is complete or the job is gone."""
    jobs = submit(engine, folder)
    wait_for_jobs(folder, undone)
    if left := undone():
        raise _failed(name, folder, left[0], f"Slurm job {', '.join(jobs)} ended with {len(left)} tasks undone")


def _run_ray(name: str, engine: Any, folder: Path, undone: Undone) -> None:
    import ray  # type: ignore[import-not-found]

    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level="ERROR")
    engine.run()
    if left := undone():
        raise _failed(name, folder, left[0], f"Ray ended with {len(left)} tasks undone")


def _failed(name: str, folder: Path, rank: int, failure: str) -> PretrainingError:
    log = folder / "logs" / f"task_{rank:05d}.log"
    return PretrainingError(
        f"{name}: task {rank} failed ({failure}). Its log is {log}. Run again: finished tasks are kept."
    )


def _merged_stats(folder: Path, tasks: int) -> Any:
    from datatrove.utils.stats import PipelineStats

    merged = PipelineStats()
    for rank in range(tasks):
        merged += PipelineStats.from_json(json.loads((folder / "stats" / f"{rank:05d}.json").read_text("utf-8")))
    return merged
