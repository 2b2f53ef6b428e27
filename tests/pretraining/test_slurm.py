"""Slurm, simulated by scripts: jobs are submitted, waited for and cancelled, and never two for one pass."""

import os
import signal
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sagechain.pretraining import PretrainingError
from sagechain.pretraining.data import Executor

from tests.pretraining.steps import Write, processes, written
from tests.processes import start

PROGRAMS = {
    "sbatch": 'id=$((7 + $(cat submitted | wc -l))); cp "${@: -1}" queue/$id; echo $id >> submitted\n'
    "echo Submitted batch job $id",
    "work": "for job in queue/*; do [ -e $job ] || continue\n"
    "last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' $job); for task in $(seq 0 $last); do\n"
    "SLURM_NODELIST=localhost SLURM_ARRAY_TASK_ID=$task bash $job >/dev/null 2>&1; done; rm $job; done",
    "squeue": "touch queried; [ -e busy ] || work; for id in ${3//,/ }; do [ ! -e queue/$id ] || echo $id; done",
    "scancel": "for id; do rm queue/$id; echo $id >> cancelled; done",
    "scontrol": "echo localhost",
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for Slurm's programs: a job runs at the first query of the queue without a file `busy`."""
    folder = tmp_path / "cluster"
    (folder / "queue").mkdir(parents=True)
    (folder / "submitted").touch()
    for name, text in PROGRAMS.items():
        stand_in(folder, name, text)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setattr("sagechain.pretraining.data.executors.slurm.POLL_SECONDS", 0.0)
    return folder


def stand_in(cluster: Path, name: str, text: str) -> None:
    (cluster / name).write_text(f"#!/bin/bash\ncd {cluster}\n{text}\n")
    (cluster / name).chmod(stat.S_IRWXU)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


SLURM = {"partition": "cpu", "time": "01:00:00", "with_srun": False}


@pytest.mark.usefixtures("cluster")
def test_slurm_runs_the_same_steps(tmp_path: Path) -> None:
    stats = Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path)], tmp_path / "pass")
    assert written(tmp_path) == ["0.txt", "1.txt"]
    assert stats.stats[0]["written"].total == 2


@pytest.mark.usefixtures("cluster")
def test_a_slurm_job_that_ends_before_its_tasks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PretrainingError, match="job 7 ended with 1 unfinished tasks"):
        Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path, failing=1)], tmp_path / "pass")


def test_a_queue_that_temporarily_fails_does_not_end_the_wait(cluster: Path, tmp_path: Path) -> None:
    """At the first query the queue is silent and a task unfinished; before the second the task is finished elsewhere."""
    steps = tmp_path / "pass"
    squeue = (
        f"if [ -e queried ]; then cp {steps}/stats/00000.json {steps}/stats/00001.json; touch {steps}/completions/00001\n"
        "fi; work; touch queried; echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"
    )
    stand_in(cluster, "squeue", squeue)
    stats = Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path, failing=1)], steps)
    assert stats.stats[0]["written"].total == 2


def interrupted_by(error: BaseException, tmp_path: Path, **options: Any) -> None:
    """Run a pass whose driver is ended while its job waits in the queue, after the first query."""

    def interrupt(_: float) -> None:
        raise error

    (tmp_path / "cluster" / "busy").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sagechain.pretraining.data.executors.slurm.time", SimpleNamespace(sleep=interrupt))
        executor = Executor(kind="slurm", tasks=2, options=SLURM | options)
        with pytest.raises(type(error)):
            executor.run("numbers", [Write(tmp_path)], tmp_path / "pass")
    (tmp_path / "cluster" / "busy").unlink()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), OSError("a disk is full")])
def test_a_slurm_job_is_cancelled_with_its_driver_and_the_next_call_submits_the_rest(
    error: BaseException, cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_by(error, tmp_path)
    assert lines(cluster / "cancelled") == ["7"]
    assert capsys.readouterr().err == "Slurm job 7 is cancelled.\n"
    Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path)], tmp_path / "pass")
    assert lines(cluster / "submitted") == ["7", "8"]
    assert written(tmp_path) == ["0.txt", "1.txt"]


def test_if_a_pass_needs_several_slurm_jobs_all_are_cancelled(cluster: Path, tmp_path: Path) -> None:
    interrupted_by(KeyboardInterrupt(), tmp_path, max_array_size=1)
    assert lines(cluster / "submitted") == lines(cluster / "cancelled") == ["7", "8"]


def test_a_slurm_job_that_cannot_be_cancelled_is_named_and_waited_for(
    cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(cluster, "scancel", "echo 'no controller' >&2; exit 1")
    interrupted_by(KeyboardInterrupt(), tmp_path)
    message = "Slurm job 7 could not be cancelled and may still run (no controller). `scancel 7` ends it.\n"
    assert capsys.readouterr().err == message
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("PATH", "")
        with pytest.raises(PretrainingError, match=r"job 7 may be at work in .*no `squeue` here.* remove .*slurm_jobs"):
            Executor(workers=1, tasks=2).run("numbers", [Write(tmp_path)], tmp_path / "pass")
    assert written(tmp_path) == []
    Executor(workers=1, tasks=2).run("numbers", [Write(tmp_path)], tmp_path / "pass")
    assert written(tmp_path) == ["0.txt", "1.txt"]
    assert str(os.getpid()) not in processes(tmp_path)


def test_the_job_of_a_driver_that_was_killed_is_waited_for_and_not_submitted_again(
    cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from sagechain.pretraining.data import Executor\n"
        "from tests.pretraining.steps import Write\n"
        "folder = Path(sys.argv[1])\n"
        f"Executor(kind='slurm', tasks=2, options={SLURM}).run('numbers', [Write(folder)], folder / 'pass')\n"
    )
    (cluster / "busy").touch()
    driver = start("-c", script, str(tmp_path))
    while not (cluster / "queried").exists() and driver.poll() is None:
        os.sched_yield()
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    (cluster / "busy").unlink()
    Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path)], tmp_path / "pass")
    assert written(tmp_path) == ["0.txt", "1.txt"]
    assert lines(cluster / "submitted") == ["7"]
    message = f"Slurm job 7 was submitted for {tmp_path / 'pass'} before. Waiting for its end.\nprepare: numbers\n"
    assert capsys.readouterr().err == message


@pytest.mark.usefixtures("cluster")
def test_slurm_options_are_checked_before_work() -> None:
    with pytest.raises(ValueError, match="slurm needs time, partition"):
        Executor(kind="slurm").check()
    with pytest.raises(ValueError, match="slurm has no queue"):
        Executor(kind="slurm", options={**SLURM, "queue": "fast"}).check()
