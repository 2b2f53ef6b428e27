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
from sagechain.pretraining import PretrainingError, executors
from sagechain.pretraining.executors import Executor


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
        "from sagechain.pretraining.executors import Executor\n"
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


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for Slurm: `sbatch` runs the tasks of the array one after the other, and nothing is ever queued."""
    sbatch = (
        '#!/bin/bash\nscript="${@: -1}"\nlast=$(sed -n "s/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p" "$script")\n'
        'if grep -q launch_pickled "$script"; then for task in $(seq 0 "$last"); do\n'
        'SLURM_NODELIST=localhost SLURM_ARRAY_TASK_ID=$task bash "$script" >/dev/null 2>&1; done; fi\n'
        "echo Submitted batch job 7\n"
    )
    bin = tmp_path / "bin"
    bin.mkdir()
    for name, text in {"sbatch": sbatch, "squeue": "#!/bin/sh\n", "scontrol": "#!/bin/sh\necho localhost\n"}.items():
        (bin / name).write_text(text)
        (bin / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(bin), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", os.getcwd())


SLURM = {"partition": "cpu", "time": "01:00:00", "with_srun": False}


@pytest.mark.usefixtures("slurm")
def test_slurm_runs_the_same_steps(tmp_path: Path) -> None:
    stats = Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path)], tmp_path / "pass")
    assert written(tmp_path) == ["0.txt", "1.txt"]
    assert stats.stats[0]["written"].total == 2


@pytest.mark.usefixtures("slurm")
def test_a_slurm_job_that_ends_before_its_tasks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PretrainingError, match="job 7 ended with 1 tasks undone"):
        Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path, failing=1)], tmp_path / "pass")


@pytest.mark.usefixtures("slurm")
def test_a_queue_that_does_not_answer_for_a_while_is_no_end_of_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first look the queue is silent and a task undone; at the second the task has been done elsewhere."""
    monkeypatch.setattr(executors, "SLURM_POLL_SECONDS", 0.0)
    steps, seen = tmp_path / "pass", tmp_path / "seen"
    squeue = (
        f"#!/bin/sh\nif [ -e {seen} ]; then cp {steps}/stats/00000.json {steps}/stats/00001.json\n"
        f"touch {steps}/completions/00001; fi; touch {seen}\n"
        "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n"
    )
    (tmp_path / "bin" / "squeue").write_text(squeue)
    stats = Executor(kind="slurm", tasks=2, options=SLURM).run("numbers", [Write(tmp_path, failing=1)], steps)
    assert stats.stats[0]["written"].total == 2


@pytest.mark.usefixtures("slurm")
def test_slurm_options_are_checked_before_work() -> None:
    with pytest.raises(ValueError, match="slurm needs time, partition"):
        Executor(kind="slurm").check()
    with pytest.raises(ValueError, match="slurm has no queue"):
        Executor(kind="slurm", options={**SLURM, "queue": "fast"}).check()
