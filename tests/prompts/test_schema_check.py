"""An invalid JSON schema is rejected with the part that is wrong, before any request."""

from typing import Any

import pytest
from sagechain.prompts.json_text.schema_check import checked_schema, subschemas

BROKEN: list[tuple[Any, str]] = [
    (
        {"type": "dict"},
        r"schema\.type: 'dict' is unknown\. Known: array, boolean, integer, null, number, object, string",
    ),
    ({"type": "strin"}, r"schema\.type: 'strin' is unknown\. Did you mean 'string'\?"),
    ({"type": ["string", "int"]}, r"schema\.type\[1\]: 'int' is unknown\. Did you mean 'integer'\?"),
    ({"properties": {"a": {"items": {"type": "list"}}}}, r"schema\.properties\.a\.items\.type: 'list' is unknown"),
    (
        {"properties": {"type": "string"}},
        r"schema\.properties\.type: this is not a JSON schema \(draft 2020-12\): 'string'",
    ),
    ({"properties": []}, r"schema\.properties: this is not a JSON schema"),
    ({"minimum": "1"}, r"schema\.minimum: this is not a JSON schema"),
    ([], r"schema: this is not a JSON schema"),
    ({"$ref": "#/$defs/A"}, r"schema: it refers to '#/\$defs/A', which it does not contain"),
    (
        {"not": {"$ref": "http://127.0.0.1/x.json"}},
        r"schema: it refers to 'http://127\.0\.0\.1/x\.json', which it does not contain",
    ),
    ({"allOf": [{}], "items": {"$ref": "#/allOf/x"}}, r"it refers to '#/allOf/x'"),
    ({"minLength": 1, "items": {"$ref": "#/minLength/x"}}, r"it refers to '#/minLength/x'"),
    ({"$ref": "#/title", "title": "T"}, r"schema: #/title: this is not a JSON schema"),
    ({"$ref": "#/parts/A", "parts": {"A": {"type": "dict"}}}, r"schema: #/parts/A\.type: 'dict' is unknown"),
    ({"$ref": "#/parts/A", "parts": {"A": {"not": {"$ref": "#/parts/B"}}}}, r"#/parts/A: it refers to '#/parts/B'"),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, r"schema: .* refers to itself without end"),
    ({"items": {"anyOf": [{"not": {"$ref": "#/items"}}]}}, r"schema: .* refers to itself without end"),
    ({"$defs": {"A": {"$id": "urn:a"}}}, r"schema: a part of it has an `\$id`, 'urn:a'; leave it out"),
]


@pytest.mark.parametrize(("schema", "message"), BROKEN)
def test_an_invalid_schema_is_rejected_with_its_part(schema: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}" if message.startswith("schema") else message):
        checked_schema(schema, "schema")


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "definitions": {"A": {"type": "string"}},
        },
        {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"next": {"$ref": "#/$defs/A"}}}}},
        {"properties": {"a": {"$ref": "#/properties/b"}, "b": {"$ref": "#there"}, "c": {"$anchor": "there"}}},
        {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}, "type": {"enum": ["a"]}}},
        {"pattern": r"^\p{L}+$", "default": object()},
        {"$id": "https://example.com/tree", "items": {"$ref": "#"}},
    ],
)
def test_a_valid_schema_is_accepted(schema: Any) -> None:
    checked_schema(schema, "schema")


def test_subschemas_are_found_at_any_depth() -> None:
    schema = {"properties": {"a": {"items": {"not": {"type": "null"}}}}, "anyOf": [True, {"minimum": 1}]}
    assert [part for part in subschemas(schema) if len(part) == 1 and "properties" not in part] == [
        {"items": {"not": {"type": "null"}}},
        {"not": {"type": "null"}},
        {"type": "null"},
        {"minimum": 1},
    ]
