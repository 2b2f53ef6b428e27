"""Coerce values that a model wrote to a JSON schema, where nothing is lost by it, and validate the result.

    JsonSchema({"type": "integer"}, "quantity").coerce("5")   # 5

Coerced are: text to numbers, booleans and null (`"5"`, `"true"`); whole floats to integers (`5.0`); integers to text; text
that is JSON to the object or array; a single value to an array of one; letter case of enum values and spelling of property
names to those of the schema.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ..suggestions import did_you_mean, normalize
from .repair import parse_json
from .schema_check import reference_lookup

MAX_VALUE_CHARACTERS = 200
"""How much of a wrong value an error quotes."""
MAX_ERRORS = 3
"""How many mismatches one error lists."""

MAX_WRAPS = 3
"""How deep a single value is put into arrays; in a schema of arrays of arrays of … it would never end."""


class JsonSchema:
    """A JSON schema that values are coerced to.

    Args:
        schema: a schema that passes `check_schema`.
        name: what errors call the whole value.
    """

    def __init__(self, schema: Mapping[str, Any], name: str) -> None:
        from referencing import Registry

        self._schema, self._name = schema, name
        # With an empty registry no reference to elsewhere is fetched.
        self._validator = _validator_class()(schema, registry=Registry())
        self._lookup = reference_lookup(schema)

    def coerce(self, value: Any) -> Any:
        """The value in the form that the schema requires.

        Raises:
            ValueError: it does not match; one line with the fields, their values and what the schema expects.
        """
        try:
            coerced = self._coerce(value, self._schema)
            errors = sorted(self._validator.iter_errors(coerced), key=lambda error: list(map(str, error.absolute_path)))
        except RecursionError as error:
            raise ValueError(f"{self._name}: it is nested too deeply") from error
        except OverflowError as error:
            raise ValueError(f"{self._name}: a number in it is too large") from error
        if errors:
            lines = dict.fromkeys(_mismatch(error, self._name) for error in errors[:MAX_ERRORS])
            raise ValueError("; ".join(lines))
        return coerced

    def _coerce(self, value: Any, schema: Any, *, wraps: int = MAX_WRAPS) -> Any:
        """The value as far as it can be coerced.

        Args:
            value: any JSON value.
            schema: the schema or a part of it.
            wraps: how many times the value may become an array of one.
        """
        if not isinstance(schema, Mapping):
            return value
        if "$ref" in schema:
            value = self._coerce(value, self._lookup(schema["$ref"]).contents, wraps=wraps)
        for part in schema.get("allOf", ()):
            value = self._coerce(value, part, wraps=wraps)
        for options in (schema.get("anyOf"), schema.get("oneOf")):
            value = self._coerce_to_option(value, options, wraps) if options else value
        value = _enum_value(value, schema)
        types = _types(schema)
        if types and not any(self._validator.is_type(value, name) for name in types):
            conversions = (each for name in types for each in self._converted(value, name, schema, wraps))
            value = next(conversions, value)
        if "integer" in types and isinstance(value, float) and value.is_integer():
            return int(value)
        return self._coerce_inside(value, schema)

    def _coerce_to_option(self, value: Any, options: list[Any], wraps: int) -> Any:
        """The value coerced to the first option that it then matches, with options that it already matches first."""
        in_order = [*(option for option in options if self._matches(value, option)), *options]
        for option in in_order:
            coerced = self._coerce(value, option, wraps=wraps)
            if self._matches(coerced, option):
                return coerced
        return value

    def _matches(self, value: Any, schema: Any) -> bool:
        return bool(self._validator.evolve(schema=schema).is_valid(value))

    def _converted(self, value: Any, type_name: str, schema: Mapping[str, Any], wraps: int) -> Iterator[Any]:
        """The value as that JSON type, if nothing is lost by it."""
        if isinstance(value, str):
            yield from _parse_as(value.strip(), type_name)
        if type_name == "string" and isinstance(value, int) and not isinstance(value, bool):
            yield str(value)
        if type_name == "array" and value is not None:
            arrays = ([self._coerce(value, schema.get("items"), wraps=inner_wraps)] for inner_wraps in range(wraps))
            yield from (array for array in arrays if self._matches(array, schema))

    def _coerce_inside(self, value: Any, schema: Mapping[str, Any]) -> Any:
        if isinstance(value, list):
            return [self._coerce(item, schema.get("items")) for item in value]
        if not isinstance(value, dict):
            return value
        known = schema.get("properties", {})
        renamed = {_property_name(name, known, value): item for name, item in value.items()}
        return {
            name: self._coerce(item, known.get(name, schema.get("additionalProperties")))
            for name, item in renamed.items()
        }


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _parse_as(text: str, type_name: str) -> Iterator[Any]:
    if type_name == "integer" and re.fullmatch(r"[+-]?\d{1,300}(?:\.0+)?", text):
        yield int(text.split(".")[0])
    if type_name == "number" and re.fullmatch(r"[+-]?(?:\d{1,300}\.?\d{0,300}|\.\d{1,300})(?:[eE][+-]?\d{1,2})?", text):
        number = float(text) if re.search(r"[.eE]", text) else int(text)
        yield from [number] if math.isfinite(number) else []
    if type_name == "boolean" and text.lower() in ("true", "false"):
        yield text.lower() == "true"
    if type_name == "null" and text.lower() in ("null", "none"):
        yield None
    if text[:1] == {"object": "{", "array": "["}.get(type_name):
        try:
            yield parse_json(text)
        except ValueError:
            return


def _enum_value(value: Any, schema: Mapping[str, Any]) -> Any:
    """The only value of `enum` or `const` that differs from a text in letter case or outer blanks at most, if any."""
    choices = [schema["const"]] if "const" in schema else schema.get("enum", [])
    if value in choices or not isinstance(value, str):
        return value
    matches = [choice for choice in choices if str(choice).lower() == value.strip().lower()]
    return matches[0] if len(matches) == 1 else value


def _property_name(name: str, known: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """The only known property that an unknown name of the object is spelled like, if any."""
    matches = [each for each in known if normalize(each) == normalize(name)]
    rivals = [each for each in value if normalize(each) == normalize(name)]
    return matches[0] if name not in known and len(matches) == len(rivals) == 1 else name


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    return extend(Draft202012Validator, {"pattern": _check_pattern})


def _check_pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Any]:
    """JSON Schema's `pattern`; a pattern that Python can't read (`\\p{L}`) is ignored."""
    from jsonschema import ValidationError

    try:
        if isinstance(value, str) and not re.search(pattern, value):
            yield ValidationError(f"{_quoted(value)} does not match {pattern!r}")
    except re.error:
        return


def _mismatch(error: Any, name: str) -> str:
    """A validation error as one line."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
    prefix = f"{place}." if place else ""
    if error.validator == "required":
        missing = next(field for field in error.validator_value if field not in error.instance)
        return f"{prefix}{missing}: is required; expected: {_expected(error.schema.get('properties', {}).get(missing))}"
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = sorted(error.schema.get("properties", {}))
        extra = next((field for field in error.instance if field not in known), "")
        return f"{prefix}{extra}: is unknown.{did_you_mean(extra, known)} Known: {', '.join(known) or 'none'}"
    if error.validator in ("type", "enum", "const", "anyOf", "oneOf"):
        return f"{place or name}: {_quoted(error.instance)} does not match; expected: {_expected(error.schema)}"
    return " ".join(f"{place or name}: {error.message}".split())[: 2 * MAX_VALUE_CHARACTERS]


def _expected(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "a value"
    if "enum" in schema:
        return f"one of {json.dumps(schema['enum'], ensure_ascii=False)}"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_expected(option) for option in options)
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    return " or ".join(_types(schema)) or "a value"


def _quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}…"
