"""Tool calls are found in any answer: none is lost, nothing raises, and chunking makes no difference."""

import json
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sagechain.prompts import NO_ESCAPING, Escaping, ToolCallFormat
from sagechain.prompts.families import COMMON_ESCAPING
from sagechain.prompts.tool_calls import ToolCallReader

from tests.prompts.shop import TOOLS

CALL = '{"name": "search_catalogue", "arguments": {"query": "lamp"}}'
TOOL_FORMAT = ToolCallFormat.from_tools(TOOLS)


def parts_of(chunks: Sequence[str], tool_format: ToolCallFormat = TOOL_FORMAT, *, truncated: bool = False) -> list[Any]:
    """The parts that a reader returns: texts in a row joined, calls without their ids."""
    reader = ToolCallReader(tool_format)
    given = [part for chunk in chunks for part in reader.feed(chunk)] + list(reader.flush(truncated=truncated))
    parts: list[Any] = []
    for part in given:
        if not isinstance(part, str):
            parts.append({key: item for key, item in part.items() if key != "id"})
        elif parts and isinstance(parts[-1], str):
            parts[-1] += part
        else:
            parts.append(part)
    return parts


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"name": name, "args": arguments, "type": "tool_call"}


LAMP = call("search_catalogue", query="lamp")


def test_text_is_returned_immediately_and_a_call_at_the_end_of_the_answer() -> None:
    reader = ToolCallReader(TOOL_FORMAT)
    assert list(reader.feed("Let me look. <tool")) == ["Let me look."]
    assert list(reader.feed(f"_call>\n{CALL}\n</tool_call>")) == []  # a </think> may follow
    (called,) = reader.flush()
    assert isinstance(called, dict)
    assert (called["name"], called["args"]) == ("search_catalogue", {"query": "lamp"})


@pytest.mark.parametrize("text", ["a < b, [1], {x} and `y`\nend", "A list:\n- {one}\n- <b>two</b>", "Search well!"])
def test_text_that_begins_no_call_is_returned_immediately(text: str) -> None:
    assert "".join(str(part) for part in ToolCallReader(TOOL_FORMAT).feed(text)) == text


def test_an_answer_without_calls_is_unchanged() -> None:
    assert parts_of(["\n Hello. \n"]) == ["\n Hello. \n"]
    assert parts_of(['{"colour": "red"}']) == ['{"colour": "red"}']


@pytest.mark.parametrize(
    "written",
    [
        '<tool_call>{"name": "search_catalogue", "arguments": {"query": "lam',
        '{"name": "search_catalogue", "arguments": {"query": "lamp"}',
        '<tool_call>{"name": "sear',
        "Action: search_catalogue\nAction Input: lam",
        'search_catalogue(query="lam',
        "<tool_call>",
    ],
)
def test_a_call_truncated_at_the_token_limit_is_never_repaired(written: str) -> None:
    *_, last = parts_of([written], truncated=True)
    assert last["type"] == "invalid_tool_call"
    assert "the answer was truncated at the token limit inside this call" in last["error"]
    assert last["args"] in written


def test_a_call_that_is_complete_before_the_truncation_is_valid() -> None:
    assert parts_of([f"<tool_call>{CALL}"], truncated=True) == [LAMP]


@pytest.mark.parametrize("end", ['"red', "1", '"red",', '"red", "limit', '"red", "limit":'])
def test_an_argument_that_may_be_incomplete_makes_the_call_invalid(end: str) -> None:
    (last,) = parts_of([f'<tool_call>{{"name": "search_catalogue", "arguments": {{"query": {end}'])
    assert last["type"] == "invalid_tool_call"
    assert last["name"] == "search_catalogue"


def test_missing_closing_brackets_are_repaired() -> None:
    assert parts_of([f"<tool_call>{CALL[:-2]}"]) == [LAMP]


def test_a_second_call_where_one_is_allowed_is_invalid() -> None:
    first, second = parts_of([f"<tool_call>{CALL}</tool_call>" * 2], ToolCallFormat.from_tools(TOOLS, parallel=False))
    assert first == LAMP
    assert second["error"] == "one call at a time: wait for the result of the first"


def test_with_the_choice_none_everything_is_text() -> None:
    text = f"<tool_call>{CALL}</tool_call> "
    assert parts_of([text], ToolCallFormat.from_tools(TOOLS, "none")) == [text]


def test_only_the_chosen_tool_may_be_called() -> None:
    (other,) = parts_of([CALL], ToolCallFormat.from_tools(TOOLS, "check_stock"))
    assert other["error"].startswith("name: 'search_catalogue' may not be called now. Known: check_stock")


def test_the_arguments_alone_are_a_call_if_one_tool_must_be_called() -> None:
    assert parts_of(['{"query": "lamp"}'], ToolCallFormat.from_tools(TOOLS, "search_catalogue")) == [LAMP]
    assert parts_of(['{"query": "lamp"}']) == ['{"query": "lamp"}']


def test_an_unknown_name_is_an_error_with_the_nearest_and_the_known_ones() -> None:
    (invalid,) = parts_of([CALL.replace("search_catalogue", "search_catalog_x")])
    assert invalid["args"] == CALL.replace("search_catalogue", "search_catalog_x")
    assert invalid["error"].startswith(
        "name: 'search_catalog_x' is unknown. Did you mean 'search_catalogue'? Known: search_catalogue, product_details"
    )


def test_escaped_text_in_arguments_is_unescaped() -> None:
    written = {"name": "search_catalogue", "arguments": {"query": COMMON_ESCAPING.escape("<|im_end|>")}}
    reader = ToolCallReader(TOOL_FORMAT, COMMON_ESCAPING)
    (called,) = [*reader.feed(json.dumps(written)), *reader.flush()]
    assert isinstance(called, dict)
    assert called["args"] == {"query": "<|im_end|>"}


@pytest.mark.parametrize(
    "query", ["a) b", "(", "))", "it's :)", 'the "Sun" lamp)', "a\\b", "'''", "```", "</tool_call>", "a\nb)", "[1]"]
)
def test_brackets_and_quotes_in_strings_do_not_end_a_python_call(query: str) -> None:
    text = f"search_catalogue(query={query!r}, limit=3)"
    assert parts_of([text]) == parts_of(text) == [call("search_catalogue", query=query, limit=3)]


def test_a_python_call_may_have_a_string_of_several_lines() -> None:
    text = 'search_catalogue(query="""red (or\nblue) lamp""")'
    assert parts_of([text]) == parts_of(text) == [call("search_catalogue", query="red (or\nblue) lamp")]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (r'"C:\temp"', r"may be a path; write each backslash as \\"),
        ('{"a": 1, "a": 2}', "a value is not a number, a text in quotes, a list or a dict"),
        ('{1: "a", "1": "b"}', "a value is not a number, a text in quotes, a list or a dict"),
    ],
)
def test_a_value_of_a_python_call_that_would_lose_something_is_invalid(value: str, reason: str) -> None:
    (invalid,) = parts_of([f"search_catalogue(query={value})"])
    assert reason in invalid["error"]
    assert parts_of([r"search_catalogue(query=r'C:\temp')"]) == [call("search_catalogue", query=r"C:\temp")]


def test_half_a_surrogate_pair_in_a_python_call_is_invalid() -> None:
    (invalid,) = parts_of(['search_catalogue(query="\\ud800")'])
    assert invalid["type"] == "invalid_tool_call"


@pytest.mark.parametrize("number", ["1e999", "NaN", "-Infinity"])
def test_numbers_that_are_not_json_are_invalid(number: str) -> None:
    (invalid,) = parts_of([CALL.replace('"lamp"', f'"lamp", "limit": {number}')])
    assert invalid["type"] == "invalid_tool_call"
    assert number in invalid["args"]


def test_a_number_of_any_size_is_validated_exactly() -> None:
    price = {"type": "number", "multipleOf": 0.3}
    pay = {"name": "pay", "parameters": {"type": "object", "properties": {"price": price}}}
    (invalid,) = parts_of([f'{{"name": "pay", "arguments": {{"price": {10**400}}}}}'], ToolCallFormat.from_tools([pay]))
    assert invalid["error"].endswith("it is not a multiple of 0.3")


@pytest.mark.parametrize("escaping", [NO_ESCAPING, COMMON_ESCAPING])
@pytest.mark.parametrize("levels", [150, 400, 900])
def test_arguments_that_are_nested_too_deeply_are_invalid(escaping: Escaping, levels: int) -> None:
    reader = ToolCallReader(ToolCallFormat.from_tools([{"name": "note", "parameters": {"type": "object"}}]), escaping)
    written = f'{{"name": "note", "arguments": {{"x": {"[" * levels}{"]" * levels}}}}}'
    (invalid,) = [*reader.feed(written), *reader.flush()]
    assert isinstance(invalid, dict)
    assert invalid["type"] == "invalid_tool_call"


@pytest.mark.parametrize("bracket", ["[", "{", '{"name":', '{"name": [', "search_catalogue(", "<tool_call>{"])
def test_deep_nesting_raises_nothing(bracket: str) -> None:
    parts_of([bracket * 3_000])
    parts_of([f'<tool_call>{{"name": "search_catalogue", "arguments": {bracket * 3_000}'])


def test_a_repeated_result_is_text() -> None:
    text = 'The result is {"name": "check_stock", "call": 2, "content": "3"}.'
    assert parts_of([text]) == [text]


@pytest.mark.parametrize("body", ['{"tool_calls": []}', "[]", "{}", "[[]]", '[{"tool_calls": [[]]}]', '{"": "x"}'])
def test_a_tag_without_a_call_is_an_invalid_call(body: str) -> None:
    assert [part["type"] for part in parts_of([f"<tool_call>{body}</tool_call>"])] == ["invalid_tool_call"]


def test_a_python_call_in_a_list_after_a_closing_tag_ends_with_the_text() -> None:
    text = "a </function>[check_stock("
    assert parts_of([text]) == parts_of(text)


FRAGMENTS = [
    *(
        "<think>",
        "</think>",
        "`",
        "> ",
        "\n\n",
        "“",
        "”",
        "~~~\n",
        "```python\n",
        "\n```\n",
        "<\\tool_call>",
        "<tool_c",
    ),
    *(
        "</tool_c",
        "\nlist_orders()",
        f"\n{CALL}",
        f"\n<tool_call>{CALL}</tool_call>\n",
        "functions.check_stock: ",
        "\r\n",
    ),
    *(
        "<tool_call>",
        "</tool_call>",
        "<TOOL_CALL id=1>",
        "<tools>",
        "</tool_response>",
        "```json\n",
        "```",
        "```tool_call\n",
    ),
    *("[TOOL_CALLS]", "<|python_tag|>", "<function=check_stock>", "</function>", "<parameter=query>", "</parameter>"),
    *(
        "\nAction: ",
        "search_catalogue",
        "\nAction Input: ",
        "\nObservation: ",
        "search_catalogue(query='lamp')",
        "check_stock(",
    ),
    *(
        CALL,
        CALL[:-1],
        CALL[:40],
        CALL.replace('"', "'"),
        '{"name": ',
        '"arguments": {',
        '"query": "',
        '"',
        "'",
        '"lamp"',
    ),
    *(
        "{",
        "}",
        "[",
        "]",
        "(",
        ")",
        ",",
        ":",
        "\n",
        " ",
        "\\",
        "5",
        "None",
        "// no",
        "text",
        "Search ",
        '{"x": 1}',
        "<|im_end|>",
    ),
]
answers = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=12).map("".join)


@given(answers, st.lists(st.integers(1, 12), min_size=1, max_size=6), st.booleans())
def test_the_parts_are_the_same_however_the_answer_is_chunked(text: str, sizes: list[int], truncated: bool) -> None:
    remaining, chunks = iter(text), list[str]()
    for size in cycle(sizes):
        if not (chunk := "".join(islice(remaining, size))):
            break
        chunks.append(chunk)
    assert parts_of(chunks, truncated=truncated) == parts_of([text], truncated=truncated)


@given(answers, st.booleans())
def test_no_word_is_lost(text: str, truncated: bool) -> None:
    assume("Observation:" not in text)  # a result that the model invents is not shown
    parts = parts_of([text], truncated=truncated)
    shown = "".join(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts)
    assert shown.count("lamp") >= text.count("lamp")
    assert shown.count("text") >= text.count("text")
