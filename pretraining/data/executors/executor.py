"""Run datatrove steps as tasks: in this process, in worker processes, on Slurm or on Ray.

A pass is divided into `tasks`; a finished task is marked in the pass's folder and skipped when the pass runs again. The
results depend on the number of tasks, never on the number of workers.

    with Executor(workers=2).session() as executor:  # its worker processes serve all passes
        stats = executor.run("read", [reader, writer], Path("passes/read"))

A local worker is a new Python process that reads jobs from its standard input (`workers.py`), so scripts need no
`if __name__ == "__main__"`, and no process with threads is forked. Slurm and Ray are datatrove's own executors.
"""

import importlib.util
import inspect
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ...display import console
from ...errors import PretrainingError
from .slurm import noted_jobs, submit, wait_for_jobs
from .workers import WorkerPool, quiet_datatrove, run_task

SET_HERE = {"self", "pipeline", "tasks", "workers", "logging_dir", "skip_completed", "depends", "job_name"}


class Executor(BaseModel):
    """Where the tasks run, and how many at the same time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["local", "slurm", "ray"] = Field("local", description="Which engine runs the tasks.")
    workers: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Tasks that run at the same time."
    )
    tasks: int = Field(8, ge=1, description="Parts of the work. Results depend on this, not on the workers.")
    options: dict[str, Any] = Field(
        default_factory=dict, description="Passed to datatrove's Slurm or Ray executor, such as partition and time."
    )
    _pool: WorkerPool | None = PrivateAttr(None)

    def check(self) -> None:
        """Raise ValueError if this engine cannot work here; the message names what is missing."""
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
        known = {name: parameter for name, parameter in parameters.items() if name not in SET_HERE}
        if unknown := sorted(self.options.keys() - known.keys()):
            raise ValueError(f"options: {self.kind} has no {', '.join(unknown)}. It has {', '.join(known)}.")
        needed = [name for name, parameter in known.items() if parameter.default is parameter.empty]
        if missing := [name for name in needed if name not in self.options]:
            raise ValueError(f"options: {self.kind} needs {', '.join(missing)} as well.")

    @contextmanager
    def session(self) -> Iterator["Executor"]:
        """Reuse the local worker processes for all passes of the block; they end with it, however it ends."""
        quiet_datatrove()
        if self.kind != "local" or self.workers == 1 or self._pool:
            yield self
            return
        self._pool = WorkerPool(self.workers)
        try:
            yield self
        finally:
            self._pool.close()
            self._pool = None

    def run(self, name: str, steps: Sequence[Any], folder: Path, *, tasks: int | None = None) -> Any:
        """Run one pass, print a line at its end, and return its statistics, merged over the tasks.

        On Slurm, an exception cancels the pass's job. A job that a killed call left in the queue is waited for first.

        Args:
            name: the pass, for messages.
            steps: datatrove pipeline steps, in order.
            folder: for logs/, stats/ and completions/; tasks that are complete there are not run again.
            tasks: parts of the work, where it is not the executor's own number.

        Returns:
            datatrove's `PipelineStats`, one entry a step.

        Raises:
            ValueError: the engine is not installed.
            PretrainingError: a task failed; the message names its log.
        """
        self.check()
        quiet_datatrove()
        count = self.tasks if tasks is None else tasks
        engine = self._datatrove_executor(name, steps, folder, count)
        if engine.get_incomplete_ranks() and (jobs := noted_jobs(folder)):
            console().print(f"Slurm job {', '.join(jobs)} was submitted for {folder} before. Waiting for its end.")
            wait_for_jobs(engine, folder)
        if engine.get_incomplete_ranks():
            run = {"local": self._run_local, "slurm": _run_slurm, "ray": _run_ray}[self.kind]
            run(name, engine, folder)
        console().print(f"prepare: {name}")
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

    def _run_local(self, name: str, engine: Any, folder: Path) -> None:
        ranks = engine.get_incomplete_ranks()

        def on_end(rank: int, error: str) -> None:
            if error:
                raise _task_failed(name, folder, rank, error)

        with self.session():
            if self._pool:
                self._pool.run(engine, ranks, folder, on_end)
            else:
                for rank in ranks:
                    on_end(rank, run_task(engine, rank))


def _engine(kind: str) -> Any:
    from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor

    # Of the local one only `_run_for_rank` is used: `run` starts a manager process even for one worker, and a pool for
    # each pass.
    return {"local": LocalPipelineExecutor, "slurm": SlurmPipelineExecutor, "ray": RayPipelineExecutor}[kind]


def _run_slurm(name: str, engine: Any, folder: Path) -> None:
    """Submit, then wait until every task is finished or the job is gone."""
    jobs = submit(engine, folder)
    wait_for_jobs(engine, folder)
    if ranks := engine.get_incomplete_ranks():
        error = f"Slurm job {', '.join(jobs)} ended with {len(ranks)} unfinished tasks"
        raise _task_failed(name, folder, ranks[0], error)


def _run_ray(name: str, engine: Any, folder: Path) -> None:
    import ray  # type: ignore[import-not-found]

    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level="ERROR")
    engine.run()
    if ranks := engine.get_incomplete_ranks():
        raise _task_failed(name, folder, ranks[0], f"Ray ended with {len(ranks)} unfinished tasks")


def _task_failed(name: str, folder: Path, rank: int, error: str) -> PretrainingError:
    log = folder / "logs" / f"task_{rank:05d}.log"
    return PretrainingError(
        f"{name}: task {rank} failed ({error}). Its log is {log}. Run the command again: finished tasks are not repeated."
    )


def _merged_stats(folder: Path, tasks: int) -> Any:
    from datatrove.utils.stats import PipelineStats

    merged = PipelineStats()
    for rank in range(tasks):
        merged += PipelineStats.from_json(json.loads((folder / "stats" / f"{rank:05d}.json").read_text("utf-8")))
    return merged
