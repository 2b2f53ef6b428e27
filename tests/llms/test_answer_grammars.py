"""The grammar of an answer with tool calls: which texts it accepts, by llguidance and without a model."""

from typing import Any, Literal

import pytest
from sagechain.llms.constrained.grammars import answer_grammar
from sagechain.prompts import OutputFormat, ToolCallFormat

from tests.llms.grammar_sampling import is_answer
from tests.llms.schema_cases import ENDLESS

CALL = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>'


def check(city: Literal["Paris", "Rome"]) -> None:
    """Check."""


def stop() -> None:
    """Stop."""


def accepts(output_format: OutputFormat, text: str) -> bool:
    grammar = answer_grammar(output_format)
    assert grammar is not None
    return is_answer(grammar, text)


def tools(choice: str = "auto", *, parallel: bool | None = True) -> ToolCallFormat:
    return ToolCallFormat.from_tools([check, stop], choice, parallel=parallel)


@pytest.mark.parametrize("text", ["", "Hello.", "a <tool_box> b", CALL, f"Let me see.\n{CALL}", f"{CALL}\n{CALL}"])
def test_with_optional_calls_free_text_or_a_whole_call_is_accepted(text: str) -> None:
    assert accepts(tools(), text)


@pytest.mark.parametrize("text", ["<tool_call>", "Hi <tool_call>x", f"{CALL} Done.", CALL.replace("stop", "halt")])
def test_with_optional_calls_an_incomplete_or_unknown_call_is_refused(text: str) -> None:
    assert not accepts(tools(), text)


def test_with_a_required_call_text_without_one_is_refused() -> None:
    assert accepts(tools("any"), CALL)
    assert accepts(tools("stop"), CALL)
    for text in ("", "Hello.", f"Let me see.\n{CALL}"):
        assert not accepts(tools("any"), text)
    assert not accepts(tools("check"), CALL)


def test_several_calls_are_accepted_only_if_they_may_be_parallel() -> None:
    for choice in ("auto", "any"):
        assert accepts(tools(choice), f"{CALL}\n{CALL}")
        assert not accepts(tools(choice, parallel=False), f"{CALL}\n{CALL}")


def test_a_forced_choice_is_one_call_unless_several_are_asked_for() -> None:
    assert accepts(tools(parallel=None), f"{CALL}\n{CALL}")
    for choice in ("any", "stop"):
        assert accepts(tools(choice, parallel=None), CALL)
        assert not accepts(tools(choice, parallel=None), f"{CALL}\n{CALL}")


def test_without_callable_tools_every_text_is_accepted() -> None:
    assert answer_grammar(tools("none")) is None
    assert answer_grammar(None) is None


def test_a_tools_arguments_may_contain_themselves() -> None:
    plant: dict[str, Any] = {"name": "plant", "description": "", "parameters": ENDLESS}
    call = '<tool_call>\n{"name": "plant", "arguments": {"size": 1, "below": {"size": 2, "below": null}}}\n</tool_call>'
    assert accepts(ToolCallFormat((plant,), "any"), call)
    assert not accepts(ToolCallFormat((plant,), "any"), call.replace("size", "age"))
