"""Forty malformed tool calls: each is recovered or invalid as the table expects, none is lost, and the guide shows them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import json_repair
import pytest
import yaml

from tests.prompts.test_tool_calls import parts_of

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "malformed_tool_calls.yaml").read_text("utf-8"))
INTRODUCTION = """# Tool calls

Whatever a model quotes, considers, rejects or repeats is text. A tool call is one in the form that the prompt describes
(`<tool_call>…</tool_call>`), or one in any other form that begins on a line of its own and ends the answer; a run of calls
that ends the answer counts as a whole. Neither counts in reasoning (`<think>…</think>`), on quoted lines (`> …`), between
quotation marks, in inline code, in struck out text, or in a fence or indented block that prose continues after. Where
decoding is constrained, only the form that the prompt describes counts.

Text models write tool calls wrongly in many ways. sagechain accepts a call from which the tool and its arguments are clear.
What can't be trusted (a truncated call, an unknown tool, arguments that don't match the schema) becomes an entry of
`invalid_tool_calls`, with the text as the model wrote it and an error that the model can act on. No exception is raised.

A call that lacks only closing brackets is repaired. A call that ends inside a text, right after a number, or at the token
limit is not: it may be shorter than was meant. A repair must not lose a letter or digit, or the call is invalid too.

`tests/prompts/test_malformed_tool_calls.py` writes this table. "json-repair" is that library alone, given the whole answer
and then the text between the tags; its result counts if names and arguments are right. "json" is Python's own parser,
likewise.
"""


def expected(case: dict[str, Any]) -> list[tuple[str, Any]]:
    return [next(iter(call.items())) for call in case.get("calls", ())]


def calls_in(parts: list[Any]) -> list[tuple[str, Any]]:
    return [(part["name"], part["args"]) for part in parts if not isinstance(part, str) and part["type"] == "tool_call"]


def test_at_least_thirty_of_the_forty_are_recovered() -> None:
    assert len(CASES) == 40
    assert len([case for case in CASES if "calls" in case]) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["wrong"])
def test_each_is_recovered_or_invalid_as_the_table_expects(case: dict[str, Any]) -> None:
    parts = parts_of([case["written"]], truncated=case.get("truncated", False))
    assert calls_in(parts) == expected(case)
    invalid = [part for part in parts if not isinstance(part, str) and part["type"] == "invalid_tool_call"]
    assert "".join(part for part in parts if isinstance(part, str)) == case.get("text", "")
    assert len(invalid) == ("invalid" in case)
    for part in invalid:
        assert case["invalid"] in part["error"]
        assert part["args"]
        assert part["args"] in case["written"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["wrong"])
def test_each_is_the_same_one_character_at_a_time(case: dict[str, Any]) -> None:
    truncated = case.get("truncated", False)
    assert parts_of(case["written"], truncated=truncated) == parts_of([case["written"]], truncated=truncated)


def calls_by_parser(parse: Callable[[str], Any], written: str) -> list[tuple[str, Any]]:
    """The calls that a JSON parser finds in an answer, or in the text between its tags."""
    inner = written.partition("<tool_call>")[2].partition("</tool_call>")[0]
    for text in (written, inner):
        try:
            value = parse(text)
        except ValueError:
            continue
        calls = [call for call in (value if isinstance(value, list) else [value]) if isinstance(call, dict)]
        if calls and all(isinstance(call.get("name"), str) for call in calls):
            return [(call["name"], call.get("arguments", {})) for call in calls]
    return []


def test_the_guide_shows_the_table(same_page: Callable[[str, str], None]) -> None:
    rows, totals = [], [0, 0, 0]
    for case in CASES:
        written, ours = case["written"], parts_of([case["written"]], truncated=case.get("truncated", False))
        repaired, parsed = calls_by_parser(json_repair.loads, written), calls_by_parser(json.loads, written)
        is_right = [bool(expected(case)) and calls == expected(case) for calls in (calls_in(ours), repaired, parsed)]
        totals = [total + each for total, each in zip(totals, is_right, strict=True)]
        # A call that should be invalid is worse than a missing one: it would do something that the user did not want.
        wrongly = "wrongly a call" if repaired and not expected(case) else "–"
        cells = [
            case["wrong"],
            shortened(written),
            outcome(ours),
            "call" if is_right[1] else wrongly,
            "call" if is_right[2] else "–",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    head = "| what is wrong | what the model wrote | result | json-repair | json |\n| --- | --- | --- | --- | --- |"
    recoverable = len([case for case in CASES if "calls" in case])
    summary = (
        f"Calls recovered, of {recoverable} that can be: sagechain {totals[0]}, json-repair alone {totals[1]}, "
        f"json alone {totals[2]}. The other {len(CASES) - recoverable} are invalid calls with their reasons."
    )
    assert totals[0] == recoverable
    same_page("tool-calls.md", f"{INTRODUCTION}\n{head}\n" + "\n".join(rows) + f"\n\n{summary}\n")


def shortened(written: str) -> str:
    short = " ".join(written.split()).replace("|", "\\|")
    return f"`` {short if len(short) <= 90 else short[:89] + '…'} ``"


def outcome(parts: list[Any]) -> str:
    results = []
    for part in parts:
        if isinstance(part, str):
            continue
        if part["type"] == "tool_call":
            results.append(f"`{part['name']}({', '.join(f'{name}={item!r}' for name, item in part['args'].items())})`")
        else:
            results.append(f"invalid: {part['error'].partition(' Known:')[0]}".replace("|", "\\|"))
    return ", ".join(results)
