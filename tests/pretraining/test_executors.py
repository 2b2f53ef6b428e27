"""Passes of tasks: the same result wherever they run, and errors that name the task's log. Slurm: `test_slurm.py`."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from sagechain.pretraining import PretrainingError
from sagechain.pretraining.data import Executor

from tests.pretraining.steps import Write, processes, written
from tests.processes import start


@pytest.mark.parametrize("workers", [1, 2])
def test_statistics_are_merged_over_the_tasks_and_the_end_is_reported(
    workers: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stats = Executor(workers=workers).run("numbers", [Write(tmp_path)], tmp_path / "pass", tasks=5)
    assert written(tmp_path) == [f"{rank}.txt" for rank in range(5)]
    assert (stats.stats[0]["written"].total, stats.stats[0]["ranks"].total) == (5, 10)
    assert (str(os.getpid()) in processes(tmp_path)) == (workers == 1)
    assert capsys.readouterr().err == "prepare: numbers\n"


def test_a_session_reuses_its_workers_for_all_passes(tmp_path: Path) -> None:
    with Executor(workers=2).session() as executor:
        executor.run("one", [Write(tmp_path)], tmp_path / "one", tasks=1)
        first = processes(tmp_path)
        executor.run("two", [Write(tmp_path)], tmp_path / "two", tasks=1)
        assert processes(tmp_path) == first
    assert not Path(f"/proc/{first.pop()}").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_task_names_its_log_and_only_it_is_run_again(workers: int, tmp_path: Path) -> None:
    executor = Executor(workers=workers, tasks=3)
    with pytest.raises(PretrainingError, match=r"numbers: task 2 failed \(RuntimeError: no luck\)") as caught:
        executor.run("numbers", [Write(tmp_path, failing=2)], tmp_path / "pass")
    log = tmp_path / "pass" / "logs" / "task_00002.log"
    assert str(log) in str(caught.value)
    assert "no luck" in log.read_text()
    assert any((tmp_path / "pass" / "completions").iterdir())
    before = processes(tmp_path)
    (tmp_path / "repaired").touch()
    executor.run("numbers", [Write(tmp_path, failing=2)], tmp_path / "pass")
    assert before & processes(tmp_path)
    assert written(tmp_path) == ["0.txt", "1.txt", "2.txt"]


def test_the_error_for_a_worker_that_died_names_its_exit_code(tmp_path: Path) -> None:
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
    process = start(str(tmp_path / "script.py"), str(tmp_path))
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
def test_the_error_for_a_missing_engine_names_the_remedy(
    kind: Any, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match=remedy):
        Executor(kind=kind).check()
