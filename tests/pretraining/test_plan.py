"""A plan estimates the cost of a run, and refuses unknown values."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sagechain.pretraining.planning.hardware import find_hardware
from sagechain.pretraining.planning.memory import count_parameters
from sagechain.pretraining.planning.plan import plan, plan_preset
from sagechain.pretraining.planning.plan_text import format_plan
from sagechain.pretraining.training.model import ModelShape, new_model
from sagechain.pretraining.training.settings import PRESETS
from transformers import GPT2Config, GPT2LMHeadModel

GPT2_SMALL = {"vocabulary": 50_257, "context": 1_024, "layers": 12, "width": 768, "heads": 12}
GPT2_XL = {"vocabulary": 50_257, "context": 1_024, "layers": 48, "width": 1_600, "heads": 25}


def test_the_parameters_of_gpt2_small_are_those_of_transformers() -> None:
    with torch.device("meta"):
        reference = GPT2LMHeadModel(GPT2Config())
    assert count_parameters(ModelShape(**GPT2_SMALL)) == reference.num_parameters() == 124_439_808


@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 40), st.integers(300, 400))
def test_the_parameters_are_those_of_the_model_that_training_builds(
    layers: int, heads: int, context: int, vocabulary: int
) -> None:
    shape = ModelShape(vocabulary=vocabulary, context=context, layers=layers, width=8 * heads, heads=heads)
    with torch.device("meta"):
        assert count_parameters(shape) == new_model(shape, end_of_text=0, seed=0).num_parameters()


def test_flop_time_and_price_equal_a_computation_by_hand() -> None:
    planned = plan(GPT2_SMALL, hardware="ml.p4d.24xlarge", tokens=1_000 * 491_520, batch_tokens=491_520)
    # 12 x 12 x 768^2 + 50,257 x 768 weights in products, times 6; 12 x 12 x 768 x 1,024 for the attention.
    a_token = 6 * 123_532_032 + 113_246_208
    assert planned.flops == a_token * 491_520_000 == 854_438_400 * 491_520_000
    assert planned.hours == pytest.approx(854_438_400 * 491_520_000 / (8 * 312e12 * 0.4) / 3600)
    assert planned.usd == pytest.approx(planned.hours * 25.251)


def test_the_state_needs_16_bytes_per_parameter_with_adamw_and_12_for_muons_matrices() -> None:
    adamw = plan(GPT2_SMALL, hardware="H100", tokens=1, batch_tokens=8_192, optimizer="adamw").memory
    assert adamw.weights + adamw.gradients + adamw.optimizer == 16 * 124_439_808
    muon = plan(GPT2_SMALL, hardware="H100", tokens=1, batch_tokens=8_192, optimizer="muon").memory
    assert adamw.optimizer - muon.optimizer == 4 * 12 * 12 * 768**2


def test_full_sharding_spreads_the_state_over_the_devices() -> None:
    whole = plan(GPT2_XL, hardware="8xH100", tokens=1, batch_tokens=8_192).memory
    shared = plan(GPT2_XL, hardware="8xH100", tokens=1, batch_tokens=8_192, sharding="full").memory
    assert (shared.weights, shared.optimizer) == (whole.weights // 8, whole.optimizer // 8)


def test_checkpointing_needs_less_memory_and_a_third_more_time() -> None:
    without = plan(GPT2_SMALL, hardware="H100", tokens=10**6, batch_tokens=8_192)
    checkpointed = plan(GPT2_SMALL, hardware="H100", tokens=10**6, batch_tokens=8_192, activation_checkpointing=True)
    assert checkpointed.hours == pytest.approx(without.hours * 4 / 3)
    assert checkpointed.memory.activations < without.memory.activations
    assert checkpointed.flops == without.flops


def test_an_assumed_mfu_is_lowered_by_checkpointing_and_the_hfu_is_shown_as_well() -> None:
    planned = plan(GPT2_SMALL, hardware="H100", tokens=10**6, batch_tokens=8_192, activation_checkpointing=True)
    assert planned.mfu == pytest.approx(0.3)
    text = format_plan(planned)
    assert "at 30% of the peak (MFU); the forward pass is done twice, so devices work at 40% (HFU)" in text


def test_a_measured_mfu_applies_with_and_without_checkpointing() -> None:
    """`flops / (hours x peak)`, as training measures it: repeated computation does not count."""
    for checkpointing in (False, True):
        planned = plan(
            GPT2_SMALL,
            hardware="8xH100",
            tokens=10**9,
            batch_tokens=8_192,
            activation_checkpointing=checkpointing,
            mfu=0.36,
        )
        assert planned.mfu == 0.36
        assert planned.flops / (planned.hours * 3_600 * 8 * 989e12) == pytest.approx(0.36)


def test_the_plan_of_a_model_that_does_not_fit_names_what_would_fit() -> None:
    planned = plan(GPT2_SMALL, hardware="ml.g5.xlarge", tokens=10**9, batch_tokens=64 * 1_024)
    assert planned.fits is False
    assert planned.remedies == ("device_batch=16 (more steps accumulated)",)
    assert plan(GPT2_SMALL, hardware="ml.g5.xlarge", tokens=10**9, batch_tokens=64 * 1_024, device_batch=16).fits
    text = format_plan(planned)
    assert "fits             no\n  would fit      device_batch=16" in text


def test_if_no_single_change_is_enough_the_number_of_devices_is_named() -> None:
    planned = plan(GPT2_XL, hardware="A10G", tokens=10**9, batch_tokens=1_024, optimizer="adamw")
    assert planned.remedies == ("all of device_batch=1, activation_checkpointing=True, sharding='full', on 2xA10G",)
    fitting = plan(GPT2_XL, hardware="2xA10G", tokens=10**9, batch_tokens=2_048, optimizer="adamw",
                   device_batch=1, activation_checkpointing=True, sharding="full")  # fmt: skip
    assert fitting.fits


def test_a_layer_too_large_for_the_device_has_a_separate_message() -> None:
    huge = {"vocabulary": 50_257, "context": 2_048, "layers": 2, "width": 65_536, "heads": 64}
    assert plan(huge, hardware="T4", tokens=1, batch_tokens=2_048).remedies[0].startswith("no number of T4")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("where", ["8xH100", "ml.p4de.24xlarge"])
def test_every_preset_can_be_planned_unchanged(name: str, where: str) -> None:
    planned = plan_preset(name, hardware=where)
    assert planned.fits
    assert f"{planned.parameters:,}" in format_plan(planned)


def test_the_advice_of_a_plan_can_be_given_as_changes() -> None:
    too_large = plan_preset("codeparrot", hardware="ml.g5.48xlarge")
    assert too_large.remedies == ("sharding='full' (FSDP: the state divided over the devices, in a loop of your own)",)
    changes = {"sharding": "full", "usd_per_hour": 100, "layers": 24}
    changed = plan_preset("codeparrot", hardware="ml.g5.48xlarge", tokens=524_288, changes=changes)
    assert (changed.fits, changed.shape.layers, changed.steps) == (True, 24, 1)
    assert changed.usd == pytest.approx(100 * changed.hours)
    assert (changed.batch_tokens, changed.device_batch) == (524_288, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device_bach": 2}, "^setting: there is no 'device_bach'. Did you mean 'device_batch'\\?.* Known: .*, mfu, "),
        ({"seconds": 5}, "^setting: there is no 'seconds'"),
        ({"tokens": 5}, "^setting: there is no 'tokens'"),
        ({"name": "demo"}, "^setting: there is no 'name'"),
        ({"optimizer": "sgd"}, "optimizer\n  Input should be 'muon' or 'adamw'"),
        ({"batch_tokens": "many"}, "batch_tokens\n  Input should be a valid integer"),
        ({"width": 1_601}, "width: 1601 is not a multiple of heads=25"),
    ],
)
def test_a_wrong_change_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_preset("codeparrot", hardware="8xH100", changes=changes)


def test_a_budget_in_seconds_becomes_tokens() -> None:
    planned = plan(GPT2_SMALL, hardware="H100", seconds=3_600, batch_tokens=1_024)
    assert planned.hours == pytest.approx(1, abs=1e-4)


def test_an_unknown_price_is_shown_as_unknown_and_never_as_zero() -> None:
    planned = plan(GPT2_SMALL, hardware="8xH100", tokens=10**6, batch_tokens=8_192)
    assert planned.usd is None
    assert "price            unknown; usd_per_hour gives it\n" in format_plan(planned)
    with_price = plan(GPT2_SMALL, hardware="8xH100", tokens=10**6, batch_tokens=8_192, usd_per_hour=16.0)
    assert with_price.usd == pytest.approx(16 * with_price.hours)


def test_two_instances_are_twice_the_devices_and_the_price() -> None:
    one, two = find_hardware("ml.p5.48xlarge"), find_hardware("2xml.p5.48xlarge")
    assert (two.devices, two.usd_per_hour) == (16, 2 * (one.usd_per_hour or 0))


@pytest.mark.parametrize(("text", "device", "devices"), [("h100", "H100", 1), (" 4 x a100-80gb ", "A100-80GB", 4)])
def test_hardware_is_read_however_it_is_spelt(text: str, device: str, devices: int) -> None:
    found = find_hardware(text)
    assert (found.device, found.devices) == (device, devices)


def test_this_machine_is_measured() -> None:
    found = find_hardware("cpu")
    assert found.peak_flops > 1e9
    assert found.usd_per_hour is None
    assert "measured now" in found.sources[0]


@pytest.mark.parametrize(
    ("text", "nearest"), [("8xH1000", "8xH100"), ("ml.p4.24xlarge", "ml.p4d.24xlarge"), ("cqu", "cpu")]
)
def test_unknown_hardware_is_refused_with_the_nearest_name_and_the_list(text: str, nearest: str) -> None:
    with pytest.raises(
        ValueError, match=rf"hardware: '{text}' is unknown. Did you mean '{nearest}'\?.* Known: A100-40GB, "
    ):
        find_hardware(text)


@pytest.mark.parametrize("text", ["", "0xH100", "2xcpu", "-1xH100", "a fast one"])
def test_text_that_names_no_hardware_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^hardware: "):
        find_hardware(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_tokens": 9 * 1_024}, r"batch_tokens: 9216 are 9 sequences .* 8 devices .* such as 16384"),
        ({"batch_tokens": 100}, r"batch_tokens: 100 are 0 sequences .* such as 8192"),
        ({"device_batch": 3}, "device_batch: 3 does not divide a device's 5 sequences"),
        ({"tokens": 0}, "tokens: 0 is not above 0"),
        ({"tokens": None}, "give one of them"),
        ({"seconds": 5.0}, "give one of them"),
        ({"mfu": 1.5}, "mfu: 1.5 is out of range; .* at most 1$"),
        (
            {"mfu": 0.8, "activation_checkpointing": True},
            "mfu: 0.8 .* at most 0.75 where the forward pass is done twice",
        ),
        ({"usd_per_hour": -1.0}, "usd_per_hour: -1.0 is below 0"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"tokens": 10**6, "batch_tokens": 40 * 1_024} | options
    with pytest.raises(ValueError, match=message):
        plan(GPT2_SMALL, hardware="8xH100", **arguments)  # type: ignore[arg-type]
