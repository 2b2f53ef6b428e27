"""A schema is brought to what decoding can be held to: never wider than it was, or refused."""

import re
from typing import Any

import pytest
from sagechain.llms.constrained.schemas import NOT_HELD, held_schema

STRING: dict[str, Any] = {"type": "string"}


def test_an_object_that_lists_its_properties_has_no_others_unless_the_schema_says_so() -> None:
    listed = {"type": "object", "properties": {"a": {"properties": {"b": STRING}}, "c": {"type": "object"}}}
    assert held_schema(listed, "schema") == {
        "type": "object",
        "properties": {
            "a": {"properties": {"b": STRING}, "additionalProperties": False},
            "c": {"type": "object", "additionalProperties": True},
        },
        "additionalProperties": False,
    }
    open_to_numbers = {"type": ["object", "null"], "properties": {}, "additionalProperties": {"type": "number"}}
    assert held_schema(open_to_numbers, "schema") == open_to_numbers


def test_an_object_stays_open_to_what_it_requires_and_does_not_list() -> None:
    schema = {"type": "object", "properties": {"a": STRING}, "required": ["a", "b"]}
    assert held_schema(schema, "schema") == {**schema, "additionalProperties": True}


@pytest.mark.parametrize(
    "composed",
    [
        {"allOf": [{"properties": {"a": STRING}}, {"properties": {"b": STRING}}]},
        {"properties": {"a": STRING}, "anyOf": [{"required": ["a"]}, {"properties": {"b": STRING}}]},
    ],
)
def test_composed_objects_stay_open_to_each_others_properties(composed: dict[str, Any]) -> None:
    assert held_schema(composed, "schema") == composed


def test_of_alternatives_those_are_left_that_can_be_held_to() -> None:
    number = {"type": "number"}  # as pydantic writes a Decimal: a number, or a string with a look-ahead
    assert held_schema({"anyOf": [number, {"type": "string", "pattern": "^(?!^[-+.]*$)"}]}, "schema") == {
        "anyOf": [number]
    }
    with pytest.raises(ValueError, match=r"^schema.anyOf\[0\]: decoding can't be held to 'not'; leave it out"):
        held_schema({"anyOf": [{"not": STRING}, {"if": STRING}]}, "schema")


def test_a_format_that_is_not_known_is_an_annotation() -> None:
    assert held_schema({"type": "string", "format": "file-path"}, "schema") == STRING
    dated = {"type": "string", "format": "date"}
    assert held_schema(dated, "schema") == dated


def test_what_says_nothing_is_left_out() -> None:
    assert held_schema({"type": "array", "uniqueItems": False, "not": False, "const": None}, "schema") == {
        "type": "array",
        "const": None,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "null"}, {"allOf": [{"$ref": "#/$defs/a"}]}]}}},
        {"properties": {"a": {"$ref": "#/properties/b"}, "b": {"oneOf": [{"$ref": "#/properties/a"}]}}},
    ],
)
def test_a_part_that_is_only_itself_is_refused(schema: dict[str, Any]) -> None:
    # llama.cpp would answer freely; xgrammar would find no token that fits.
    with pytest.raises(ValueError, match="a part that refers to itself and to nothing else"):
        held_schema(schema, "schema")


def test_a_part_may_hold_itself() -> None:
    tree = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}
    assert held_schema(tree, "schema") == tree


@pytest.mark.parametrize("keyword", sorted(NOT_HELD))
def test_what_cannot_be_held_to_is_refused_where_it_stands(keyword: str) -> None:
    values: dict[str, Any] = {"if": False, "uniqueItems": True, "minContains": 1, "maxContains": 1}
    value = "#" if keyword.startswith("$") else values.get(keyword, {})
    schema = {"$defs": {"x": {"items": {keyword: value}}}}
    message = f"schema.$defs.x.items: decoding can't be held to '{keyword}'; leave it out"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        held_schema(schema, "schema")


@pytest.mark.parametrize("pattern", ["a(?=b)", "(?<!x)a", r"(a)\1", r"(a)\\\1"])
def test_a_pattern_that_is_not_regular_is_refused(pattern: str) -> None:
    for schema in ({"type": "string", "pattern": pattern}, {"type": "object", "patternProperties": {pattern: {}}}):
        with pytest.raises(ValueError, match="look-around or group reference in the pattern"):
            held_schema(schema, "schema")


@pytest.mark.parametrize("pattern", [r"\(\?=b", r"\\1", "a|b", "(?:a)"])
def test_what_only_looks_so_is_taken(pattern: str) -> None:
    assert held_schema({"type": "string", "pattern": pattern}, "schema")
