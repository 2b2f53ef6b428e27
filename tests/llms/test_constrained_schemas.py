"""A schema is reduced to what constrained decoding enforces: it never accepts more than before, or it is refused."""

import json
import re
from typing import Any

import pytest
from llguidance import LLMatcher
from sagechain.llms.constrained.grammars import answer_grammar
from sagechain.llms.constrained.schemas import UNSUPPORTED_KEYWORDS, constrainable_schema
from sagechain.prompts import JsonFormat
from sagechain.prompts.json_text import JsonSchema, checked_schema

from tests.llms.grammar_sampling import BYTES, sample

STRING: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
NULL: dict[str, Any] = {"type": "null"}
BOOLEAN: dict[str, Any] = {"type": "boolean"}


def test_an_object_that_lists_its_properties_has_no_others_unless_the_schema_says_so() -> None:
    listed = {"type": "object", "properties": {"a": {"properties": {"b": STRING}}, "c": {"type": "object"}}}
    assert constrainable_schema(listed, "schema") == {
        "type": "object",
        "properties": {
            "a": {"properties": {"b": STRING}, "additionalProperties": False},
            "c": {"type": "object", "additionalProperties": True},
        },
        "additionalProperties": False,
    }
    open_to_numbers = {"type": ["object", "null"], "properties": {}, "additionalProperties": {"type": "number"}}
    assert constrainable_schema(open_to_numbers, "schema") == open_to_numbers


def test_an_object_stays_open_to_what_it_requires_and_does_not_list() -> None:
    schema = {"type": "object", "properties": {"a": STRING}, "required": ["a", "b"]}
    assert constrainable_schema(schema, "schema") == {**schema, "additionalProperties": True}


@pytest.mark.parametrize(
    "composed",
    [
        {"allOf": [{"properties": {"a": STRING}}, {"properties": {"b": STRING}}]},
        {"properties": {"a": STRING}, "anyOf": [{"required": ["a"]}, {"properties": {"b": STRING}}]},
    ],
)
def test_composed_objects_stay_open_to_each_others_properties(composed: dict[str, Any]) -> None:
    assert constrainable_schema(composed, "schema") == composed


def test_alternatives_that_cannot_be_enforced_are_left_out() -> None:
    number = {"type": "number"}  # as pydantic writes a Decimal: a number, or a string with a look-ahead
    assert constrainable_schema({"anyOf": [number, {"type": "string", "pattern": "^(?!^[-+.]*$)"}]}, "schema") == {
        "anyOf": [number]
    }
    with pytest.raises(ValueError, match=r"^schema.anyOf\[0\]: decoding can't be constrained to 'not'; leave it out"):
        constrainable_schema({"anyOf": [{"not": STRING}, {"if": STRING}]}, "schema")


def test_an_unknown_format_is_only_an_annotation() -> None:
    assert constrainable_schema({"type": "string", "format": "file-path"}, "schema") == STRING
    dated = {"type": "string", "format": "date"}
    assert constrainable_schema(dated, "schema") == dated


def test_keywords_without_effect_are_left_out() -> None:
    assert constrainable_schema({"type": "array", "uniqueItems": False, "not": False, "const": None}, "schema") == {
        "type": "array",
        "const": None,
    }


def test_a_part_may_contain_itself() -> None:
    tree = {"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}}
    assert constrainable_schema(tree, "schema") == tree


@pytest.mark.parametrize("keyword", sorted(UNSUPPORTED_KEYWORDS))
def test_an_unsupported_keyword_is_refused_with_its_place(keyword: str) -> None:
    values: dict[str, Any] = {"if": False, "uniqueItems": True, "minContains": 1, "maxContains": 1}
    value = "#" if keyword.startswith("$") else values.get(keyword, {})
    schema = {"$defs": {"x": {"items": {keyword: value}}}}
    message = f"schema.$defs.x.items: decoding can't be constrained to '{keyword}'; leave it out"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        constrainable_schema(schema, "schema")


@pytest.mark.parametrize("pattern", ["a(?=b)", "(?<!x)a", r"(a)\1", r"(a)\\\1"])
def test_a_pattern_that_is_not_regular_is_refused(pattern: str) -> None:
    for schema in ({"type": "string", "pattern": pattern}, {"type": "object", "patternProperties": {pattern: {}}}):
        with pytest.raises(ValueError, match="look-around or group reference in the pattern"):
            constrainable_schema(schema, "schema")


@pytest.mark.parametrize("pattern", [r"\(\?=b", r"\\1", "a|b", "(?:a)"])
def test_a_regular_pattern_that_looks_irregular_is_accepted(pattern: str) -> None:
    assert constrainable_schema({"type": "string", "pattern": pattern}, "schema")


@pytest.mark.parametrize("keyword", sorted(UNSUPPORTED_KEYWORDS))
def test_llguidance_does_not_support_the_keywords_that_are_refused_here(keyword: str) -> None:
    values: dict[str, Any] = {
        "uniqueItems": True,
        "minContains": 1,
        "maxContains": 1,
        "dependentRequired": {"a": ["b"]},
    }
    subschema: dict[str, Any] = {"a": {}} if keyword.startswith("depend") else {"type": "integer"}
    schema = {keyword: "#" if keyword.startswith("$") else values.get(keyword, subschema)}
    assert f'Unimplemented keys: ["{keyword}"]' in LLMatcher.validate_grammar(
        f"start: %json {json.dumps(schema)}", BYTES
    )


ENFORCED: list[dict[str, Any]] = [
    {"type": "integer", "multipleOf": 7},
    {"type": "integer", "multipleOf": 5, "minimum": 1},
    {"type": "number", "multipleOf": 0.5},
    {"type": "integer", "exclusiveMinimum": -12, "maximum": 305},
    {"type": "number", "minimum": -0.5, "exclusiveMaximum": 12.25},
    {"type": ["integer", "null"], "minimum": 3},
    {"minimum": 3},
    {"type": "string", "format": "uri", "minLength": 1},
    {"type": "string", "format": "date", "pattern": "^2"},
    {"type": "string", "pattern": "^[^a]{2}.$"},
    {"type": "string", "pattern": r"\d|^x"},
    {"type": "string", "pattern": "^a+$", "maxLength": 3},
    {"type": "string", "minLength": 3, "maxLength": 3},
    {"enum": ['a"b', "c/d", "\x01", 1.5, -0.1, 10**20, None]},
    {"enum": ["a", "bc"], "maxLength": 1},
    {"enum": ["a", 1], "type": "string"},
    {"type": "array", "items": BOOLEAN, "minItems": 1, "maxItems": 2},
    {"type": "array", "prefixItems": [NULL], "items": False},
    {"type": "array", "items": [NULL, BOOLEAN], "minItems": 2, "additionalItems": False},
    {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 2},
    {"type": "object", "properties": {"a": NUMBER}, "additionalProperties": BOOLEAN},
    {"type": "object", "properties": {"a": STRING}, "required": ["b"]},
    {"type": "object", "patternProperties": {"^[ab]{2}$": NULL}, "maxProperties": 2},
    {"type": "object", "additionalProperties": STRING, "minProperties": 2},
    {"required": ["a"]},
    {"anyOf": [STRING, NUMBER], "maxLength": 2},
    {"allOf": [STRING, {"type": "string", "maxLength": 2}]},
    {"allOf": [{"properties": {"a": NULL}, "required": ["a"]}, {"properties": {"b": BOOLEAN}, "required": ["b"]}]},
    {"$ref": "#/$defs/x", "minLength": 2, "$defs": {"x": STRING}},
    {"$ref": "#x", "$defs": {"x": {"$anchor": "x", "type": "null"}}},
    {
        "type": "object",
        "properties": {
            "a": {"type": "object", "properties": {"title": NULL}, "required": ["title"]},
            "b": {"type": "object", "properties": {"title": BOOLEAN}, "required": ["title"]},
        },
        "required": ["a", "b"],
    },
]


@pytest.mark.parametrize("schema", ENFORCED, ids=str)
def test_every_text_of_the_grammar_fits_the_schema(schema: dict[str, Any]) -> None:
    grammar = answer_grammar(JsonFormat(schema))
    assert grammar is not None
    texts = [text for seed in range(40) if (text := sample(grammar, seed=seed)) is not None]
    assert texts
    for text in texts:
        JsonSchema(checked_schema(schema, "schema"), "answer").coerce(json.loads(text))
