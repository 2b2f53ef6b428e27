"""Schemas of older drafts are read as they are meant there, and refused where no draft gives them a meaning."""

from typing import Any

import pytest
from sagechain.prompts import ToolCallFormat
from sagechain.prompts.json_text.coercion import JsonSchema
from sagechain.prompts.json_text.schema_check import checked_schema

DRAFT_04 = {"$schema": "http://json-schema.org/draft-04/schema#"}
DRAFT_06 = {"$schema": "http://json-schema.org/draft-06/schema"}
DRAFT_07 = {"$schema": "http://json-schema.org/draft-07/schema#"}
DRAFT_2019 = {"$schema": "https://json-schema.org/draft/2019-09/schema"}
DRAFT_2020 = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
NUMBER, TEXT = {"type": "number"}, {"type": "string"}

SCHEMAS: list[tuple[Any, list[Any], list[Any]]] = [
    # schema, values that fit, values that do not
    ({"items": [NUMBER, TEXT]}, [[1, "a"], [1], [1, "a", None]], [["a"], [1, {}]]),
    ({**DRAFT_07, "items": [NUMBER], "additionalItems": False}, [[1], []], [[1, 2]]),
    ({**DRAFT_07, "items": [NUMBER], "additionalItems": TEXT}, [[1, "a"]], [[1, None]]),
    ({**DRAFT_2019, "items": [NUMBER], "additionalItems": False}, [[1]], [[1, 2]]),
    ({**DRAFT_07, "items": NUMBER, "additionalItems": False}, [[1, 2]], [[None]]),
    ({"minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False}, [1, 9], [0, 10]),
    ({**DRAFT_04, "properties": {"n": {"minimum": 0, "exclusiveMinimum": True}}}, [{"n": 1}], [{"n": 0}]),
    ({**DRAFT_06, "exclusiveMinimum": 0}, [1], [0]),
    ({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, [{"a": 1, "b": 1}, {}], [{"a": 1}, {"c": 1}]),
    ({**DRAFT_07, "properties": {"id": {"type": "integer"}}}, [{"id": 1}], [{"id": "x"}]),
    (
        {**DRAFT_07, "properties": {"a": {"$ref": "#/definitions/A", "type": "null"}}, "definitions": {"A": TEXT}},
        [{"a": "x"}],
        [{"a": []}],
    ),
    (
        {**DRAFT_07, "properties": {"items": {"items": [TEXT, {"$ref": "#/properties/items/items/0"}]}}},
        [{"items": ["a", "b"]}],
        [{"items": ["a", {}]}],
    ),
    ({**DRAFT_07, "definitions": {"A": {"$id": "#a", **TEXT}}, "items": {"$ref": "#a"}}, [["x"]], [[{}]]),
    ({**DRAFT_04, "id": "http://x/y", "items": {"$ref": "#"}}, [[[]]], []),
    ({**DRAFT_2019, "items": {"$recursiveRef": "#"}, "type": "array"}, [[[[]]]], [[{}, 5.5]]),
    (
        {**DRAFT_2020, "$dynamicAnchor": "n", "type": "object", "properties": {"n": {"$dynamicRef": "#n"}}},
        [{"n": {"n": {}}}],
        [{"n": {"n": 1}}],
    ),
    ({"$defs": {"a/b~c": TEXT}, "items": {"$ref": "#/$defs/a~1b~0c"}}, [["x"]], [[{}]]),
    ({"$defs": {"a b": TEXT}, "items": {"$ref": "#/$defs/a%20b"}}, [["x"]], [[{}]]),
    ({"$schema": "https://example.com/own", "items": [NUMBER]}, [[1]], [["x"]]),
    (True, [1, {}], []),
]


@pytest.mark.parametrize(("schema", "fitting", "others"), SCHEMAS)
def test_a_schema_is_read_by_its_draft(schema: Any, fitting: list[Any], others: list[Any]) -> None:
    checked = checked_schema(schema, "schema")
    assert checked_schema(checked, "schema") == checked
    for value in fitting:
        assert JsonSchema(checked, "answer").coerce(value) == value
    for value in others:
        with pytest.raises(ValueError, match=r"\S"):
            JsonSchema(checked, "answer").coerce(value)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({**DRAFT_2020, "items": [NUMBER]}, r"schema\.items: this is not a JSON schema \(draft 2020-12\)"),
        ({**DRAFT_07, "exclusiveMinimum": True}, r"schema\.exclusiveMinimum: this is not a JSON schema \(draft-07\)"),
        ({"items": [NUMBER], "minItems": "1"}, r"schema\.minItems: this is not a JSON schema \(draft-07\)"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, r"schema\.\$schema: draft-03 is not read here"),
        (
            {**DRAFT_07, "items": {"$ref": "#/additionalItems"}, "additionalItems": TEXT},
            r"it refers to '#/additionalItems'",
        ),
        (
            {"unevaluatedProperties": False, "allOf": [{"patternProperties": {"^(a+)+$": {}}}]},
            r"schema: it has `unevaluatedProperties` and `patternProperties`",
        ),
    ],
)
def test_a_schema_that_its_draft_does_not_allow_is_an_error(schema: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_schema(schema, "schema")


A_TO_A: list[Any] = [
    {"$ref": "#"},
    {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
    *(
        {"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": branch}}
        for branch in (
            {"allOf": [{}, {"$ref": "#/$defs/A"}]},
            {"anyOf": [{"type": "null"}, {"oneOf": [{"$ref": "#/$defs/A"}]}]},
            {"not": {"$ref": "#/$defs/A"}},
            {"if": {"type": "object"}, "then": {"$ref": "#/$defs/A"}},
            {"dependentSchemas": {"a": {"$ref": "#/$defs/A"}}},
            {"$ref": "#/properties/a"},
        )
    ),
    {"$dynamicAnchor": "x", "$dynamicRef": "#x"},
    {"$anchor": "x", "anyOf": [{"$ref": "#x"}]},
]


@pytest.mark.parametrize("schema", A_TO_A)
def test_references_that_return_to_themselves_are_refused_when_a_tool_is_bound(schema: Any) -> None:
    tool = {"name": "f", "description": "", "parameters": {"type": "object", **schema}}
    with pytest.raises(ValueError, match=r"^tools\['f'\]\.parameters.*: .* refers to itself without end"):
        ToolCallFormat.from_tools([{"type": "function", "function": tool}])


@pytest.mark.parametrize(
    "part",
    [
        {"properties": {"a": {"$ref": "#"}}},
        {"items": {"$ref": "#"}},
        {"prefixItems": [{"$ref": "#"}]},
        {"additionalProperties": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        {"patternProperties": {"^a": {"$ref": "#"}}},
        {"contains": {"$ref": "#"}},
        {"anyOf": [{"properties": {"a": {"$ref": "#"}}}, {"type": "null"}]},
    ],
)
def test_recursive_schemas_are_accepted(part: Any) -> None:
    assert checked_schema(part, "schema") == part
