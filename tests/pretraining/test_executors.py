"""Passes of tasks: the same result wherever they run, failures that name their log, and Slurm by a stand-in."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datatrove.pipeline.base import PipelineStep
from sagechain.pretraining import PretrainingError
from sagechain.pretraining.data import slurm
from sagechain.pretraining.data.executors import Executor


class Write(PipelineStep):  # type: ignore[misc]
    """Writes a file for its task, which may fail as often as told, or end its process."""

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


@pytest.mark.parametrize("workers", [1, 2])
def test_statistics_are_merged_over_the_tasks(workers: int, tmp_path: Path) -> None:
    stats = Executor(workers=workers).run("numbers", [Write(tmp_path)], tmp_path / "pass", tasks=5)
    assert written(tmp_path) == [f"{rank}.txt" for rank in range(5)]
    assert (stats.stats[0]["written"].total, stats.stats[0]["ranks"].total) == (5, 10)
    assert (str(os.getpid()) in processes(tmp_path)) == (workers == 1)


def test_a_session_keeps_its_workers_between_passes(tmp_path: Path) -> None:
    with Executor(workers=2).session() as executor:
        executor.run("one", [Write(tmp_path)], tmp_path / "one", tasks=1)
        first = processes(tmp_path)
        executor.run("two", [Write(tmp_path)], tmp_path / "two", tasks=1)
        assert processes(tmp_path) == first
    assert not Path(f"/proc/{first.pop()}").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_is_told_as_tasks_finish(workers: int, tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []
    Executor(workers=workers, tasks=3).run(
        "numbers", [Write(tmp_path)], tmp_path / "pass", on_progress=lambda *call: calls.append(call)
    )
    assert calls[0] == ("numbers", 0, 3)
    assert calls[-1] == ("numbers", 3, 3)
    assert [done for _, done, _ in calls] == sorted(done for _, done, _ in calls)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_task_names_its_log_and_only_it_is_run_again(workers: int, tmp_path: Path) -> None:
    executor = Executor(workers=workers, tasks=3)
    with pytest.raises(PretrainingError, match=r"numbers: task 2 failed \(RuntimeError: no luck\)") as caught:
        executor.run("numbers", [Write(tmp_path, failing=2)], tmp_path / "pass")
    log = tmp_path / "pass" / "logs" / "task_00002.log"
    assert str(log) in str(caught.value)
    assert "no luck" in log.read_text()
    kept = {path.name for path in (tmp_path / "pass" / "completions").iterdir()}
    before = processes(tmp_path)
    (tmp_path / "repaired").touch()
    executor.run("numbers", [Write(tmp_path, failing=2)], tmp_path / "pass")
    assert kept
    assert before & processes(tmp_path)
    assert written(tmp_path) == ["0.txt", "1.txt", "2.txt"]


def test_a_worker_that_ends_is_told_with_its_code(tmp_path: Path) -> None:
    with pytest.raises(PretrainingError, match=r"task 1 failed \(the worker process ended with code 3"):
        Executor(workers=2, tasks=2).run("numbers", [Write(tmp_path, ending=1)], tmp_path / "pass")


def test_scripts_need_no_main_guard_and_ctrl_c_ends_the_workers(tmp_path: Path) -> None:
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path\n"
        "from sagechain.pretraining.data.executors import Executor\n"
        "class Wait:\n"
        "    folder = sys.argv[1]\n"
        "    def __call__(self, data, rank, world_size):\n"
        "        import os, time; open(f'{self.folder}/{os.getpid()}.pid', 'w').close(); time.sleep(600)\n"
        "Executor(workers=2).run('wait', [Wait()], Path(Wait.folder) / 'pass', tasks=2)\n"
    )
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(list(tmp_path.glob("*.pid"))) < 2 and process.poll() is None:
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert errors.strip().endswith("KeyboardInterrupt")
    workers = [path.stem for path in tmp_path.glob("*.pid")]
    assert len(workers) == 2
    assert not [worker for worker in workers if Path("/proc", worker).exists()]


def test_unknown_settings_are_value_errors() -> None:
    with pytest.raises(ValueError, match="kind"):
        Executor.model_validate({"kind": "dask"})
    with pytest.raises(ValueError, match="workers"):
        Executor(workers=0)
    with pytest.raises(ValueError, match="the local executor has none"):
        Executor(options={"partition": "cpu"}).check()


@pytest.mark.parametrize(("kind", "remedy"), [("ray", "pip install ray"), ("slurm", "login node")])
def test_an_engine_that_is_not_here_says_what_to_do(kind: Any, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=remedy):
        Executor(kind=kind).check()


PROGRAMS = {
    "sbatch": 'id=$((7 + $(cat submitted | wc -l))); cp "${@: -1}" queue/$id; echo $id >> submitted\n'
    "echo Submitted batch job $id",
    "work": "for job in queue/*; do [ -e $job ] || continue\n"
    "last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' $job); for task in $(seq 0 $last); do\n"
    "SLURM_NODELIST=localhost SLURM_ARRAY_TASK_ID=$task bash $job >/dev/null 2>&1; done; rm $job; done",
    "squeue": "touch asked; [ -e held ] || work; for id in ${3//,/ }; do [ ! -e queue/$id ] || echo $id; done",
    "scancel": "for id; do rm queue/$id; echo $id >> cancelled; done",
    "scontrol": "echo localhost",
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for Slurm's programs: a job is in the queue until it is asked for, and longer while there is `held`."""
    folder = tmp_path / "cluster"
    (folder / "queue").mkdir(parents=True)
    (folder / "submitted").touch()
    for name, text in PROGRAMS.items():
        stand_in(folder, name, text)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.0)
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
    with pytest.raises(PretrainingError, match="job 7 ended with 1 tasks undone"):
        Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path, failing=1)], tmp_path / "pass")


def test_a_queue_that_does_not_answer_for_a_while_is_no_end_of_the_job(cluster: Path, tmp_path: Path) -> None:
    """At the first look the queue is silent and a task undone; at the second the task has been done elsewhere."""
    steps = tmp_path / "pass"
    squeue = (
        f"if [ -e asked ]; then cp {steps}/stats/00000.json {steps}/stats/00001.json; touch {steps}/completions/00001; fi\n"
        "work; touch asked; echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"
    )
    stand_in(cluster, "squeue", squeue)
    stats = Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path, failing=1)], steps)
    assert stats.stats[0]["written"].total == 2


def interrupted_by(error: BaseException, tmp_path: Path, **options: Any) -> None:
    """Run a pass whose driver is ended while its job waits in the queue."""
    calls: list[int] = []

    def interrupt(_: str, done: int, __: int) -> None:
        calls.append(done)
        if len(calls) == 3:  # before the job is submitted, at once after, and at the second look
            raise error

    (tmp_path / "cluster" / "held").touch()
    with pytest.raises(type(error)):
        Executor(kind="slurm", tasks=2, options=SLURM | options).run(
            "numbers", [Write(tmp_path)], tmp_path / "pass", on_progress=interrupt
        )
    (tmp_path / "cluster" / "held").unlink()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143), OSError("a disk is full")])
def test_a_slurm_job_is_cancelled_with_its_driver_and_the_next_call_submits_what_is_left(
    error: BaseException, cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted_by(error, tmp_path)
    assert lines(cluster / "cancelled") == ["7"]
    assert capsys.readouterr().err == "Slurm job 7 is cancelled.\n"
    Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path)], tmp_path / "pass")
    assert lines(cluster / "submitted") == ["7", "8"]
    assert written(tmp_path) == ["0.txt", "1.txt"]


def test_where_a_pass_takes_several_slurm_jobs_all_are_cancelled_and_none_is_left_behind(
    cluster: Path, tmp_path: Path
) -> None:
    interrupted_by(KeyboardInterrupt(), tmp_path, max_array_size=1)
    assert lines(cluster / "submitted") == lines(cluster / "cancelled") == ["7", "8"]


def test_a_slurm_job_that_cannot_be_cancelled_is_named_and_waited_for(
    cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(cluster, "scancel", "echo 'no controller' >&2; exit 1")
    interrupted_by(KeyboardInterrupt(), tmp_path)
    said = "Slurm job 7 could not be cancelled and may go on (no controller). `scancel 7` ends it.\n"
    assert capsys.readouterr().err == said
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
        "from sagechain.pretraining.data.executors import Executor\n"
        "from tests.pretraining.test_executors import SLURM, Write\n"
        "folder = Path(sys.argv[1])\n"
        "Executor(kind='slurm', tasks=2, options=SLURM).run('numbers', [Write(folder)], folder / 'pass')\n"
    )
    (cluster / "held").touch()
    driver = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    while not (cluster / "asked").exists() and driver.poll() is None:
        os.sched_yield()
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    (cluster / "held").unlink()
    Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path)], tmp_path / "pass")
    assert written(tmp_path) == ["0.txt", "1.txt"]
    assert lines(cluster / "submitted") == ["7"]
    said = f"Slurm job 7 was submitted for {tmp_path / 'pass'} before. Waiting for its end.\n"
    assert capsys.readouterr().err == said


@pytest.mark.usefixtures("cluster")
def test_slurm_options_are_checked_before_work() -> None:
    with pytest.raises(ValueError, match="slurm needs time, partition"):
        Executor(kind="slurm").check()
    with pytest.raises(ValueError, match="slurm has no queue"):
        Executor(kind="slurm", options={**SLURM, "queue": "fast"}).check()
