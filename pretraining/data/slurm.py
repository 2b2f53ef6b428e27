"""A pass's jobs on Slurm: submitted by datatrove, noted in the pass's folder, waited for, and cancelled with their driver.

The note stays until the jobs are seen to be gone. So the next driver finds those of one that was killed and waits for them:
two jobs never write the same files.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ..display import console
from ..errors import PretrainingError

NOTE = "slurm_jobs"  # in the pass's folder: a job's id in each line
POLL_SECONDS = 5.0  # a look into a shared folder and one `squeue`


def noted_jobs(folder: Path) -> list[str]:
    """The ids of the jobs that may be at work on the pass in `folder`."""
    note = folder / NOTE
    return note.read_text("utf-8").split() if note.exists() else []


def submit(engine: Any, folder: Path) -> list[str]:
    """Submit the undone tasks of a datatrove executor and return the ids of the jobs, which may be several."""
    engine.job_id_retriever = partial(_noted, engine.job_id_retriever, str(folder / NOTE))
    engine.launch_merge_stats = _merge_nothing
    with _cancelled_on_failure(folder):
        engine.run()
    return noted_jobs(folder)


def wait_for_jobs(folder: Path, undone: Callable[[], list[int]]) -> None:
    """Wait until no task is undone, or the noted jobs are gone. They are cancelled where an exception ends the wait.

    Raises:
        PretrainingError: there is no `squeue` here.
    """
    if shutil.which("squeue") is None:
        raise PretrainingError(
            f"Slurm job {', '.join(noted_jobs(folder))} may be at work in {folder}, and there is no `squeue` here to ask. "
            f"Go on where there is one; or see that the job has ended, and remove {folder / NOTE}."
        )
    with _cancelled_on_failure(folder):
        while undone() and not _are_gone(noted_jobs(folder)):
            time.sleep(POLL_SECONDS)
    (folder / NOTE).unlink(missing_ok=True)


def _noted(id_in: Callable[[str], str], note: str, output: str) -> str:
    """datatrove asks for the id in what `sbatch` printed, once for each job."""
    job = id_in(output)
    with open(note, "a", encoding="utf-8") as file:
        file.write(f"{job}\n")
    return job


def _merge_nothing() -> None:
    """In place of datatrove's own job that merges statistics: after a job that failed it would be queued for ever."""


def _are_gone(jobs: list[str]) -> bool:
    command = ["squeue", "--noheader", "--jobs", ",".join(jobs)]
    queue = subprocess.run(command, check=False, capture_output=True, text=True)
    # squeue forgets finished jobs after some minutes; any other failure is its controller's, which comes back.
    return not queue.stdout.strip() and (queue.returncode == 0 or "Invalid job id" in queue.stderr)


@contextmanager
def _cancelled_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        if jobs := noted_jobs(folder):
            console().print(_cancelled(jobs))
        raise


def _cancelled(jobs: list[str]) -> str:
    """Cancel the jobs and say what became of them. The note stays: they may need a while to end."""
    named = f"Slurm job {', '.join(jobs)}"
    try:
        subprocess.run(["scancel", *jobs], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        why = getattr(error, "stderr", "").strip() or error
        return f"{named} could not be cancelled and may go on ({why}). `scancel {' '.join(jobs)}` ends it."
    return f"{named} is cancelled."
