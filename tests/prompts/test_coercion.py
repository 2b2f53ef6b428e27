"""Values are coerced to a schema where nothing is lost by it, and every mismatch is an error with its field."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sagechain.prompts.json_text.coercion import JsonSchema
from sagechain.prompts.json_text.repair import parse_json
from sagechain.prompts.json_text.schema_check import checked_schema

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


def test_an_integer_is_the_number_that_was_written() -> None:
    schema = JsonSchema({"type": "integer"}, "n")
    for written, number in (("1e5", 100_000), ("9007199254740993.0", 9007199254740993), ("7.0", 7)):
        coerced = schema.coerce(parse_json(f"[{written}]")[0])
        assert coerced == number
        assert isinstance(coerced, int)


def test_a_number_that_is_too_large_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^answer: "):
        JsonSchema({"type": "number"}, "answer").coerce("9" * 300 + "e99")


@pytest.mark.parametrize(
    ("divisor", "multiples", "others"),
    [
        (0.01, [19.99, 1e308, 0, -0.07, 3, 10**400], [0.005, 19.995, 1e-320]),
        (0.1, [0.3, 1e15], [0.35]),
        (1e-320, [1e-319], [1.5e-320]),
        (0.5, [10**400, 1.5], [0.25]),
        (3, [9, 10**30 - 1, 9.0], [10, 10**30, 1e-5]),
        (1e308, [1e308, 0], [1, 5e307]),
    ],
)
def test_multiples_are_computed_in_decimal(divisor: float, multiples: list[float], others: list[float]) -> None:
    schema = JsonSchema({"multipleOf": divisor}, "answer")
    assert [schema.coerce(value) for value in multiples] == multiples
    for value in others:
        with pytest.raises(ValueError, match=re.escape(f"it is not a multiple of {divisor}")):
            schema.coerce(value)


@pytest.mark.parametrize(
    ("schema", "written", "value"),
    [
        *(({"type": "integer"}, text, 7) for text in ("7", " 7 ", "+7", "7.0", 7.0, "07")),
        *(({"type": "number"}, text, 0.5) for text in (".5", "+0.5", "5e-1", "0.50")),
        ({"type": "number"}, "5.", 5.0),
        ({"type": "boolean"}, "True", True),
        ({"type": ["integer", "null"]}, "none", None),
        ({"type": "string"}, 7, "7"),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}, ["1", 2, "x"], [1, "2", "x"]),
        ({"type": "array", "prefixItems": [{}], "items": {"type": "integer"}}, ["1", "2"], ["1", 2]),
        (
            {"patternProperties": {"^n": {"type": "integer"}}, "additionalProperties": {"type": "null"}},
            {"n": "1", "x": "null"},
            {"n": 1, "x": None},
        ),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}, 0, False], [1, True, "1", [1], {"a": 1}, 0, False]),
    ],
)
def test_a_value_whose_whole_text_is_one_of_the_type_is_converted(
    schema: dict[str, Any], written: Any, value: Any
) -> None:
    coerced = JsonSchema(schema, "answer").coerce(written)
    assert coerced == value
    assert repr(coerced) == repr(value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        *(
            ({"type": "integer"}, text)
            for text in ("7.5", "7 kg", "0x7", "1_000", "1,000", "7e0", "٧", 1e23, "", 7.5, True)
        ),
        *(({"type": "number"}, text) for text in ("<5", "5%", "5-", "NaN", "Infinity", "1e999", "1e-999", "1 000")),
        *(({"type": "boolean"}, text) for text in ("yes", 1, "on")),
        ({"type": "string"}, 7.5),
        ({"type": "array", "items": {"type": "string"}}, "['a', 'b"),
        ({"uniqueItems": True}, [1, 1.0]),
        ({"uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2, "a": 1}]),
        ({"const": 1}, True),
    ],
)
def test_a_value_that_would_change_is_not_converted(schema: dict[str, Any], value: Any) -> None:
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


def is_integer(_: Any, value: Any) -> bool:
    """As jsonschema's, but a float beyond 2^53 is none: the integer that was written may be one of several."""
    if isinstance(value, float):
        return value.is_integer() and abs(value) <= 2**53
    return isinstance(value, int) and not isinstance(value, bool)


@given(schemas, json_values)
@example({"oneOf": [{}, {"type": "integer"}]}, 9007199254740994.0)
def test_any_value_matches_after_coercion_or_is_a_value_error(schema: dict[str, Any], value: Any) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    try:
        schema = checked_schema(schema, "schema")
        coerced = JsonSchema(schema, "answer").coerce(value)
    except ValueError:
        return
    types = Draft202012Validator.TYPE_CHECKER.redefine("integer", is_integer)
    assert extend(Draft202012Validator, type_checker=types)(schema).is_valid(coerced)
    assert JsonSchema(schema, "answer").coerce(coerced) == coerced
