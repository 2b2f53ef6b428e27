"""A pass's jobs on Slurm: submitted by datatrove, noted in the pass's folder, and cancelled where waiting for them fails.

The note stays until the jobs are gone from the queue. So when a call was killed, the next one finds its jobs and waits for
them: two jobs never write the same files.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ...display import console
from ...errors import PretrainingError

NOTE = "slurm_jobs"  # in the pass's folder: a job's id in each line
POLL_SECONDS = 5.0  # between two looks into the shared folder, each with one `squeue`


def noted_jobs(folder: Path) -> list[str]:
    """The ids of the jobs that may be at work on the pass in `folder`."""
    note = folder / NOTE
    return note.read_text("utf-8").split() if note.exists() else []


def has_noted_jobs(folder: Path) -> bool:
    """Whether jobs may be at work on a pass anywhere below `folder`."""
    return any(folder.rglob(NOTE))


def submit(engine: Any, folder: Path) -> list[str]:
    """Submit the unfinished tasks of a datatrove executor and return the ids of the jobs, which may be several."""
    engine.job_id_retriever = partial(_note_job, engine.job_id_retriever, str(folder / NOTE))
    engine.launch_merge_stats = _no_merge_job
    with _cancel_on_failure(folder):
        engine.run()
    return noted_jobs(folder)


def wait_for_jobs(engine: Any, folder: Path) -> None:
    """Wait until all tasks are finished, or the noted jobs are gone. They are cancelled where an exception ends the wait.

    Raises:
        PretrainingError: there is no `squeue` here.
    """
    if shutil.which("squeue") is None:
        raise PretrainingError(
            f"Slurm job {', '.join(noted_jobs(folder))} may be at work in {folder}, and there is no `squeue` here to find "
            f"out. Continue on a Slurm login node; or make sure that the job has ended, and remove {folder / NOTE}."
        )
    with _cancel_on_failure(folder):
        while engine.get_incomplete_ranks() and not _are_gone(noted_jobs(folder)):
            time.sleep(POLL_SECONDS)
    (folder / NOTE).unlink(missing_ok=True)


def _note_job(parse_id: Callable[[str], str], note: str, output: str) -> str:
    """The id of a job in the output of `sbatch`, written to the note; datatrove calls this once for each job."""
    job = parse_id(output)
    with open(note, "a", encoding="utf-8") as file:
        file.write(f"{job}\n")
    return job


def _no_merge_job() -> None:
    """Replaces datatrove's job that merges statistics: after a failed job it would stay in the queue forever."""


def _are_gone(jobs: list[str]) -> bool:
    command = ["squeue", "--noheader", "--jobs", ",".join(jobs)]
    queue = subprocess.run(command, check=False, capture_output=True, text=True)
    # squeue forgets finished jobs after some minutes; any other failure is the controller's, and temporary.
    return not queue.stdout.strip() and (queue.returncode == 0 or "Invalid job id" in queue.stderr)


@contextmanager
def _cancel_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if jobs := noted_jobs(folder):
            console().print(_cancel(jobs))
        raise


def _cancel(jobs: list[str]) -> str:
    """Cancel the jobs and return the message about it. The note stays: jobs need a while to end."""
    name = f"Slurm job {', '.join(jobs)}"
    try:
        subprocess.run(["scancel", *jobs], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "").strip() or error
        return f"{name} could not be cancelled and may still run ({reason}). `scancel {' '.join(jobs)}` ends it."
    return f"{name} is cancelled."
