"""Training: exact resumes, whole checkpoints, clear ends."""

import contextlib
import errno
import fcntl
import json
import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from sagechain.pretraining import Diverged, PretrainingError, folder_lock, train
from sagechain.pretraining.training import train as training
from transformers import AutoTokenizer, GPT2LMHeadModel

from tests.pretraining.conftest import TINY

TOKENS = 5_120


def manifest(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return found


def history(run: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run / "history.json").read_text())
    return found


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(data, tmp_path_factory.mktemp("runs") / "run", tokens=TOKENS, **TINY)


def test_a_run_leaves_an_ordinary_checkpoint_and_its_figures(finished: Path, data: Path) -> None:
    model = GPT2LMHeadModel.from_pretrained(finished / "model")
    tokenizer = AutoTokenizer.from_pretrained(finished / "model")
    kept = manifest(finished)
    assert (model.config.n_layer, model.config.n_embd, model.config.n_positions) == (1, 32, 32)
    assert len(tokenizer) == model.config.vocab_size == 400
    assert (kept["done"], kept["tokens"], kept["steps"], kept["resumed_at_tokens"]) == (True, TOKENS, 40, [])
    assert kept["weights_sha256"] == sha256((finished / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert kept["parameters"] == model.num_parameters()


def test_the_loss_falls_and_the_last_judgement_is_the_manifests(finished: Path) -> None:
    entries = history(finished)
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    assert losses[0] < math.log(400)  # the embeddings know who stands beside whom
    assert losses[-1] < losses[0] - 1.2
    assert entries[-1]["val_bits_per_byte"] == manifest(finished)["val_bits_per_byte"]
    assert [entry["tokens"] for entry in entries if "val_accuracy" in entry] == [1_792, 3_456, TOKENS]


def test_a_run_from_random_weights_begins_at_chance(data: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "run", tokens=128, embeddings="random", **TINY)
    assert history(run)[0]["loss"] == pytest.approx(math.log(400), abs=0.3)


def test_blocks_begin_at_the_deviation_that_is_set_and_embeddings_at_gpt2s() -> None:
    from sagechain.pretraining.training.model import ModelShape, new_model

    shape = ModelShape(vocabulary=400, context=128, layers=2, width=64, heads=2)
    weights = dict(new_model(shape, end_of_text=0, seed=0, deviation=0.04).transformer.named_parameters())
    deviations = {"wte": 0.02, "wpe": 0.02, "h.1.attn.c_attn": 0.04, "h.1.mlp.c_proj": 0.04 / math.sqrt(4)}
    found = {name: float(weights[f"{name}.weight"].detach().std()) for name in deviations}
    assert found == pytest.approx(deviations, rel=0.03)


def test_a_judgement_equals_the_loss_of_the_model_asked_directly(finished: Path, data: Path) -> None:
    from sagechain.pretraining.data.tokens import Blocks, TokenArray
    from sagechain.pretraining.training.evaluate import evaluate

    model = GPT2LMHeadModel.from_pretrained(finished / "model", dtype=torch.float32)
    row = TokenArray(data / "tokens", "validation", 400)
    ids = torch.from_numpy(row[0:33])[None]
    logits = model(input_ids=ids[:, :-1]).logits
    expected = float(torch.nn.functional.cross_entropy(logits[0], ids[0, 1:]).detach())
    assert evaluate(model, Blocks(row, 32), [0]).loss == pytest.approx(expected, rel=0.02)  # bf16 where there is


def test_a_run_keeps_the_precision_that_it_began_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import stages as running

    process = started(data, tmp_path / "run", 20_480)
    wait_for_checkpoint(tmp_path / "run", 0, process)
    process.kill()
    process.communicate()
    before = manifest(tmp_path / "run")["precision"]
    other = "fp32" if before == "bf16" else "bf16"
    monkeypatch.setattr(running, "faster_precision", lambda kind: other)
    train(data, tmp_path / "run", tokens=20_480, **TINY)
    assert manifest(tmp_path / "run")["precision"] == before
    assert manifest(train(data, tmp_path / "anew", tokens=128, **TINY))["precision"] == other


def test_a_model_that_is_not_the_presets_is_told(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(data, tmp_path / "run", preset="codeparrot-small", tokens=128, **TINY)
    assert (
        "train: 26,592 weights, context 32, vocabulary 400 (preset codeparrot-small: vocabulary=32768, context=1024, "
        "layers=12, width=768, heads=12)\n"
    ) in capsys.readouterr().err


def test_a_finished_run_is_not_run_again(finished: Path, data: Path) -> None:
    before = (finished / "manifest.json").stat().st_mtime_ns
    train(data, finished, tokens=TOKENS, **TINY)
    assert (finished / "manifest.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_finished_run_whose_model_is_lost_or_cut_makes_it_again_without_a_step(
    finished: Path, data: Path, tmp_path: Path, is_cut: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    weights = run / "model" / "model.safetensors"
    os.truncate(weights, 1000) if is_cut else shutil.rmtree(run / "model")
    train(data, run, tokens=TOKENS, **TINY)
    assert f"train: {weights} is not as training left it, and is made again\n" in capsys.readouterr().err
    assert weights.read_bytes() == (finished / "model" / "model.safetensors").read_bytes()
    assert history(run)[:-1] == history(finished)[:-1]


def test_whoever_may_read_the_models_settings_may_read_its_weights(finished: Path) -> None:
    assert len({(finished / "model" / name).stat().st_mode for name in ("config.json", "model.safetensors")}) == 1


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    data: Path, finished: Path, tmp_path: Path
) -> None:
    train(data, tmp_path / "same", tokens=TOKENS, **TINY)
    train(data, tmp_path / "other", tokens=TOKENS, seed=1, **TINY)
    assert manifest(tmp_path / "same")["weights_sha256"] == manifest(finished)["weights_sha256"]
    assert manifest(tmp_path / "other")["weights_sha256"] != manifest(finished)["weights_sha256"]


SCRIPT = """
import sys, json
from sagechain.pretraining.training import schedule as pacing
pacing.CHECKPOINT_SECONDS = 0.0
from sagechain.pretraining import train
train(sys.argv[1], sys.argv[2], tokens=int(sys.argv[3]), **json.loads(sys.argv[4]))
"""


def started(data: Path, run: Path, tokens: int, *launcher: str, **settings: Any) -> subprocess.Popen[str]:
    # A shell that starts tests in the background leaves Ctrl-C ignored to its children.
    return subprocess.Popen(
        [*(launcher or [sys.executable, "-c", SCRIPT]), str(data), str(run), str(tokens), json.dumps(TINY | settings)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


def kill_all(process: "subprocess.Popen[str]") -> None:
    """A launcher and all that it started."""
    for each in (*psutil.Process(process.pid).children(recursive=True), process):
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()


def wait_for_checkpoint(run: Path, after: int, process: subprocess.Popen[str]) -> None:
    """Until a checkpoint beyond that step is there, or the process has ended."""
    while process.poll() is None:
        if any(int(folder.name[5:]) > after for folder in (run / "checkpoints").glob("step-*")):
            return
        time.sleep(0.01)


def last_step(run: Path) -> int:
    return max((int(folder.name[5:]) for folder in (run / "checkpoints").glob("step-*")), default=0)


def test_a_run_killed_three_times_ends_with_the_weights_of_one_never_stopped(data: Path, tmp_path: Path) -> None:
    tokens = 20_480
    drawn: dict[str, Any] = {"dropout": 0.1}  # as the published presets have it
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train(data, whole, tokens=tokens, **TINY, **drawn)
    drawn["precision"] = manifest(whole)["precision"]  # each process measures anew which is faster
    for _ in range(3):
        process = started(data, killed, tokens, **drawn)
        wait_for_checkpoint(killed, last_step(killed), process)
        process.kill()
        process.communicate()
    process = started(data, killed, tokens, **drawn)
    process.communicate()
    assert process.returncode == 0
    assert len(manifest(killed)["resumed_at_tokens"]) == 3
    assert manifest(killed)["weights_sha256"] == manifest(whole)["weights_sha256"]
    assert [entry.get("loss") for entry in history(killed)] == [entry.get("loss") for entry in history(whole)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_preemption_leave_a_checkpoint_and_say_how_to_go_on(
    number: signal.Signals, data: Path, tmp_path: Path
) -> None:
    process = started(data, tmp_path / "run", 1_000_000)
    wait_for_checkpoint(tmp_path / "run", 0, process)
    process.send_signal(number)
    _, said = process.communicate()
    stopped = manifest(tmp_path / "run")
    assert "Stopped at " in said
    assert "The same command goes on from there." in said
    assert not stopped["done"]
    assert last_step(tmp_path / "run") * 128 == int(said.split("Stopped at ")[1].split(" tokens")[0].replace(",", ""))


def test_a_second_ctrl_c_ends_a_run_at_once_and_it_goes_on_from_its_last_checkpoint(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import loop as trainer
    from sagechain.pretraining.training import schedule as pacing

    real, run = trainer.BlockTrainer.training_step, tmp_path / "run"

    def step(self: trainer.BlockTrainer, *given: Any, **named: Any) -> Any:
        if self.state.global_step == 20:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return real(self, *given, **named)

    monkeypatch.setattr(pacing, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(trainer.BlockTrainer, "training_step", step)
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
def test_sigterms_of_one_second_are_one_wish_and_a_later_one_ends_a_run_at_once(
    apart: float, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sagechain.pretraining.training import loop as trainer

    real = trainer.BlockTrainer.training_step

    def step(self: trainer.BlockTrainer, *given: Any, **named: Any) -> Any:
        if self.state.global_step == 2:
            signal.raise_signal(signal.SIGTERM)
            time.sleep(apart)
            signal.raise_signal(signal.SIGTERM)
        return real(self, *given, **named)

    def at_once(*_: Any) -> None:
        raise SystemExit("at once")

    monkeypatch.setattr(trainer.BlockTrainer, "training_step", step)
    before = signal.signal(signal.SIGTERM, at_once)
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)) as ended:
            train(data, tmp_path / "run", tokens=TOKENS, **TINY)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (ended.type, last_step(tmp_path / "run")) == ((SystemExit, 0) if apart else (KeyboardInterrupt, 3))
    assert ("Stopped at 384 tokens, with a checkpoint." in capsys.readouterr().err) == (not apart)


def test_a_run_killed_before_its_manifest_was_there_begins_again(data: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "manifest.partial").write_text('{"stage": "tr')
    assert manifest(train(data, tmp_path / "run", tokens=128, **TINY))["done"]


def test_a_step_that_is_not_a_number_stops_with_the_step_and_its_blocks(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import loop as trainer
    from sagechain.pretraining.training import model

    real, steps = model.losses, iter(range(100))
    monkeypatch.setattr(trainer, "losses", lambda *given: real(*given) * (math.nan if next(steps) == 6 else 1))
    with pytest.raises(Diverged, match=r"diverged at step 7 \(896 tokens\).* read the blocks \[\d+, \d+, \d+, \d+\]"):
        train(data, tmp_path / "run", tokens=TOKENS, **TINY)


def test_a_folder_where_another_process_trains_is_left_alone(
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
def test_a_file_system_without_locks_is_told_and_trained_on(
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


def test_a_run_that_another_process_ends_meanwhile_is_not_run_again(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def waited(folder: Path) -> AbstractContextManager[None]:
        shutil.copytree(finished, folder)
        return folder_lock.lock_folder(folder)

    monkeypatch.setattr(training, "lock_folder", waited)
    before = manifest(finished)
    assert manifest(train(data, run, tokens=TOKENS, **TINY)) == before


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import checkpoints
    from sagechain.pretraining.training import loop as trainer
    from sagechain.pretraining.training import schedule as pacing

    monkeypatch.setattr(pacing, "CHECKPOINT_SECONDS", 0.0)
    run, limits = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)
    real = checkpoints.publish

    def publish(partial: Path, folder: Path, *, keep: int) -> None:
        real(partial, folder, keep=keep)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # from now on no file may grow beyond

    monkeypatch.setattr(trainer, "publish", publish)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(PretrainingError, match=r"cannot be written in .* The checkpoint before is whole; make"):
            train(data, run, tokens=TOKENS, **TINY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    monkeypatch.undo()
    train(data, run, tokens=TOKENS, **TINY)
    assert manifest(run)["done"]


def test_memory_that_runs_out_is_told_with_what_helps_and_the_run_goes_on_by_that(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import loop as trainer
    from sagechain.pretraining.training import schedule as pacing

    real, run = trainer.BlockTrainer.training_step, tmp_path / "run"

    def step(self: trainer.BlockTrainer, *given: Any, **named: Any) -> Any:
        if self.state.global_step == 20 and self.device_batch == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(self, *given, **named)

    monkeypatch.setattr(pacing, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(trainer.BlockTrainer, "training_step", step)
    with pytest.raises(PretrainingError) as told:
        train(data, run, tokens=TOKENS, **TINY)
    assert str(told.value) == (
        "memory ran out with device_batch=4: CUDA out of memory. Tried to allocate 2.00 GiB. Give the same command with a "
        "smaller one (-p device_batch=…) or with -p activation_checkpointing=true, and the run resumes from its last "
        "checkpoint; or take a smaller shape (width, layers, context) in another folder. `sagechain pretrain plan` shows "
        "what fits."
    )
    train(data, run, tokens=TOKENS, device_batch=2, **TINY)
    assert (manifest(run)["done"], len(manifest(run)["resumed_at_tokens"])) == (True, 1)


def test_a_fault_that_is_not_of_memory_is_raised_as_it_is(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import loop as trainer

    fault = RuntimeError("expected scalar type Float but found BFloat16")

    def step(*_: Any, **__: Any) -> Any:
        raise fault

    monkeypatch.setattr(trainer.BlockTrainer, "training_step", step)
    with pytest.raises(RuntimeError) as raised:
        train(data, tmp_path / "run", tokens=128, **TINY)
    assert raised.value is fault


def test_a_checkpoint_has_its_name_only_when_all_of_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training.checkpoints import publish

    partial, folder = tmp_path / "partial", tmp_path / "checkpoints" / "step-00000001"
    partial.mkdir()
    (partial / "weights").write_text("1")
    synced: list[tuple[str, bool]] = []

    def sync(file: int) -> None:
        synced.append((Path(f"/proc/self/fd/{file}").resolve().name, folder.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    publish(partial, folder, keep=1)
    assert sorted(synced[:-1]) == [("files.json", False), ("partial", False), ("weights", False)]
    assert synced[-1] == ("checkpoints", True)


def test_a_checkpoint_cut_in_half_is_named_with_what_to_do(data: Path, finished: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    shutil.rmtree(run / "model")
    kept = manifest(run) | {"done": False}
    (run / "manifest.json").write_text(json.dumps(kept))
    weights = run / "checkpoints" / "step-00000040" / "optimizer.pt"
    os.truncate(weights, weights.stat().st_size // 2)
    with pytest.raises(PretrainingError, match=r"step-00000040 is broken: optimizer.pt is missing or cut. Delete that"):
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
def test_a_run_that_is_stopped_after_training_trains_no_step_again(
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


def test_the_speed_of_a_run_is_that_of_its_training_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from sagechain.pretraining.quality import final_evaluation as judgement
    from sagechain.pretraining.training import budget

    hours = [0.0]
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + hours[0] * 3_600))

    def slow(*_: Any, **__: Any) -> dict[str, Any]:
        hours[0] = 1.0
        return {}

    monkeypatch.setattr(judgement, "judgement", slow)
    run = train(data, tmp_path / "run", tokens=2_560, **TINY | {"samples": True})
    assert hours == [1.0]
    assert manifest(run)["tokens_per_second"] > 100


def test_a_run_is_judged_in_its_own_precision_by_as_much_at_once_as_it_trains_by(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import evaluate as evaluating
    from sagechain.pretraining.training import loop as trainer
    from sagechain.pretraining.training import stages as running

    told: list[dict[str, Any]] = []

    def evaluate(*given: Any, **named: Any) -> Any:
        told.append(named)
        return evaluating.evaluate(*given, **named)

    monkeypatch.setattr(trainer, "evaluate", evaluate)
    for precision, other in (("fp32", "bf16"), ("bf16", "fp32")):
        monkeypatch.setattr(running, "faster_precision", lambda kind, other=other: other)
        train(data, tmp_path / precision, tokens=256, precision=precision, device_batch=2, **TINY | {"evaluations": 0})
    assert told == [{"precision": "fp32", "at_once": 2}, {"precision": "bf16", "at_once": 2}]


def test_a_gpu_that_emulates_bf16_trains_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    from sagechain.pretraining.training.model import faster_precision

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    faster_precision.cache_clear()
    assert faster_precision("cuda") == "fp32"
    faster_precision.cache_clear()


def test_a_changed_setting_on_resume_is_refused_by_its_name(finished: Path, data: Path) -> None:
    with pytest.raises(ValueError, match=r"width: the run in .* was begun otherwise: width=64 \(the run has 32\)"):
        train(data, finished, tokens=TOKENS, **(TINY | {"width": 64}))


def test_a_run_goes_on_with_another_share_at_once_and_learns_the_same(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import loop as trainer
    from sagechain.pretraining.training import schedule as pacing

    real, run = trainer.BlockTrainer.training_step, tmp_path / "run"

    def step(self: trainer.BlockTrainer, *given: Any, **named: Any) -> Any:
        if self.state.global_step == 20:
            raise SystemExit
        return real(self, *given, **named)

    monkeypatch.setattr(pacing, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(trainer.BlockTrainer, "training_step", step)
    with pytest.raises(SystemExit):
        train(data, run, tokens=TOKENS, **TINY)
    monkeypatch.undo()
    changed: dict[str, Any] = {"device_batch": 2, "activation_checkpointing": True, "keep": 1}
    train(data, run, tokens=TOKENS, **TINY, **changed)
    kept = manifest(run)
    assert {name: kept["settings"][name] for name in changed} == changed
    assert (kept["done"], len(kept["resumed_at_tokens"])) == (True, 1)
    assert kept["val_bits_per_byte"] == pytest.approx(manifest(finished)["val_bits_per_byte"], rel=1e-3)
    train(data, run, tokens=TOKENS, **TINY)
    assert manifest(run) == kept


def test_other_data_on_resume_is_refused(finished: Path, tmp_path: Path, write_other_data: Callable[..., Path]) -> None:
    other = write_other_data(tmp_path / "data", documents=40)
    with pytest.raises(ValueError, match="was begun otherwise: other data"):
        train(other, finished, tokens=TOKENS, **TINY)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"preset": "huge"}, "preset: there is no 'huge'. Known: codeparrot, codeparrot-small, demo, tiny"),
        ({"layer": 2}, r"setting: there is no 'layer'\. Did you mean 'layers'\? Known: activation_checkpointing"),
        ({"tokens": 0}, "tokens"),
        ({"tokens": 1000, "seconds": 5.0}, "give either tokens or seconds"),
        ({"heads": 3}, "width: 32 is not a multiple of heads=3"),
        ({"batch_tokens": 8}, "batch_tokens: 8 is not a multiple of context=32"),
        (
            {"report_to": ["tensorbord"]},
            r"report_to: there is no 'tensorbord'\. Did you mean 'tensorboard'\? Known: all, ",
        ),
        ({"device_batch": 3}, "device_batch: 3 does not divide a device's 4 sequences"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name(data: Path, tmp_path: Path, given: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        train(data, tmp_path / "run", **({"tokens": TOKENS} | TINY | given))
    assert not (tmp_path / "run").exists()


def test_a_presets_step_is_whole_sequences_of_any_context(data: Path, tmp_path: Path) -> None:
    given = {name: value for name, value in TINY.items() if name != "batch_tokens"} | {"context": 30}
    train(data, tmp_path / "run", tokens=4_000, **given)
    assert (manifest(tmp_path / "run")["settings"]["batch_tokens"], manifest(tmp_path / "run")["tokens"]) == (
        2_040,
        4_080,
    )


def test_data_that_was_never_prepared_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no prepared data; run `sagechain pretrain prepare SOURCE --out"):
        train(tmp_path, tmp_path / "run")


@pytest.mark.parametrize("given", [{"vocab_size": 300}, {"documents": 50}])
def test_a_tokenizer_that_does_not_fit_the_data_is_refused(
    given: dict[str, int], tmp_path: Path, write_other_data: Callable[..., Path]
) -> None:
    data, other = write_other_data(tmp_path / "data"), write_other_data(tmp_path / "other", **given)
    shutil.rmtree(data / "tokenizer")
    shutil.copytree(other / "tokenizer", data / "tokenizer")
    with pytest.raises(
        ValueError, match=r"data: the tokenizer in .* is not the one that the tokens were made with; put"
    ):
        train(data, tmp_path / "run", tokens=TOKENS, **TINY)
    assert not (tmp_path / "run").exists()


def test_data_of_which_a_file_is_missing_is_refused(tmp_path: Path, write_other_data: Callable[..., Path]) -> None:
    data = write_other_data(tmp_path / "data")
    (data / "tokens" / "train-00001.bin").unlink()
    with pytest.raises(ValueError, match=r"holds [\d,]+ tokens of the train split, and [\d,]+ were prepared; put the"):
        train(data, tmp_path / "run", tokens=TOKENS, **TINY)


def test_a_tracker_that_is_not_installed_is_refused_with_the_command(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations import integration_utils

    monkeypatch.setattr(integration_utils, "get_available_reporting_integrations", lambda: ["tensorboard"])
    with pytest.raises(
        ValueError, match=r"report_to: comet_ml is not installed\. Run `pip install comet-ml`, or leave"
    ):
        train(data, tmp_path / "run", tokens=128, report_to=["tensorboard", "comet_ml"], **TINY)
    assert not (tmp_path / "run").exists()


WRITER = """
from pathlib import Path
class SummaryWriter:
    def __init__(self, log_dir):
        self.log = Path(log_dir) / "events"
        self.log.parent.mkdir(exist_ok=True)
    def add_scalar(self, name, value, step):
        with self.log.open("a") as file:
            file.write(f"{name} {step}\\n")
    def add_text(self, *told): pass
    flush = close = lambda self: None
"""


def test_each_run_reports_to_tensorboard_in_its_own_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.integrations import integration_utils

    (tmp_path / "tensorboardX.py").write_text(WRITER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setattr(integration_utils, "is_tensorboard_available", lambda: True)
    for name in ("one", "two"):
        train(data, tmp_path / name, tokens=256, report_to="tensorboard", **TINY)
        lines = (tmp_path / name / "logs" / "events").read_text().splitlines()
        assert {"train/loss 1", "train/bits_per_byte 2", "train/val_bits_per_byte 1"} <= {*lines}


@pytest.mark.parametrize(
    ("preset", "steps", "warmup", "rate", "sequences", "parameters"),
    [("codeparrot-small", 150_000, 2_000, 5e-4, 192, 111), ("codeparrot", 50_000, 750, 2e-4, 512, 1_530)],
)
def test_the_large_presets_are_the_published_ones(
    preset: str, steps: int, warmup: int, rate: float, sequences: int, parameters: int
) -> None:
    from sagechain.pretraining.planning.memory import count_parameters
    from sagechain.pretraining.training.settings import chosen_settings

    shape, settings = chosen_settings(preset, vocabulary=32_768, context=1_024, changes={})
    assert (settings.tokens or 0) / settings.batch_tokens == steps
    assert round(settings.warmup * steps) == warmup
    assert (settings.learning_rate, settings.weight_decay, settings.clip) == (rate, 0.1, 1.0)
    assert (settings.optimizer, settings.adam_beta2, settings.schedule) == ("adamw", 0.999, "cosine")
    assert (settings.batch_tokens // shape.context, shape.dropout, shape.scale_attention_by_layer) == (
        sequences,
        0.1,
        True,
    )
    assert round(count_parameters(shape) / 1e6) == parameters


def test_adamw_remembers_as_long_as_the_setting_says() -> None:
    from sagechain.pretraining.training.model import ModelShape, new_model
    from sagechain.pretraining.training.optimizer import optimizer_for

    model = new_model(ModelShape(vocabulary=300, context=8, layers=1, width=8, heads=1), end_of_text=0, seed=0)
    rates: dict[str, Any] = {
        "learning_rate": 1e-3,
        "matrix_learning_rate": 1e-2,
        "weight_decay": 0.1,
        "precision": "fp32",
    }
    alone, beside = (optimizer_for(model, kind=kind, adam_beta2=0.999, **rates) for kind in ("adamw", "muon"))
    assert alone.param_groups[0]["betas"] == (0.9, 0.999)
    assert beside.param_groups[-1]["betas"] == (0.8, 0.999)


EXACT_TOKENS = 20_480


@pytest.fixture(scope="module")
def exact_losses(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The curve of one process that takes each step at once, in fp32."""
    run = tmp_path_factory.mktemp("exact") / "run"
    return losses(train(data, run, tokens=EXACT_TOKENS, precision="fp32", **TINY))


@pytest.fixture(scope="module")
def two_ranks(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two processes that is never stopped."""
    folder = tmp_path_factory.mktemp("ranks")
    process = started(data, folder / "run", EXACT_TOKENS, *two_processes(folder), precision="fp32")
    _, said = process.communicate()
    assert process.returncode == 0, said
    return folder / "run"


def losses(run: Path) -> list[float]:
    return [entry["loss"] for entry in history(run) if "loss" in entry]


def test_gradients_gathered_in_two_halves_give_the_curve_of_one(
    data: Path, exact_losses: list[float], tmp_path: Path
) -> None:
    halves = train(data, tmp_path / "run", tokens=EXACT_TOKENS, precision="fp32", device_batch=2, **TINY)
    assert losses(halves) == pytest.approx(exact_losses, rel=1e-3)


def two_processes(folder: Path, script: str = SCRIPT) -> tuple[str, ...]:
    """The launcher of a script."""
    (folder / "script.py").write_text(script)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    return (*launcher, str(folder / "script.py"))


def test_two_processes_share_each_step_and_give_the_curve_of_one(exact_losses: list[float], two_ranks: Path) -> None:
    assert losses(two_ranks) == pytest.approx(exact_losses, rel=1e-3)


@pytest.mark.timeout(1200)
def test_two_processes_killed_with_or_after_their_launcher_end_with_the_weights_of_two_never_stopped(
    data: Path, two_ranks: Path, tmp_path: Path
) -> None:
    killed = []
    for kill in (kill_all, subprocess.Popen.kill):
        process = started(data, tmp_path / "run", EXACT_TOKENS, *two_processes(tmp_path), precision="fp32")
        wait_for_checkpoint(tmp_path / "run", last_step(tmp_path / "run"), process)
        kill(process)
        killed.append(process)
    process = started(data, tmp_path / "run", EXACT_TOKENS, *two_processes(tmp_path), precision="fp32")
    ends = [each.communicate()[1] for each in killed]
    assert ["with a checkpoint" in said for said in ends] == [False, True], ends[1]
    _, said = process.communicate()
    assert process.returncode == 0, said
    ours = [line for line in said.splitlines() if not line.startswith("*****") and "OMP_NUM_THREADS" not in line]
    assert [
        line for line in ours if line and not line.startswith(("train: ", "training "))
    ] == []  # no library's warning
    assert len(manifest(tmp_path / "run")["resumed_at_tokens"]) == 2
    assert manifest(tmp_path / "run")["weights_sha256"] == manifest(two_ranks)["weights_sha256"]


def test_all_processes_look_for_a_checkpoint_once_the_first_holds_the_folder(
    data: Path, two_ranks: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with folder_lock.lock_folder(run):
        process = started(data, run, EXACT_TOKENS, *two_processes(tmp_path), precision="fp32")
        assert process.stderr
        assert any("Another process works in" in line for line in process.stderr)
        shutil.copytree(two_ranks / "checkpoints", run / "checkpoints")
        (run / "manifest.json").write_text(json.dumps(manifest(two_ranks) | {"done": False}))
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert manifest(run)["resumed_at_tokens"] == [EXACT_TOKENS]
    assert manifest(run)["weights_sha256"] == manifest(two_ranks)["weights_sha256"]


ASKED = """
import signal
from sagechain.pretraining.training import loop as trainer
real = trainer.BlockTrainer.training_step
def step(self, *given, **named):
    if self.args.process_index == 1 and self.state.global_step == 5:
        signal.raise_signal(signal.SIGTERM)
    return real(self, *given, **named)
trainer.BlockTrainer.training_step = step
"""


def test_preemption_of_one_process_stops_all_with_a_checkpoint(data: Path, tmp_path: Path) -> None:
    process = started(data, tmp_path / "run", TOKENS, *two_processes(tmp_path, ASKED + SCRIPT))
    _, said = process.communicate()
    assert "Stopped at 768 tokens, with a checkpoint." in said
    assert last_step(tmp_path / "run") == 6


def test_processes_that_do_not_share_the_runs_folder_are_told(data: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run-0")
    (tmp_path / "run-0" / "manifest.json").write_text(json.dumps(manifest(finished) | {"done": False}))
    own_folders = SCRIPT.replace("sys.argv[2]", "sys.argv[2] + '-' + os.environ['RANK']").replace("sys,", "os, sys,")
    process = started(data, tmp_path / "run", TOKENS, *two_processes(tmp_path, own_folders))
    _, said = process.communicate()
    assert process.returncode != 0
    assert "it must lie where all machines see the same files" in said


def test_a_budget_in_seconds_ends_by_the_clock(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from sagechain.pretraining.training import budget
    from sagechain.pretraining.training import loop as trainer
    from sagechain.pretraining.training import stages as running

    now, real = [1_000.0], trainer.BlockTrainer.training_step

    def step(self: trainer.BlockTrainer, *given: Any, **named: Any) -> Any:
        now[0] += 0.25
        return real(self, *given, **named)

    for module in (budget, running):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(trainer.BlockTrainer, "training_step", step)
    kept = manifest(train(data, tmp_path / "run", seconds=1.5, **TINY))
    assert (kept["seconds"], kept["steps"]) == (1.5, 6)
