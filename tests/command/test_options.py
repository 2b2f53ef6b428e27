"""Values of the common options: parameters, variables, and what is wrong with them."""

from typing import Any

import pytest
import typer
from sagechain.command import model_parameters, parameters_by_name, parse_parameter, variables_by_name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("temperature=0.2", ("temperature", 0.2)),
        ("do_sample=true", ("do_sample", True)),
        ('stop=["a", "b"]', ("stop", ["a", "b"])),
        ("stop=7", ("stop", "7")),
        ("tokenizer=gpt2", ("tokenizer", "gpt2")),
        ("stop==", ("stop", "=")),
    ],
)
def test_a_value_is_json_or_text(text: str, value: tuple[str, Any]) -> None:
    assert parse_parameter(text) == value


@pytest.mark.parametrize("text", ["temperature", "=0.2", ""])
def test_a_parameter_without_a_name_or_value_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not NAME=VALUE"):
        parse_parameter(text)


def test_stop_may_be_repeated_and_nothing_else() -> None:
    pairs = [("stop", "a"), ("stop", ["b", "c"]), ("seed", 1)]
    assert parameters_by_name(pairs) == {"stop": ["a", "b", "c"], "seed": 1}
    with pytest.raises(typer.BadParameter, match="-p seed: it is given twice"):
        parameters_by_name([*pairs, ("seed", 2)])
    with pytest.raises(typer.BadParameter, match="-v text: it is given twice"):
        variables_by_name([("text", "a"), ("text", "b")])


def test_a_client_cannot_be_given_on_the_command_line() -> None:
    with pytest.raises(typer.BadParameter, match="-p client"):
        parameters_by_name([("client", "x")])


def test_the_licence_is_a_parameter_of_the_model() -> None:
    assert model_parameters([("seed", 1)], accept_eula=True) == {"seed": 1, "accept_eula": True}
    assert model_parameters(None, accept_eula=False) == {}
