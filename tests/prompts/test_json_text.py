"""JSON is found in an answer, repaired where nothing is lost by it, and rejected otherwise."""

import json
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.prompts.json_text.extent import MAX_NESTING, ExtentScanner, find_extent
from sagechain.prompts.json_text.repair import extract_json, parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (" 12 ", 12),
        ('"red"', "red"),
        ("```json\n[1, 2]\n```", [1, 2]),
        ("```\ntrue\n```", True),
        ("```json\n" + "\n" * 100_000 + "1\n```", 1),
        ("Here it is:\n```json\n{'a': 1,}\n```\nEnjoy!", {"a": 1}),
        ('As in [1], {"a": {"b": 2}} it is.', {"a": {"b": 2}}),
        ('{"a": [1, {"b": "c"}', {"a": [1, {"b": "c"}]}),
        ('The set {x, y} has {"size": 2}', {"size": 2}),
        ('{"a": [1, 2, 3]} or, shorter, {"a": 4}', {"a": 4}),
        ('<think>{"a": 1}? no</think>\n{"a": 2}', {"a": 2}),
        ('{"a": 1}? no</think>\n{"a": 2}', {"a": 2}),
        ('"never closed {"a": </THINK>{"a": 2}', {"a": 2}),
        ('<think>a <think>b</think> {"a": 1} c</think>```json\n{"a": 2}\n```', {"a": 2}),
        ("<think>5?</think> 7", 7),
        ('<thinking>{"a": 1}? no</thinking>\n"none"', "none"),
        ('[THINK]{"a": 1}? no[/THINK]\n{"a": 2}', {"a": 2}),
        ('{"a": "<think>", "b": "</think>"}', {"a": "<think>", "b": "</think>"}),
    ],
)
def test_the_last_value_of_an_answer_outside_its_reasoning_is_extracted(text: str, value: Any) -> None:
    assert extract_json(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "Sure.",
        "<think>{}",
        '<thinking>{"a": 1}</thinking> No.',
        '<think>{"a": 1}',
        '{"a": 1}</think>',
        "[x]</think>{y}",
    ],
)
def test_an_answer_without_a_value_outside_its_reasoning_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it contains no JSON$"):
        extract_json(text)


def test_a_value_that_does_not_fit_gives_way_to_the_one_before_it() -> None:
    assert extract_json('{"a": 1} as in [2]', lambda value: value["a"] if isinstance(value, dict) else int("x")) == 1
    with pytest.raises(ValueError, match=r"^no: 3$"):  # the reason of the last value
        extract_json("[1] [2] [3]", lambda value: 1 if value == 1 else _refuse(value[0]))


def _refuse(value: Any) -> Any:
    raise ValueError(f"no: {value}")


@pytest.mark.parametrize("text", ['{"a": [1, 2', '{"a": 1} No: {"a": 2', '{"a": "on', '[{"a": 1}, {"a": ', '{"a": tru'])
def test_a_value_that_may_have_been_cut_is_an_error_even_after_another(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it ends (right after a number|inside a string|before an expected value)"):
        extract_json(text)


@pytest.mark.parametrize("text", ["12", '{"a": 1', '{"a": {"b": 2}', "Wel", '"Wel', "[1, 2], [3", "<think>Hm"])
def test_a_value_truncated_at_the_token_limit_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it was truncated at the token limit"):
        extract_json(text, truncated=True)


def test_a_value_that_ends_before_the_truncation_is_extracted() -> None:
    assert extract_json('{"a": 1} I hope that', truncated=True) == {"a": 1}
    assert extract_json('"red"', truncated=True) == "red"


@pytest.mark.parametrize("levels", [MAX_NESTING + 1, 5_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_a_value_that_is_nested_too_deeply_is_an_error(levels: int, brackets: str) -> None:
    opening = brackets[0] if brackets == "[]" else '{"a":'
    raw = opening * levels + "1" + brackets[1] * levels
    with pytest.raises(ValueError, match=r"^this is (nested more than 100 levels deep|not valid JSON)"):
        parse_json(raw)
    assert parse_json(opening * 99 + "1" + brackets[1] * 99)


FRAGMENTS = [
    *"{}[]:,\"'<`/\\\n #",
    '"a"',
    "'b'",
    '"""',
    "</tool_call>",
    "```",
    "<|",
    "[/tool",
    "http://x",
    "// c\n",
    "/* c */",
]
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=14).map("".join)


@given(texts, st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_an_extent_is_the_same_however_the_text_is_chunked(text: str, sizes: list[int]) -> None:
    text, scanner, extent, end = "{" + text, ExtentScanner(0), None, 0
    for size in cycle(sizes):
        if extent or end >= len(text):
            break
        end += size
        extent = scanner.scan(text[:end], final=False)
    assert (extent or scanner.scan(text, final=True)) == find_extent(text, 0)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(values)
def test_what_json_writes_is_read_by_the_mending_reader_too(value: Any) -> None:
    text = json.dumps({"a": value}, ensure_ascii=False)
    assert parse_json(text) == find_extent(text, 0).value == {"a": value}


@given(texts | st.builds("{}{}{}".format, texts, values.map(json.dumps), texts))
def test_any_answer_is_a_json_value_or_a_value_error(text: str) -> None:
    try:
        value = extract_json(text)
    except ValueError:
        return
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_scanning_a_long_value_in_small_chunks_takes_linear_time() -> None:
    """Counts the characters that are scanned again, instead of seconds."""
    text = json.dumps({"code": "if (a) { b[1] = '}' }\n" * 400, "more": [{"a": [1, 2, {}]}] * 400})
    scanned, scanner = 0, ExtentScanner(0)
    for end in range(0, len(text), 4):
        before = max(scanner.position, scanner.searched)
        assert scanner.scan(text[:end], final=False) is None
        scanned += end - before
    assert scanner.scan(text, final=False) == find_extent(text, 0)
    assert scanned < 20 * len(text)
