"""Inference parameters: names, types, ranges, and combinations."""

from typing import Any

import pytest
from sagechain.llms import GenerationParameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("temperature", True),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_k", -1),
        ("top_k", 1.5),
        ("max_new_tokens", 0),
        ("max_new_tokens", "5"),
        ("max_length", 0),
        ("num_beams", 0),
        ("num_return_sequences", 0),
        ("repetition_penalty", 0.0),
        ("stop", [""]),
        ("stop", 5),
        ("stop", ["a", 5]),
        ("do_sample", "yes"),
    ],
)
def test_a_value_out_of_range_or_of_the_wrong_type_is_an_error_that_names_the_field(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        GenerationParameters(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", 0), ("temperature", 1), ("top_p", 1), ("top_k", 0), ("max_new_tokens", 1), ("seed", 0)],
)
def test_ranges_include_their_ends(name: str, value: Any) -> None:
    assert GenerationParameters(**{name: value}).given() == {name: value}


def test_an_unknown_name_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"parameter: 'temprature' is unknown\. Did you mean 'temperature'\?"):
        GenerationParameters(temprature=1.0)  # type: ignore[call-arg]


def test_a_set_of_parameters_does_not_change() -> None:
    parameters = GenerationParameters(temperature=0.5)
    with pytest.raises(ValueError, match="frozen"):
        parameters.temperature = 1.0  # type: ignore[misc]


def test_several_greedy_answers_need_as_many_beams() -> None:
    with pytest.raises(ValueError, match="num_return_sequences=3 needs sampling"):
        GenerationParameters(num_return_sequences=3, num_beams=2)
    assert GenerationParameters(num_return_sequences=3, num_beams=3).num_return_sequences == 3
    assert GenerationParameters(num_return_sequences=3, temperature=0.7).samples is True


@pytest.mark.parametrize(
    ("given", "samples"),
    [
        ({}, False),
        ({"temperature": 0}, False),
        ({"temperature": 0, "top_p": 0.9, "do_sample": True}, False),
        ({"temperature": 0.1}, True),
        ({"top_p": 0.9}, True),
        ({"top_k": 40}, True),
        ({"temperature": 0.7, "do_sample": False}, False),
        ({"do_sample": True}, True),
        ({"top_p": 1.0, "top_k": 0}, False),
    ],
)
def test_sampling_follows_from_the_parameters_and_temperature_0_is_greedy(given: dict[str, Any], samples: bool) -> None:
    assert GenerationParameters(**given).samples is samples


def test_a_single_stop_string_and_repeated_ones_are_accepted() -> None:
    assert GenerationParameters(stop="x").stop == ("x",)
    assert GenerationParameters(stop=["x", "y", "x"]).stop == ("x", "y")
