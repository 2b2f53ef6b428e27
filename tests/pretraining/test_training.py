"""Training: the model and figures of a run, its settings, precision, optimizer and trackers."""

import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from sagechain.pretraining import Diverged, train
from transformers import AutoTokenizer, GPT2LMHeadModel

from tests.pretraining.conftest import TINY, BeforeStep
from tests.pretraining.training_runs import (
    TOKENS,
    history,
    manifest,
)

if TYPE_CHECKING:
    from sagechain.pretraining.training.loop import BlockTrainer


def test_a_run_writes_an_ordinary_checkpoint_and_its_figures(finished: Path, data: Path) -> None:
    model = GPT2LMHeadModel.from_pretrained(finished / "model")
    tokenizer = AutoTokenizer.from_pretrained(finished / "model")
    result = manifest(finished)
    assert (model.config.n_layer, model.config.n_embd, model.config.n_positions) == (1, 32, 32)
    assert len(tokenizer) == model.config.vocab_size == 400
    assert (result["done"], result["tokens"], result["steps"], result["resumed_at_tokens"]) == (True, TOKENS, 40, [])
    assert result["weights_sha256"] == sha256((finished / "model" / "model.safetensors").read_bytes()).hexdigest()
    assert result["parameters"] == model.num_parameters()


def test_the_loss_falls_and_the_last_evaluation_is_the_manifests(finished: Path) -> None:
    entries = history(finished)
    losses = [entry["loss"] for entry in entries if "loss" in entry]
    assert losses[0] < math.log(400)  # the initial embeddings contain the neighbours of tokens
    assert losses[-1] < losses[0] - 1.2
    assert entries[-1]["val_bits_per_byte"] == manifest(finished)["val_bits_per_byte"]
    assert [entry["tokens"] for entry in entries if "val_accuracy" in entry] == [1_792, 3_456, TOKENS]


def test_a_run_from_random_weights_starts_at_chance(data: Path, tmp_path: Path) -> None:
    run = train(data, tmp_path / "run", tokens=128, embeddings="random", **TINY)
    assert history(run)[0]["loss"] == pytest.approx(math.log(400), abs=0.3)


def test_blocks_start_with_the_deviation_of_the_setting_and_embeddings_with_gpt2s() -> None:
    from sagechain.pretraining.training.model import ModelShape, new_model

    shape = ModelShape(vocabulary=400, context=128, layers=2, width=64, heads=2)
    weights = dict(new_model(shape, end_of_text=0, seed=0, deviation=0.04).transformer.named_parameters())
    deviations = {"wte": 0.02, "wpe": 0.02, "h.1.attn.c_attn": 0.04, "h.1.mlp.c_proj": 0.04 / math.sqrt(4)}
    found = {name: float(weights[f"{name}.weight"].detach().std()) for name in deviations}
    assert found == pytest.approx(deviations, rel=0.03)


def test_an_evaluation_equals_the_loss_of_the_model_itself(finished: Path, data: Path) -> None:
    from sagechain.pretraining.data.tokens import Blocks, TokenArray
    from sagechain.pretraining.training.evaluate import evaluate

    model = GPT2LMHeadModel.from_pretrained(finished / "model", dtype=torch.float32)
    row = TokenArray(data / "tokens", "validation", 400)
    ids = torch.from_numpy(row[0:33])[None]
    logits = model(input_ids=ids[:, :-1]).logits
    expected = float(torch.nn.functional.cross_entropy(logits[0], ids[0, 1:]).detach())
    assert evaluate(model, Blocks(row, 32), [0]).loss == pytest.approx(expected, rel=0.02)  # bf16 where there is


def test_a_model_that_differs_from_the_preset_is_reported(
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
def test_a_finished_run_whose_model_is_lost_or_damaged_writes_it_again_without_a_step(
    finished: Path, data: Path, tmp_path: Path, is_cut: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    weights = run / "model" / "model.safetensors"
    os.truncate(weights, 1000) if is_cut else shutil.rmtree(run / "model")
    train(data, run, tokens=TOKENS, **TINY)
    assert f"train: {weights} is not as training wrote it, and is written again\n" in capsys.readouterr().err
    assert weights.read_bytes() == (finished / "model" / "model.safetensors").read_bytes()
    assert history(run)[:-1] == history(finished)[:-1]


def test_the_weights_have_the_permissions_of_the_models_settings(finished: Path) -> None:
    assert len({(finished / "model" / name).stat().st_mode for name in ("config.json", "model.safetensors")}) == 1


def test_equal_seeds_give_equal_weights_and_other_seeds_others(data: Path, finished: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "same", tokens=TOKENS, **TINY)
    train(data, tmp_path / "other", tokens=TOKENS, seed=1, **TINY)
    assert manifest(tmp_path / "same")["weights_sha256"] == manifest(finished)["weights_sha256"]
    assert manifest(tmp_path / "other")["weights_sha256"] != manifest(finished)["weights_sha256"]


def test_a_step_that_is_not_a_number_stops_with_the_step_and_its_blocks(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import loop, model

    real, steps = model.losses, iter(range(100))
    monkeypatch.setattr(loop, "losses", lambda *given: real(*given) * (math.nan if next(steps) == 6 else 1))
    with pytest.raises(Diverged, match=r"diverged at step 7 \(896 tokens\).* read the blocks \[\d+, \d+, \d+, \d+\]"):
        train(data, tmp_path / "run", tokens=TOKENS, **TINY)


def test_the_speed_of_a_run_excludes_its_evaluation(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from sagechain.pretraining.quality import final_evaluation
    from sagechain.pretraining.training import budget

    hours = [0.0]
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + hours[0] * 3_600))

    def slow(*_: Any, **__: Any) -> dict[str, Any]:
        hours[0] = 1.0
        return {}

    monkeypatch.setattr(final_evaluation, "evaluate_completions", slow)
    run = train(data, tmp_path / "run", tokens=2_560, **TINY | {"samples": True})
    assert hours == [1.0]
    assert manifest(run)["tokens_per_second"] > 100


def test_a_run_is_evaluated_in_its_own_precision_and_device_batch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sagechain.pretraining.training import evaluate as evaluation
    from sagechain.pretraining.training import loop, precision

    arguments: list[dict[str, Any]] = []

    def evaluate(*given: Any, **named: Any) -> Any:
        arguments.append(named)
        return evaluation.evaluate(*given, **named)

    monkeypatch.setattr(loop, "evaluate", evaluate)
    for chosen, other in (("fp32", "bf16"), ("bf16", "fp32")):
        monkeypatch.setattr(precision, "faster_precision", lambda kind, other=other: other)
        train(data, tmp_path / chosen, tokens=256, precision=chosen, device_batch=2, **TINY | {"evaluations": 0})
    assert arguments == [{"precision": "fp32", "batch": 2}, {"precision": "bf16", "batch": 2}]


def test_a_gpu_that_emulates_bf16_trains_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    from sagechain.pretraining.training.precision import faster_precision

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    faster_precision.cache_clear()
    assert faster_precision("cuda") == "fp32"
    faster_precision.cache_clear()


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
    with pytest.raises(
        ValueError, match="does not contain prepared data; run `sagechain pretrain prepare SOURCE --out"
    ):
        train(tmp_path, tmp_path / "run")


@pytest.mark.parametrize("given", [{"vocab_size": 300}, {"documents": 50}])
def test_a_tokenizer_that_does_not_fit_the_data_is_refused(
    given: dict[str, int], tmp_path: Path, write_other_data: Callable[..., Path]
) -> None:
    data, other = write_other_data(tmp_path / "data"), write_other_data(tmp_path / "other", **given)
    shutil.rmtree(data / "tokenizer")
    shutil.copytree(other / "tokenizer", data / "tokenizer")
    with pytest.raises(ValueError, match=r"data: the tokenizer in .* is not the one that encoded the tokens; restore"):
        train(data, tmp_path / "run", tokens=TOKENS, **TINY)
    assert not (tmp_path / "run").exists()


def test_data_with_a_missing_file_is_refused(tmp_path: Path, write_other_data: Callable[..., Path]) -> None:
    data = write_other_data(tmp_path / "data")
    (data / "tokens" / "train-00001.bin").unlink()
    with pytest.raises(
        ValueError, match=r"contains [\d,]+ tokens of the train split, and [\d,]+ were prepared; put the"
    ):
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
    def add_text(self, *texts): pass
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
    from sagechain.pretraining.training.settings import resolve_settings

    shape, settings = resolve_settings(preset, vocabulary=32_768, context=1_024, changes={})
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


def test_adamw_uses_the_settings_beta2() -> None:
    from sagechain.pretraining.training.model import ModelShape, new_model
    from sagechain.pretraining.training.optimizer import create_optimizer
    from sagechain.pretraining.training.settings import TrainingSettings

    model = new_model(ModelShape(vocabulary=300, context=8, layers=1, width=8, heads=1), end_of_text=0, seed=0)
    settings = TrainingSettings(tokens=1, adam_beta2=0.999)
    adamw, with_muon = (
        create_optimizer(model, settings.model_copy(update={"optimizer": kind}), "fp32") for kind in ("adamw", "muon")
    )
    assert adamw.param_groups[0]["betas"] == (0.9, 0.999)
    assert with_muon.param_groups[-1]["betas"] == (0.8, 0.999)


def test_a_budget_in_seconds_ends_by_the_clock(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before_step: BeforeStep
) -> None:
    from types import SimpleNamespace

    from sagechain.pretraining.training import budget, run

    now = [1_000.0]

    def step(trainer: "BlockTrainer") -> None:
        now[0] += 0.25

    for module in (budget, run):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    before_step(step)
    result = manifest(train(data, tmp_path / "run", seconds=1.5, **TINY))
    assert (result["seconds"], result["steps"]) == (1.5, 6)
