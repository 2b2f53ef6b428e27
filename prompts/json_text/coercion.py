"""Coerce values that a model wrote to a JSON schema, where nothing is lost by it, and validate the result.

    JsonSchema({"type": "integer"}, "quantity").coerce("5")   # 5

Coerced are: text to numbers, booleans and null (`"5"`, `"true"`); whole floats to integers (`5.0`); integers to text; text
that is JSON to the object or array; a single value to an array of one; letter case of enum values and spelling of property
names to those of the schema.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from operator import is_
from typing import Any

from ..suggestions import did_you_mean, normalize
from .patterns import matches
from .repair import parse_json
from .scalars import read_number
from .schema_check import reference_lookup
from .validator import is_additional, one_validation, schema_validator

MAX_VALUE_CHARACTERS = 200
"""How much of a wrong value an error quotes."""
MAX_NAME_CHARACTERS = 80
"""How much of an unknown name an error quotes."""
MAX_ERRORS = 3
"""How many mismatches one error lists."""

MAX_WRAPS = 3
"""How deep a single value is put into arrays; in a schema of arrays of arrays of … it would never end."""


class JsonSchema:
    """A JSON schema that values are coerced to.

    Args:
        schema: as `checked_schema` returns it.
        name: what errors call the whole value.
    """

    def __init__(self, schema: Mapping[str, Any], name: str) -> None:
        self._schema, self._name = schema, name

    def coerce(self, value: Any) -> Any:
        """The value in the form that the schema requires.

        Raises:
            ValueError: it does not match; one line with the fields, their values and what the schema expects.
        """
        try:
            with one_validation():
                coercion = _Coercion(self._schema)
                coerced = coercion.coerced(value, self._schema)
                errors = sorted(coercion.errors(coerced), key=lambda error: list(map(str, error.absolute_path)))
        except RecursionError as error:
            raise ValueError(f"{self._name}: it is nested too deeply") from error
        if errors:
            lines = dict.fromkeys(_mismatch(error, self._name) for error in errors[:MAX_ERRORS])
            raise ValueError("; ".join(lines))
        return coerced


class _Coercion:
    """The coercion of one value. What a part of the schema makes of a part of the value is computed once."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = schema_validator(schema)
        self._lookup = reference_lookup(schema)
        # The values are kept, so that their ids stay theirs.
        self._coerced: dict[tuple[int, int, int], tuple[Any, Any]] = {}

    def errors(self, value: Any) -> Iterator[Any]:
        """What in the value does not match the schema."""
        yield from self._validator.iter_errors(value)

    def coerced(self, value: Any, schema: Any, *, wraps: int = MAX_WRAPS) -> Any:
        """The value as far as it can be coerced.

        Args:
            value: any JSON value.
            schema: the schema or a part of it.
            wraps: how many times the value may become an array of one.
        """
        if not isinstance(schema, Mapping):
            return value
        key = id(schema), id(value), wraps
        if key not in self._coerced:
            self._coerced[key] = value, self._coerce(value, schema, wraps)
        return self._coerced[key][1]

    def _coerce(self, value: Any, schema: Mapping[str, Any], wraps: int) -> Any:
        if "$ref" in schema:
            value = self.coerced(value, self._lookup(schema["$ref"]).contents, wraps=wraps)
        for part in schema.get("allOf", ()):
            value = self.coerced(value, part, wraps=wraps)
        for options in (schema.get("anyOf"), schema.get("oneOf")):
            value = self._coerce_to_option(value, options, wraps) if options else value
        value = _enum_value(value, schema)
        types = _types(schema)
        if types and not any(self._validator.is_type(value, name) for name in types):
            conversions = (each for name in types for each in self._converted(value, name, schema, wraps))
            value = next(conversions, value)
        if "integer" in types and isinstance(value, float) and self._validator.is_type(value, "integer"):
            return int(value)
        return self._coerce_inside(value, schema)

    def _coerce_to_option(self, value: Any, options: list[Any], wraps: int) -> Any:
        """The value coerced to the first option that it then matches, with options that it already matches first."""
        in_order = [*(option for option in options if self._matches(value, option)), *options]
        for option in in_order:
            coerced = self.coerced(value, option, wraps=wraps)
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
        begins_array = isinstance(value, str) and value.lstrip()[:1] == "["
        if type_name == "array" and value is not None and not begins_array:
            item_schema = _item_schema(schema, 0)
            arrays = ([self.coerced(value, item_schema, wraps=inner_wraps)] for inner_wraps in range(wraps))
            yield from (array for array in arrays if self._matches(array, schema))

    def _coerce_inside(self, value: Any, schema: Mapping[str, Any]) -> Any:
        """The value with what is in it coerced; itself if nothing changes, so that it is known when it is seen again."""
        if isinstance(value, list):
            items = [self.coerced(item, _item_schema(schema, position)) for position, item in enumerate(value)]
            return value if all(map(is_, items, value)) else items
        if not isinstance(value, dict):
            return value
        names = _property_names(value, schema.get("properties", {}))
        inside = {
            names[name]: self.coerced(item, _property_schema(names[name], schema)) for name, item in value.items()
        }
        return value if all(name in inside and inside[name] is item for name, item in value.items()) else inside


def _item_schema(schema: Mapping[str, Any], position: int) -> Any:
    first = schema.get("prefixItems", ())
    return first[position] if position < len(first) else schema.get("items")


def _property_schema(name: str, schema: Mapping[str, Any]) -> Any:
    if name in schema.get("properties", {}):
        return schema["properties"][name]
    if is_additional(name, schema):
        return schema.get("additionalProperties")
    return next((part for pattern, part in schema["patternProperties"].items() if matches(pattern, name)), None)


def _types(schema: Mapping[str, Any]) -> list[str]:
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else list(types)


def _parse_as(text: str, type_name: str) -> Iterator[Any]:
    """The value that the whole text is, in this type."""
    try:
        if type_name == "integer" and re.fullmatch(r"[+-]?[0-9]{1,300}(?:\.0{1,300})?", text):
            yield int(text.split(".")[0])
        if type_name == "number" and re.fullmatch(
            r"[+-]?(?:[0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,3})?", text
        ):
            yield read_number(text) if re.search(r"[.eE]", text) else int(text)
        if text[:1] == {"object": "{", "array": "["}.get(type_name):
            yield parse_json(text)
    except ValueError:
        return
    if type_name == "boolean" and text.lower() in ("true", "false"):
        yield text.lower() == "true"
    if type_name == "null" and text.lower() in ("null", "none"):
        yield None


def _enum_value(value: Any, schema: Mapping[str, Any]) -> Any:
    """The only value of `enum` or `const` that differs from a text in letter case or outer blanks at most, if any."""
    choices = [schema["const"]] if "const" in schema else schema.get("enum", [])
    if value in choices or not isinstance(value, str):
        return value
    matches = [choice for choice in choices if str(choice).lower() == value.strip().lower()]
    return matches[0] if len(matches) == 1 else value


def _property_names(value: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str]:
    """For each name in an object the only known property that it is spelled like, if no other name is; else itself."""
    unknown = [name for name in value if name not in known]
    if not unknown or not known:
        return {name: name for name in value}
    spellings, rivals = Counter(map(normalize, known)), Counter(map(normalize, value))
    by_spelling = {normalize(name): name for name in known}
    names = {name: name for name in value}
    for name in unknown:
        spelling = normalize(name)
        if spellings[spelling] == rivals[spelling] == 1:
            names[name] = by_spelling[spelling]
    return names


def _mismatch(error: Any, name: str) -> str:
    """A validation error as one line."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
    prefix = f"{place}." if place else ""
    if error.validator == "required":
        missing = next(field for field in error.validator_value if field not in error.instance)
        return f"{prefix}{missing}: is required; expected: {_expected(error.schema.get('properties', {}).get(missing))}"
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = sorted(error.schema.get("properties", {}))
        extra = error.message
        hint = did_you_mean(extra, known) if len(extra) <= MAX_NAME_CHARACTERS else ""
        return f"{prefix}{extra:.{MAX_NAME_CHARACTERS}}: is unknown.{hint} Known: {', '.join(known) or 'none'}"
    if error.validator == "pattern":
        return f"{place or name}: {_quoted(error.instance)} does not match {error.validator_value!r}"
    if error.validator in ("type", "enum", "const", "anyOf", "oneOf"):
        return f"{place or name}: {_quoted(error.instance)} does not match; expected: {_expected(error.schema)}"
    if error.validator in ("multipleOf", "uniqueItems"):
        return f"{place or name}: {_quoted(error.instance)}: {error.message}"
    return " ".join(f"{place or name}: {error.message}"[: 4 * MAX_VALUE_CHARACTERS].split())[: 2 * MAX_VALUE_CHARACTERS]


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
