"""JSON is found in what a model wrote, mended where that loses nothing, and refused otherwise."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.prompts.json_text.extent import ExtentScanner, find_extent
from sagechain.prompts.json_text.repair import MAX_NESTING, extract_json, parse_json


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"a": 1}', {"a": 1}),
        (" 12 ", 12),
        ('"red"', "red"),
        ("```json\n[1, 2]\n```", [1, 2]),
        ("```\ntrue\n```", True),
        ("Here it is:\n```json\n{'a': 1,}\n```\nEnjoy!", {"a": 1}),
        ('As [1] says, {"a": {"b": 2}} it is.', {"a": {"b": 2}}),
        ('{"a": [1, 2', None),
        ('{"a": [1, {"b": "c"}', {"a": [1, {"b": "c"}]}),
    ],
)
def test_the_longest_value_of_an_answer_is_read(text: str, read: Any) -> None:
    if read is None:
        with pytest.raises(ValueError, match=r"^it ends right after a number or word, which may be incomplete"):
            extract_json(text)
    else:
        assert extract_json(text) == read


@pytest.mark.parametrize("text", ["12", '{"a": 1', '{"a": {"b": 2}', "Wel", '"Wel', "[1, 2], [3"])
def test_what_the_token_limit_cut_is_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"^it was truncated at the token limit"):
        extract_json(text, truncated=True)


def test_what_was_whole_before_the_cut_is_a_value() -> None:
    assert extract_json('{"a": 1} I hope that', truncated=True) == {"a": 1}
    assert extract_json('"red"', truncated=True) == "red"


@pytest.mark.parametrize("raw", ['{"a": 1e999}', '{"a": 1, "a": 2}', '{"a": "\\ud800"}'])
def test_what_no_other_program_would_read_is_refused(raw: str) -> None:
    with pytest.raises(ValueError, match=r"^this is not valid JSON and can't be repaired"):
        parse_json(raw)


@pytest.mark.parametrize("levels", [MAX_NESTING + 1, 5_000])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_what_is_nested_too_deeply_is_refused(levels: int, brackets: str) -> None:
    begin = brackets[0] if brackets == "[]" else '{"a":'
    raw = begin * levels + "1" + brackets[1] * levels
    with pytest.raises(ValueError, match=r"^this is (nested more than 100 levels deep|not valid JSON)"):
        parse_json(raw)
    assert parse_json(begin * 99 + "1" + brackets[1] * 99)


PIECES = [
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
text_of = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=14).map("".join)


@given(text_of, st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_an_extent_is_the_same_whatever_the_pieces(text: str, sizes: list[int]) -> None:
    text, scan, reach, place, turn = "{" + text, ExtentScanner(0), None, 0, 0
    while reach is None and place < len(text):
        place, turn = place + sizes[turn % len(sizes)], turn + 1
        reach = scan.scan(text[:place], final=False)
    assert (reach or scan.scan(text, final=True)) == find_extent(text, 0)


@given(text_of)
def test_whatever_an_answer_holds_it_is_a_value_or_a_value_error(text: str) -> None:
    try:
        read = extract_json(text)
    except ValueError:
        return
    assert json.loads(json.dumps(read, allow_nan=False)) == read


def test_a_long_value_in_small_pieces_takes_time_in_proportion() -> None:
    """Counted, not timed: how many characters are looked at again."""
    text = json.dumps({"code": "if (a) { b[1] = '}' }\n" * 400, "more": [{"a": [1, 2, {}]}] * 400})
    looked, scan = 0, ExtentScanner(0)
    for end in range(0, len(text), 4):
        before = max(scan.position, scan.string_position)
        assert scan.scan(text[:end], final=False) is None
        looked += end - before
    assert scan.scan(text, final=False) == find_extent(text, 0)
    assert looked < 20 * len(text)
