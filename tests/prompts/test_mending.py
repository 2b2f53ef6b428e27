r"""JSON that is not quite JSON is read exactly as it is written, or not at all: mending never changes a value."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.prompts.json_text.extent import MAX_NESTING
from sagechain.prompts.json_text.repair import parse_json

AS_WRITTEN: list[tuple[str, Any]] = [
    *(
        (f'{{"a": {text}}}', {"a": text})
        for text in [
            *(
                "<5",
                ">= 5",
                "~5",
                "5-",
                "5%",
                "5 kg",
                "12 345",
                "0x1F",
                "1_000",
                "+5",
                ".5",
                "5.",
                "1e",
                "-",
                "2024-01-05",
            ),
            *(
                "*.py",
                "src/**/*.py",
                "$HOME",
                "(a)",
                "f(x)",
                "red lamp",
                "it's",
                "#fff",
                "a\\d+",
                "http://x.y/z//q?a=1",
            ),
            *("TRUE", "none", "ünï", "@me", "a|b & c", "!x", "^a$", "x=1;"),
        ]
    ),
    ("{'a': '''tri'ple'''}", {"a": "tri'ple"}),
    ('{"a": """say "hi" now""",}', {"a": 'say "hi" now'}),
    ("{'a': 'men's shoes', 'b': 'don\\'t'}", {"a": "men's shoes", "b": "don't"}),
    ("{'a': 'the \"Sun\" lamp'}", {"a": 'the "Sun" lamp'}),
    ('{"a": "the "Sun" lamp"}', {"a": 'the "Sun" lamp'}),
    ('{"a": "print("x")"}', {"a": 'print("x")'}),
    ('{"a": "“smart” and ‘so’",}', {"a": "“smart” and ‘so’"}),
    ("{“a”: “b”, ‘c’: ‘don’t’}", {"a": "b", "c": "don’t"}),
    ('{"a": "one\n\ttwo\r\n\x01",}', {"a": "one\n\ttwo\r\n\x01"}),
    (r"""{'a': "C:\\new\\temp \u00e9 \ud83d\ude00 \/ \n",}""", {"a": "C:\\new\\temp é 😀 / \n"}),
    (
        '{"a": "http://x//y", // c\n "b": "# no", # c\n /* {"c": 1} */ "d": 1}',
        {"a": "http://x//y", "b": "# no", "d": 1},
    ),
    ('{"t": "{{x}} {{y}}",}', {"t": "{{x}} {{y}}"}),
    ('{{"t": "{{x}}", "u": {{"v": 1}}}}', {"t": "{{x}}", "u": {"v": 1}}),
    ('{"a": "</tool_call> ``` <|x|>",}', {"a": "</tool_call> ``` <|x|>"}),
    (
        "{'a': True, 'b': [False, None, null, true], c: 1.50, d: -0.0}",
        {"a": True, "b": [False, None, None, True], "c": 1.5, "d": 0},
    ),
    ('{"a": 123456789012345678901234567890,}', {"a": 123456789012345678901234567890}),
    ("[red, green lamp, 5 kg]", ["red", "green lamp", "5 kg"]),
    ('{"a": 7 "b": "S"\n"c": {}}', {"a": 7, "b": "S", "c": {}}),
    ('{"a": [1, {"b": 2}', {"a": [1, {"b": 2}]}),
    ('[{"a": 1} {"a": 2}]', [{"a": 1}, {"a": 2}]),
    ("[9007199254740993.0, 1e23]", [9007199254740993, 1e23]),
    (r'{"a": "Q: b\nA: c\n", "b": "C:\\temp"}', {"a": "Q: b\nA: c\n", "b": r"C:\temp"}),
]


@pytest.mark.parametrize(("text", "value"), AS_WRITTEN)
def test_a_value_is_read_as_it_is_written(text: str, value: Any) -> None:
    assert parse_json(text) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r'{"a": "C:\Users\new\temp.txt"}', r"has \U, which JSON does not know; write each backslash as \\"),
        (r'{"a": "C:\temp"}', r'"C:\temp" may be a path; write each backslash as \\'),
        (r"{'a': 'D:\new\report.txt'}", "may be a path"),
        ('{"a": "x" + "y"}', "may end at a quote inside it"),
        ('{"a": 7.00000000000000000001}', "the number 7.00000000000000000001 has too many digits"),
        (r'{"a": "\d+"}', r"has \d, which JSON does not know"),
        (r"""{"a": "echo 'it'\''s'"}""", r"has \', which JSON does not know"),
        (r"{'a': '\x41'}", r"has \x, which JSON does not know"),
        (r'{"a": "\u00zz"}', r"has \u, which JSON does not know"),
        (r'{"a": r"\\d"}', "is directly before a quote"),
        ("{'a': b'x'}", "is not in quotes"),
        ('{"a": """x\\n"""}', "has a backslash in triple quotes"),
        ("{'a': `ls`}", "is not in quotes"),
        ('{"a": “smart” quotes}', "it ends inside a string"),
        ('{"a": "5" nail"}', "may end at a quote inside it"),
        ('{"a": "say "hi", then go"}', "may end at a quote inside it"),
        ("{'a': 'the boys' shoes'}", "may end at a quote inside it"),
        ('{"a": "grep "x" "b": c"}', "may end at a quote inside it"),
        ('{"a": ["x", "y" "z"]}', "a comma or colon is missing"),
        ('{"a": red, green}', "the name 'green' is not in quotes"),
        ('{"a": Hello, world: yes}', "the name 'world' is not in quotes"),
        ('{"a": 10:30}', "is not in quotes"),
        ("{'a': C:\\new}", "is not in quotes"),
        ('{"a": red\nlamp}', "stands where nothing may be"),
        ('{"a": C # minor\n}', "what may be a comment"),
        ('{"a": 007}', "007 is not a value of JSON"),
        ("[1,000]", "000 is not a value of JSON"),
        ('{"a": 1e999}', "the number 1e999 is out of range"),
        ('{"a": 1e-999}', "the number 1e-999 is out of range"),
        ('{"a": 0.' + "0" * 400 + "1}", "is out of range"),
        *((f'{{"a": {word}}}', "is not a value of JSON") for word in ("NaN", "-Infinity", "undefined", "...", "…")),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ('{"a": 1, a: 1}', "'a' is given twice"),
        ('{"a": "\\ud800"}', "has half a surrogate pair"),
        ('{"\\udc00": 1,}', "has half a surrogate pair"),
        ('{"a": "\ud800",}', "has half a surrogate pair"),
        ('{"a": , "b": 1}', "a value is missing"),
        ('{"a", "b"}', "a value is missing"),
        ("[1,,2]", "a value is missing"),
        ('{"a": a[0]}', "a bracket [ stands where none may be"),
        ('{"a": x]}', "a bracket ] closes none"),
        ('{"a": 1} and more', "' and more' follows it"),
        ('{"a": "on', "it ends inside a string"),
        ('{"a": on', "it ends right after a number or word"),
        ('{"a": "on",', "it ends before an expected value"),
        ("", "this is not an object or array"),
    ],
)
def test_what_can_not_be_read_as_it_is_written_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as raised:
        parse_json(text)
    assert "\n" not in str(raised.value)


def test_nesting_and_long_numbers_have_a_limit_with_a_clear_error() -> None:
    for opening in ("[", '{"a":', "{", "[{'a':"):
        with pytest.raises(ValueError, match=f"nested more than {MAX_NESTING} levels|is missing|where none may be"):
            parse_json(opening * 100_000)
    with pytest.raises(ValueError, match=r"^this is not valid JSON: "):
        parse_json(f'{{"a": {"9" * 5_000}}}')


json_texts = st.text(st.characters(codec="utf-8"), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | json_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(json_texts, inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_trailing_commas_comments_and_missing_closing_brackets_change_nothing(value: Any) -> None:
    text = json.dumps({"k": [value]}, ensure_ascii=False)
    assert parse_json(f"{text[:-2]},],}}") == {"k": [value]}
    assert parse_json(f"{text[:-2]} /* c */ ]") == {"k": [value]}


@given(json_values)
def test_what_python_writes_is_read_as_it_is_meant_or_refused(value: Any) -> None:
    try:
        read = parse_json(repr({"k": value}))
    except ValueError as error:
        reason = str(error)
    else:
        assert read == {"k": value}
        return
    assert "JSON does not know" in reason or "may end at a quote" in reason


@given(st.text("ab \\\"'`“”#/*,:{}[]<>0.-\n", max_size=14))
def test_an_unescaped_text_between_quotes_is_whole_or_refused(text: str) -> None:
    try:
        value = parse_json(f'{{"k": "{text}"}}')
    except ValueError:
        return
    if value.keys() == {"k"} and '"' not in text and "\\" not in text:
        assert value == {"k": text}
    assert len(json.dumps(value, ensure_ascii=False)) >= len(text) - text.count("\\") - 4 * text.count("/")
