"""Training that is interrupted: exact resumes, complete checkpoints, clear errors."""

import errno
import fcntl
import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from sagechain.pretraining import PretrainingError, folder_lock, train
from sagechain.pretraining.training import train as train_module
from transformers import GPT2LMHeadModel

from tests.pretraining.conftest import TINY, BeforeStep
from tests.pretraining.training_runs import (
    TOKENS,
    history,
    last_step,
    manifest,
    start_training,
    wait_for_checkpoint,
)

if TYPE_CHECKING:
    from sagechain.pretraining.training.loop import BlockTrainer


def test_a_resumed_run_retains_its_precision(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sagechain.pretraining.training import precision

    process = start_training(data, tmp_path / "run", 20_480)
    wait_for_checkpoint(tmp_path / "run", 0, process)
    process.kill()
    process.communicate()
    before = manifest(tmp_path / "run")["precision"]
    other = "fp32" if before == "bf16" else "bf16"
    monkeypatch.setattr(precision, "faster_precision", lambda kind: other)
    train(data, tmp_path / "run", tokens=20_480, **TINY)
    assert manifest(tmp_path / "run")["precision"] == before
    assert manifest(train(data, tmp_path / "new", tokens=128, **TINY))["precision"] == other


def test_a_run_killed_three_times_ends_with_the_weights_of_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    tokens = 20_480
    drawn: dict[str, Any] = {"dropout": 0.1}  # as the published presets have it
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(data, whole, tokens=tokens, **TINY, **drawn)
    drawn["precision"] = manifest(whole)["precision"]  # each process measures which one is faster
    for _ in range(3):
        process = start_training(data, killed, tokens, **drawn)
        wait_for_checkpoint(killed, last_step(killed), process)
        process.kill()
        process.communicate()
    process = start_training(data, killed, tokens, **drawn)
    process.communicate()
    assert process.returncode == 0
    assert len(manifest(killed)["resumed_at_tokens"]) == 3
    assert manifest(killed)["weights_sha256"] == manifest(whole)["weights_sha256"]
    assert [entry.get("loss") for entry in history(killed)] == [entry.get("loss") for entry in history(whole)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_preemption_leave_a_checkpoint_and_explain_how_to_resume(
    number: signal.Signals, data: Path, tmp_path: Path
) -> None:
    process = start_training(data, tmp_path / "run", 1_000_000)
    wait_for_checkpoint(tmp_path / "run", 0, process)
    process.send_signal(number)
    _, errors = process.communicate()
    stopped = manifest(tmp_path / "run")
    assert "Stopped at " in errors
    assert "The same command resumes from there." in errors
    assert not stopped["done"]
    assert last_step(tmp_path / "run") * 128 == int(errors.split("Stopped at ")[1].split(" tokens")[0].replace(",", ""))


def test_a_second_ctrl_c_ends_a_run_immediately_and_it_resumes_from_its_last_checkpoint(
    data: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_step: BeforeStep,
    frequent_checkpoints: None,
) -> None:

    run = tmp_path / "run"

    def step(trainer: "BlockTrainer") -> None:
        if trainer.state.global_step == 20:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    before_step(step)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(data, run, tokens=TOKENS, **TINY)
    finally:
        signal.signal(signal.SIGINT, before)
    assert 0 < last_step(run) <= 20
    monkeypatch.undo()
    train(data, run, tokens=TOKENS, **TINY)
    assert manifest(run)["weights_sha256"] == manifest(finished)["weights_sha256"]


@pytest.mark.parametrize("apart", [0.0, 1.1])
def test_sigterms_within_a_second_are_one_request_and_a_later_one_ends_a_run_immediately(
    apart: float, data: Path, tmp_path: Path, before_step: BeforeStep, capsys: pytest.CaptureFixture[str]
) -> None:

    def step(trainer: "BlockTrainer") -> None:
        if trainer.state.global_step == 2:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(apart)
            signal.raise_signal(signal.SIGTERM)

    def at_once(*_: Any) -> None:
        raise SystemExit("at once")

    before_step(step)
    before = signal.signal(signal.SIGTERM, at_once)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)) as ended:
            train(data, tmp_path / "run", tokens=TOKENS, **TINY)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (ended.type, last_step(tmp_path / "run")) == ((SystemExit, 0) if apart else (KeyboardInterrupt, 3))
    assert ("Stopped at 384 tokens, with a checkpoint." in capsys.readouterr().err) == (not apart)


def test_a_run_killed_before_it_had_a_manifest_starts_again(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.partial").write_text('{"stage": "tr')
    assert manifest(train(data, tmp_path / "run", tokens=128, **TINY))["done"]


def test_a_folder_where_another_process_trains_is_not_changed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(folder_lock, "WAIT_SECONDS", 0.1)
    run = tmp_path / "run"
    with (
        folder_lock.lock_folder(run),
        pytest.raises(PretrainingError, match=r"another process works in .*run .* Wait for its end, or end it"),
    ):
        train(data, run, tokens=128, **TINY)
    assert [path.name for path in run.iterdir()] == ["manifest.lock"]
    assert f"Another process works in {run}. Waiting" in capsys.readouterr().err
    assert manifest(train(data, run, tokens=128, **TINY))["done"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK])
def test_a_file_system_without_locks_is_reported_and_used(
    number: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def flock(file: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    run = train(data, tmp_path / "run[1]", tokens=128, **TINY)
    assert manifest(run)["done"]
    assert (
        f"The file system of {run} has no locks: make sure that no other process works in it."
        in capsys.readouterr().err
    )


def test_a_run_that_another_process_finishes_meanwhile_is_not_run_again(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def waited(folder: Path) -> AbstractContextManager[None]:
        shutil.copytree(finished, folder)
        return folder_lock.lock_folder(folder)

    monkeypatch.setattr(train_module, "lock_folder", waited)
    before = manifest(finished)
    assert manifest(train(data, run, tokens=TOKENS, **TINY)) == before


def test_a_full_disk_leaves_the_last_checkpoint_complete(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frequent_checkpoints: None
) -> None:
    from sagechain.pretraining.training import checkpoints, loop

    run, limits = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    real = checkpoints.publish

    def publish(partial: Path, folder: Path, *, keep: int) -> None:
        real(partial, folder, keep=keep)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # from now on no file may grow beyond

    monkeypatch.setattr(loop, "publish", publish)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(
            PretrainingError, match=r"cannot be written in .* The previous checkpoint is complete; make"
        ):
            train(data, run, tokens=TOKENS, **TINY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    monkeypatch.undo()
    train(data, run, tokens=TOKENS, **TINY)
    assert manifest(run)["done"]


def test_the_error_for_full_memory_names_remedies_with_which_the_run_resumes(
    data: Path, tmp_path: Path, before_step: BeforeStep, frequent_checkpoints: None
) -> None:

    run = tmp_path / "run"

    def step(trainer: "BlockTrainer") -> None:
        if trainer.state.global_step == 20 and trainer.device_batch == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    before_step(step)
    with pytest.raises(PretrainingError) as raised:
        train(data, run, tokens=TOKENS, **TINY)
    assert str(raised.value) == (
        "memory ran out with device_batch=4: CUDA out of memory. Tried to allocate 2.00 GiB. Give the same command with a "
        "smaller one (-p device_batch=…) or with -p activation_checkpointing=true, and the run resumes from its last "
        "checkpoint; or take a smaller shape (width, layers, context) in another folder. `sagechain pretrain plan` shows "
        "what fits."
    )
    train(data, run, tokens=TOKENS, device_batch=2, **TINY)
    assert (manifest(run)["done"], len(manifest(run)["resumed_at_tokens"])) == (True, 1)


def test_another_error_is_raised_unchanged(data: Path, tmp_path: Path, before_step: BeforeStep) -> None:

    fault = RuntimeError("expected scalar type Float but found BFloat16")

    def step(trainer: "BlockTrainer") -> None:
        raise fault

    before_step(step)
    with pytest.raises(RuntimeError) as raised:
        train(data, tmp_path / "run", tokens=128, **TINY)
    assert raised.value is fault


def test_a_checkpoint_is_renamed_after_all_of_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training.checkpoints import publish

    partial, folder = tmp_path / "partial", tmp_path / "checkpoints" / "step-00000001"
    partial.mkdir()
    (partial / "weights").write_text("1")
    synced: list[tuple[str, bool]] = []
    read_only: list[str] = []

    def sync(file: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            read_only.append(Path(f"/proc/self/fd/{file}").resolve().name)
        synced.append((Path(f"/proc/self/fd/{file}").resolve().name, folder.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    publish(partial, folder, keep=1)
    assert sorted(synced[:-1]) == [("files.json", False), ("partial", False), ("weights", False)]
    assert synced[-1] == ("checkpoints", True)
    assert read_only == ["partial", "checkpoints"]  # folders; Windows syncs a file only by a handle that may write


def test_the_error_for_a_damaged_checkpoint_names_it_and_the_remedy(data: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "model")
    result = manifest(run) | {"done": False}
    (run / "manifest.json").write_text(json.dumps(result))
    weights = run / "checkpoints" / "step-00000040" / "optimizer.pt"
    os.truncate(weights, weights.stat().st_size // 2)
    with pytest.raises(
        PretrainingError, match=r"step-00000040 is broken: optimizer.pt is missing or incomplete. Delete that"
    ):
        train(data, run, tokens=TOKENS, **TINY)


def test_a_run_killed_after_its_last_step_ends_with_the_same_weights(
    data: Path, finished: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "model")
    (run / "manifest.json").write_text(json.dumps(manifest(run) | {"done": False}))
    train(data, run, tokens=TOKENS, **TINY)
    assert manifest(run)["weights_sha256"] == manifest(finished)["weights_sha256"]
    assert manifest(run)["val_bits_per_byte"] == manifest(finished)["val_bits_per_byte"]
    speeds = [entry["tokens_per_second"] for entry in history(finished) if "tokens_per_second" in entry]
    assert manifest(run)["tokens_per_second"] == speeds[-1]


@pytest.mark.parametrize(
    ("error", "caught", "what"),
    [
        (
            OSError(28, "No space left on device"),
            PretrainingError,
            "the model at step 2 cannot be written in .* make room",
        ),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_run_stopped_after_training_repeats_no_step(
    error: BaseException,
    caught: type[BaseException],
    what: str | None,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = GPT2LMHeadModel.save_pretrained

    def save(self: GPT2LMHeadModel, folder: str | Path, **named: Any) -> None:
        if Path(folder).name == "model.partial":
            raise error
        real(self, folder, **named)

    monkeypatch.setattr(GPT2LMHeadModel, "save_pretrained", save)
    with pytest.raises(caught, match=what):
        train(data, tmp_path / "run", tokens=256, **TINY)
    if caught is KeyboardInterrupt:
        assert "Stopped after training" in capsys.readouterr().err
    monkeypatch.undo()
    train(data, tmp_path / "run", tokens=256, **TINY)
    assert manifest(tmp_path / "run")["resumed_at_tokens"] == [256]
    assert manifest(tmp_path / "run")["done"]


def test_a_changed_setting_on_resume_is_refused_by_its_name(finished: Path, data: Path) -> None:
    with pytest.raises(
        ValueError, match=r"width: the run in .* was started with other settings: width=64 \(the run has 32\)"
    ):
        train(data, finished, tokens=TOKENS, **(TINY | {"width": 64}))


def test_a_run_resumes_with_another_device_batch_and_learns_the_same(
    data: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before_step: BeforeStep,
    frequent_checkpoints: None,
) -> None:

    run = tmp_path / "run"

    def step(trainer: "BlockTrainer") -> None:
        if trainer.state.global_step == 20:
            raise SystemExit

    before_step(step)
    with pytest.raises(SystemExit):
        train(data, run, tokens=TOKENS, **TINY)
    monkeypatch.undo()
    changed: dict[str, Any] = {"device_batch": 2, "activation_checkpointing": True, "keep": 1}
    train(data, run, tokens=TOKENS, **TINY, **changed)
    result = manifest(run)
    assert {name: result["settings"][name] for name in changed} == changed
    assert (result["done"], len(result["resumed_at_tokens"])) == (True, 1)
    assert result["val_bits_per_byte"] == pytest.approx(manifest(finished)["val_bits_per_byte"], rel=1e-3)
    train(data, run, tokens=TOKENS, **TINY)
    assert manifest(run) == result


def test_other_data_on_resume_is_refused(finished: Path, tmp_path: Path, write_other_data: Callable[..., Path]) -> None:
    other = write_other_data(tmp_path / "data", documents=40)
    with pytest.raises(ValueError, match="was started with other settings: other data"):
        train(other, finished, tokens=TOKENS, **TINY)
