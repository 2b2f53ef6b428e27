"""Validation, coercion and patterns take time that grows with schema and value only. Steps are counted, not seconds."""

import contextlib
import json
import re
from typing import Any

import pytest
from sagechain.prompts.json_text.coercion import JsonSchema
from sagechain.prompts.json_text.patterns import matches
from sagechain.prompts.json_text.schema_check import checked_schema

LEVELS = 40  # where the work doubles with each level, 40 never end


def expression(combine: str) -> dict[str, Any]:
    """A schema of nested sums and products, in which a value that fits none is tried in each."""
    inner = {"$ref": "#/$defs/E"}
    operations = (
        {"type": "object", "properties": {name: {"const": name}, "l": inner, "r": inner}, "required": ["l", "r"]}
        for name in ("add", "mul")
    )
    leaf = {"type": "object", "properties": {"num": {"type": "integer"}}, "required": ["num"]}
    return {"$ref": "#/$defs/E", "$defs": {"E": {combine: [leaf, *operations]}}}


@pytest.mark.parametrize("combine", ["anyOf", "oneOf", "allOf"])
@pytest.mark.parametrize("leaf", [{"num": 1}, {"num": "1"}, {"num": "bad"}])
def test_alternatives_that_refer_to_each_other_are_tried_once_for_each_value(combine: str, leaf: Any) -> None:
    value = leaf
    for _ in range(LEVELS):
        value = {"l": value, "r": {"num": 1}}
    with pytest.raises(ValueError, match=r"does not match|is required|valid under each"):
        JsonSchema(expression(combine), "answer").coerce({"l": value})
    if combine == "anyOf" and leaf["num"] != "bad":
        coerced = JsonSchema(expression(combine), "answer").coerce(value)
        assert json.dumps(coerced).count('"num": 1') == LEVELS + 1


def test_both_parts_of_a_schema_that_repeat_a_reference_are_reported_once() -> None:
    twice = [{"properties": {"l": {"$ref": "#"}}}] * 2
    value: Any = {"l": 1}
    for _ in range(LEVELS):
        value = {"l": value}
    with pytest.raises(ValueError, match=r"l\.l\.l"):
        JsonSchema({"type": "object", "allOf": twice}, "answer").coerce(value)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "(.*)*x", r"^([\w-]+\.?)+@$", "(x+x+)+y"])
def test_a_pattern_never_backtracks(pattern: str) -> None:
    for text in ("a" * 100_000 + "!", "x" * 100_000):
        for schema, value in (
            ({"pattern": pattern}, text),
            ({"patternProperties": {pattern: False}}, {text: 1}),
            ({"patternProperties": {pattern: {}}, "additionalProperties": {}}, {text: 1}),
        ):
            with contextlib.suppress(ValueError):
                assert JsonSchema(schema, "answer").coerce(value) == value


@pytest.mark.parametrize(
    ("pattern", "text", "matched"),
    [
        ("b", "abc", True),  # anywhere in the text
        ("^b", "abc", False),
        ("^a$", "a\n", False),  # unlike Python's
        (r"^\p{Lu}\d+$", "É42", True),
        (r"^[\u00e0-\u{ff}]\/$", "é/", True),
        (r"^\d$", "٣", False),
        ("^(?<year>[0-9]{4})$", "2024", True),
        ("^[^]$", "\n", True),
        ("(?!a)b", "b", None),
        (r"(a)\1", "aa", None),
        ("(", "(", None),
    ],
)
def test_patterns_are_those_of_ecma_262_and_others_are_not_checked(
    pattern: str, text: str, matched: bool | None
) -> None:
    assert matches(pattern, text) is matched
    if matched is not False:
        assert JsonSchema({"pattern": pattern}, "answer").coerce(text) == text


def test_a_value_that_does_not_match_its_pattern_is_an_error_with_both() -> None:
    with pytest.raises(ValueError, match=re.escape("a: \"x\" does not match '^[0-9]+$'")):
        JsonSchema({"properties": {"a": {"pattern": "^[0-9]+$"}}}, "answer").coerce({"a": "x"})
    strict = {"patternProperties": {"^n_": {"type": "integer"}}, "additionalProperties": False}
    assert JsonSchema(strict, "answer").coerce({"n_a": "1"}) == {"n_a": 1}
    with pytest.raises(ValueError, match=r"^m: is unknown"):
        JsonSchema(strict, "answer").coerce({"n_a": 1, "m": 1})


def test_wide_values_and_long_names_are_read_in_one_pass() -> None:
    known = {f"known_{number}": {"type": "integer"} for number in range(100)}
    value = {f"Name-{number}": number for number in range(20_000)}
    assert JsonSchema({"properties": known}, "answer").coerce(value) == value
    with pytest.raises(ValueError, match="is unknown") as raised:
        JsonSchema({"properties": known, "additionalProperties": False}, "answer").coerce({"x" * 100_000: 1})
    assert len(str(raised.value)) < 2_000
    rows = [{"a": number} for number in range(20_000)]
    assert JsonSchema({"uniqueItems": True}, "answer").coerce(rows) == rows


def test_a_schema_with_many_references_is_checked_in_one_pass() -> None:
    parts = {f"P{n}": {"anyOf": [{"$ref": f"#/$defs/P{n + 1}"}, {"$ref": f"#/$defs/P{n + 1}"}]} for n in range(300)}
    schema = {"$ref": "#/$defs/P0", "$defs": {**parts, "P300": {"type": "integer"}}}
    assert checked_schema(schema, "schema") == schema
    assert JsonSchema({"properties": {"a": {}}}, "answer").coerce({"a": 1}) == {"a": 1}


@pytest.mark.parametrize("levels", [300, 100_000])
def test_a_schema_that_is_nested_too_deeply_is_an_error(levels: int) -> None:
    schema: Any = {}
    for _ in range(levels):
        schema = {"items": schema}
    with pytest.raises(ValueError, match=r"^schema: it is nested too deeply$"):
        checked_schema(schema, "schema")


def test_a_schema_that_contains_itself_is_an_error() -> None:
    schema: dict[str, Any] = {}
    schema["items"] = schema
    with pytest.raises(ValueError, match=r"^schema: .*"):
        checked_schema(schema, "schema")
