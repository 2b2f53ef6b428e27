"""Training in two processes of a launcher."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sagechain.pretraining import folder_lock, train

from tests.pretraining.conftest import TINY
from tests.pretraining.training_runs import (
    SCRIPT,
    TOKENS,
    kill_all,
    last_step,
    losses,
    manifest,
    start_launcher,
    wait_for_checkpoint,
)

if TYPE_CHECKING:
    pass

EXACT_TOKENS = 20_480


@pytest.fixture(scope="module")
def exact_losses(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The curve of one process without accumulation, in fp32."""
    run = tmp_path_factory.mktemp("exact") / "run"
    return losses(train(data, run, tokens=EXACT_TOKENS, precision="fp32", **TINY))


@pytest.fixture(scope="module")
def two_ranks(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two processes without an interruption."""
    folder = tmp_path_factory.mktemp("ranks")
    process = start_launcher(data, folder / "run", EXACT_TOKENS, *two_processes(folder), precision="fp32")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return folder / "run"


def test_gradients_accumulated_in_two_halves_have_the_same_curve(
    data: Path, exact_losses: list[float], tmp_path: Path
) -> None:
    halves = train(data, tmp_path / "run", tokens=EXACT_TOKENS, precision="fp32", device_batch=2, **TINY)
    assert losses(halves) == pytest.approx(exact_losses, rel=1e-3)


def two_processes(folder: Path, script: str = SCRIPT) -> tuple[str, ...]:
    """The launcher of a script in two processes."""
    (folder / "script.py").write_text(script)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    return (*launcher, str(folder / "script.py"))


def test_two_processes_share_each_step_and_have_the_curve_of_one(exact_losses: list[float], two_ranks: Path) -> None:
    assert losses(two_ranks) == pytest.approx(exact_losses, rel=1e-3)


@pytest.mark.timeout(1200)
def test_two_processes_killed_with_or_after_their_launcher_end_with_the_weights_of_an_uninterrupted_run(
    data: Path, two_ranks: Path, tmp_path: Path
) -> None:
    killed = []
    for kill in (kill_all, subprocess.Popen.kill):
        process = start_launcher(data, tmp_path / "run", EXACT_TOKENS, *two_processes(tmp_path), precision="fp32")
        wait_for_checkpoint(tmp_path / "run", last_step(tmp_path / "run"), process)
        kill(process)
        killed.append(process)
    process = start_launcher(data, tmp_path / "run", EXACT_TOKENS, *two_processes(tmp_path), precision="fp32")
    ends = [each.communicate()[1] for each in killed]
    assert ["with a checkpoint" in errors for errors in ends] == [False, True], ends[1]
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    own_lines = [line for line in errors.splitlines() if not line.startswith("*****") and "OMP_NUM_THREADS" not in line]
    assert [
        line for line in own_lines if line and not line.startswith(("train: ", "training "))
    ] == []  # no library's warning
    assert len(manifest(tmp_path / "run")["resumed_at_tokens"]) == 2
    assert manifest(tmp_path / "run")["weights_sha256"] == manifest(two_ranks)["weights_sha256"]


def test_all_processes_look_for_a_checkpoint_after_the_first_has_locked_the_folder(
    data: Path, two_ranks: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with folder_lock.lock_folder(run):
        process = start_launcher(data, run, EXACT_TOKENS, *two_processes(tmp_path), precision="fp32")
        assert process.stderr
        assert any("Another process works in" in line for line in process.stderr)
        shutil.copytree(two_ranks / "checkpoints", run / "checkpoints")
        (run / "manifest.json").write_text(json.dumps(manifest(two_ranks) | {"done": False}))
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert manifest(run)["resumed_at_tokens"] == [EXACT_TOKENS]
    assert manifest(run)["weights_sha256"] == manifest(two_ranks)["weights_sha256"]


SIGTERM_TO_THE_SECOND = """
import signal
from sagechain.pretraining.training import loop
real = loop.BlockTrainer.training_step
def step(self, *given, **named):
    if self.args.process_index == 1 and self.state.global_step == 5:
        signal.raise_signal(signal.SIGTERM)
    return real(self, *given, **named)
loop.BlockTrainer.training_step = step
"""


def test_preemption_of_one_process_stops_all_with_a_checkpoint(data: Path, tmp_path: Path) -> None:
    process = start_launcher(data, tmp_path / "run", TOKENS, *two_processes(tmp_path, SIGTERM_TO_THE_SECOND + SCRIPT))
    _, errors = process.communicate()
    assert "Stopped at 768 tokens, with a checkpoint." in errors
    assert last_step(tmp_path / "run") == 6


def test_processes_that_do_not_share_the_runs_folder_are_an_error(data: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run-0")
    (tmp_path / "run-0" / "manifest.json").write_text(json.dumps(manifest(finished) | {"done": False}))
    own_folders = SCRIPT.replace("sys.argv[2]", "sys.argv[2] + '-' + os.environ['RANK']").replace("sys,", "os, sys,")
    process = start_launcher(data, tmp_path / "run", TOKENS, *two_processes(tmp_path, own_folders))
    _, errors = process.communicate()
    assert process.returncode != 0
    assert "it must be a folder that all machines share" in errors
