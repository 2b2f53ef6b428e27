"""Values are coerced to a schema where nothing is lost by it, and every mismatch is an error with its field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.prompts.json_text.coercion import JsonSchema
from sagechain.prompts.json_text.schema_check import check_schema

TREE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/Node"}},
            "required": ["value"],
        }
    },
}


def test_values_are_coerced_behind_references_at_any_depth() -> None:
    assert JsonSchema(TREE, "answer").coerce({"value": "1", "next": {"value": "2", "next": {"value": 3.0}}}) == {
        "value": 1,
        "next": {"value": 2, "next": {"value": 3}},
    }
    with pytest.raises(ValueError, match=r"^next\.next\.value: \"x\" does not match; expected: integer$"):
        JsonSchema(TREE, "answer").coerce({"value": 1, "next": {"value": 2, "next": {"value": "x"}}})


@pytest.mark.parametrize("value", ["x", 1, {"a": []}])
def test_a_value_for_an_array_of_arrays_is_not_wrapped_without_end(value: Any) -> None:
    arrays = {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}
    with pytest.raises(ValueError, match=r"^answer: .* does not match; expected: array$"):
        JsonSchema(arrays, "answer").coerce(value)
    assert JsonSchema(arrays, "answer").coerce("null") == [None]
    matrix = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}
    assert JsonSchema(matrix, "answer").coerce("5") == [[5]]


def test_an_error_lists_up_to_three_mismatches() -> None:
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in "abcd"}, "required": ["e"]}
    with pytest.raises(
        ValueError, match=r"^e: is required; expected: a value; a: \"x\" does not match; expected: integer; b: "
    ) as error:
        JsonSchema(schema, "answer").coerce(dict.fromkeys("abcd", "x"))
    assert "c: " not in str(error.value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [({"multipleOf": 0.5}, 10**400), ({"type": "number"}, "9" * 300 + "e99")],
)
def test_a_number_that_is_too_large_is_an_error(schema: dict[str, Any], value: Any) -> None:
    with pytest.raises(ValueError, match=r"^answer: "):
        JsonSchema(schema, "answer").coerce(value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "A"]), inner, max_size=3),
    max_leaves=8,
)
schemas = st.recursive(
    st.sampled_from(
        [
            {},
            *({"type": name} for name in ("array", "boolean", "integer", "null", "number", "object", "string")),
            {"type": ["string", "null"]},
            {"enum": ["Red", 5, None]},
            {"const": True},
            {"$ref": "#"},
        ]
    ),
    lambda inner: st.one_of(
        st.builds(lambda a, b: {"anyOf": [a, b]}, inner, inner),
        st.builds(lambda a, b: {"oneOf": [a, b]}, inner, inner),
        st.builds(lambda a: {"type": "array", "items": a}, inner),
        st.builds(lambda a, b: {"type": "object", "properties": {"a": a}, "additionalProperties": b}, inner, inner),
    ),
    max_leaves=4,
)


@given(schemas, json_values)
def test_any_value_matches_after_coercion_or_is_a_value_error(schema: dict[str, Any], value: Any) -> None:
    from jsonschema import Draft202012Validator

    try:
        check_schema(schema, "schema")
        coerced = JsonSchema(schema, "answer").coerce(value)
    except ValueError:
        return
    assert Draft202012Validator(schema).is_valid(coerced)
    assert JsonSchema(schema, "answer").coerce(coerced) == coerced
