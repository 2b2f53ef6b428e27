"""Values are made to fit a schema: what loses nothing is turned, and all that is wrong is told."""

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


def test_what_a_reference_leads_to_is_turned_too_at_any_depth() -> None:
    assert JsonSchema(TREE, "answer").coerce({"value": "1", "next": {"value": "2", "next": {"value": 3.0}}}) == {
        "value": 1,
        "next": {"value": 2, "next": {"value": 3}},
    }
    with pytest.raises(ValueError, match=r"^next\.next\.value: \"x\" does not match; expected: integer$"):
        JsonSchema(TREE, "answer").coerce({"value": 1, "next": {"value": 2, "next": {"value": "x"}}})


def test_all_that_is_wrong_is_told_up_to_three_things() -> None:
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in "abcd"}, "required": ["e"]}
    with pytest.raises(
        ValueError, match=r"^e: is required; expected: a value; a: \"x\" does not match; expected: integer; b: "
    ) as told:
        JsonSchema(schema, "answer").coerce(dict.fromkeys("abcd", "x"))
    assert "c: " not in str(told.value)


@pytest.mark.parametrize(
    ("schema", "given"),
    [({"multipleOf": 0.5}, 10**400), ({"type": "number"}, "9" * 300 + "e99")],
)
def test_numbers_beyond_all_bounds_are_errors(schema: dict[str, Any], given: Any) -> None:
    with pytest.raises(ValueError, match=r"^answer: "):
        JsonSchema(schema, "answer").coerce(given)


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "A"]), inner, max_size=3),
    max_leaves=8,
)
schema_of = st.recursive(
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


@given(schema_of, json_value)
def test_whatever_is_given_fits_afterwards_or_is_a_value_error(schema: dict[str, Any], value: Any) -> None:
    from jsonschema import Draft202012Validator

    try:
        check_schema(schema, "schema")
        fitted = JsonSchema(schema, "answer").coerce(value)
    except ValueError:
        return
    assert Draft202012Validator(schema).is_valid(fitted)
    assert JsonSchema(schema, "answer").coerce(fitted) == fitted
