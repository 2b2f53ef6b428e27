"""Make values that a model wrote fit a JSON schema: first what loses nothing is turned, then all is checked.

    JsonSchema({"type": "integer"}, "quantity").coerce("5")   # 5

`"5"` becomes 5 where an integer is due, `5.0` too; `"true"` becomes true; text that is JSON becomes the object or array
that is due; one value becomes an array of one; an integer becomes the text of it; letter case of a choice is set right, and
the spelling of a property.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from ..suggestions import did_you_mean, folded
from .repair import value
from .schema_check import reference_lookup

SHOWN_CHARACTERS = 200
"""How much of a wrong value an error shows."""
SHOWN_ERRORS = 3
"""How many of the things that are wrong with a value an error names."""


class JsonSchema:
    """What a value has to fit.

    Args:
        schema: one that `check_schema` holds for one.
        whole: what the value is called in errors.
    """

    def __init__(self, schema: Mapping[str, Any], whole: str) -> None:
        from referencing import Registry

        self._schema, self._whole = schema, whole
        # An empty registry: a reference to elsewhere must not be fetched.
        self._validator = _validator_class()(schema, registry=Registry())
        self._lookup = reference_lookup(schema)

    def coerce(self, given: Any) -> Any:
        """The value as the schema has it.

        Raises:
            ValueError: it does not fit; one line that names the fields, the values and what is wanted.
        """
        try:
            fitted = self._turned(given, self._schema)
            errors = sorted(self._validator.iter_errors(fitted), key=lambda error: list(map(str, error.absolute_path)))
        except RecursionError as error:
            raise ValueError(f"{self._whole}: it is nested too deeply") from error
        except OverflowError as error:
            raise ValueError(f"{self._whole}: a number in it is too large") from error
        if errors:
            raise ValueError("; ".join(dict.fromkeys(_line(each, self._whole) for each in errors[:SHOWN_ERRORS])))
        return fitted

    def _turned(self, given: Any, schema: Any) -> Any:
        if not isinstance(schema, Mapping):
            return given
        if "$ref" in schema:
            given = self._turned(given, self._lookup(schema["$ref"]).contents)
        for part in schema.get("allOf", ()):
            given = self._turned(given, part)
        for options in (schema.get("anyOf"), schema.get("oneOf")):
            given = self._turned_to_one(given, options) if options else given
        given = _chosen(given, schema)
        kinds = _kinds(schema)
        if kinds and not any(self._validator.is_type(given, kind) for kind in kinds):
            given = next((each for kind in kinds for each in self._as(given, kind, schema)), given)
        if "integer" in kinds and isinstance(given, float) and given.is_integer():
            return int(given)
        return self._turned_inside(given, schema)

    def _turned_to_one(self, given: Any, options: list[Any]) -> Any:
        ways = [*(option for option in options if self._fits(given, option)), *options]
        turned = (self._turned(given, option) for option in ways)
        return next((each for each, option in zip(turned, ways, strict=True) if self._fits(each, option)), given)

    def _fits(self, given: Any, schema: Any) -> bool:
        return bool(self._validator.evolve(schema=schema).is_valid(given))

    def _as(self, given: Any, kind: str, schema: Mapping[str, Any]) -> Iterator[Any]:
        """`given` as a value of that JSON type, where nothing is lost by it."""
        if isinstance(given, str):
            yield from _read_as(given.strip(), kind)
        if kind == "string" and isinstance(given, int) and not isinstance(given, bool):
            yield str(given)
        if kind == "array" and given is not None and self._fits([self._turned(given, schema.get("items"))], schema):
            yield [given]

    def _turned_inside(self, given: Any, schema: Mapping[str, Any]) -> Any:
        if isinstance(given, list):
            return [self._turned(item, schema.get("items")) for item in given]
        if not isinstance(given, dict):
            return given
        known = schema.get("properties", {})
        named = {_property(name, known, given): item for name, item in given.items()}
        return {
            name: self._turned(item, known.get(name, schema.get("additionalProperties")))
            for name, item in named.items()
        }


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _read_as(text: str, kind: str) -> Iterator[Any]:
    if kind == "integer" and re.fullmatch(r"[+-]?\d{1,300}(?:\.0+)?", text):
        yield int(text.split(".")[0])
    if kind == "number" and re.fullmatch(r"[+-]?(?:\d{1,300}\.?\d{0,300}|\.\d{1,300})(?:[eE][+-]?\d{1,2})?", text):
        number = float(text) if re.search(r"[.eE]", text) else int(text)
        yield from [number] if math.isfinite(number) else []
    if kind == "boolean" and text.lower() in ("true", "false"):
        yield text.lower() == "true"
    if kind == "null" and text.lower() in ("null", "none"):
        yield None
    if text[:1] == {"object": "{", "array": "["}.get(kind):
        try:
            yield value(text)
        except ValueError:
            return


def _chosen(given: Any, schema: Mapping[str, Any]) -> Any:
    """The one of the schema's choices that is meant, where letter case or quotes differ."""
    choices = [schema["const"]] if "const" in schema else schema.get("enum", [])
    if given in choices or not isinstance(given, str):
        return given
    near = [each for each in choices if str(each).lower() == given.strip().lower()]
    return near[0] if len(near) == 1 else given


def _property(name: str, known: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The property that is meant by a name that is none, if there is just one, and it is not given besides."""
    near = [each for each in known if folded(each) == folded(name)]
    rivals = [each for each in given if folded(each) == folded(name)]
    return near[0] if name not in known and len(near) == len(rivals) == 1 else name


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    return extend(Draft202012Validator, {"pattern": _pattern})


def _pattern(validator: Any, pattern: str, given: Any, schema: Any) -> Iterator[Any]:
    """JSON Schema's `pattern`; one that Python can't read (`\\p{L}`) is not judged."""
    from jsonschema import ValidationError

    try:
        if isinstance(given, str) and not re.search(pattern, given):
            yield ValidationError(f"{_shown(given)} does not match {pattern!r}")
    except re.error:
        return


def _line(error: Any, whole: str) -> str:
    """A validation error as one line."""
    place = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
    inside = f"{place}." if place else ""
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return f"{inside}{missing}: is missing; wanted: {_wanted(error.schema.get('properties', {}).get(missing))}"
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = sorted(error.schema.get("properties", {}))
        extra = next((name for name in error.instance if name not in known), "")
        return f"{inside}{extra}: is unknown.{did_you_mean(extra, known)} Known: {', '.join(known) or 'none'}"
    if error.validator in ("type", "enum", "const", "anyOf", "oneOf"):
        return f"{place or whole}: {_shown(error.instance)} does not fit; wanted: {_wanted(error.schema)}"
    return " ".join(f"{place or whole}: {error.message}".split())[: 2 * SHOWN_CHARACTERS]


def _wanted(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "a value"
    if "enum" in schema:
        return f"one of {json.dumps(schema['enum'], ensure_ascii=False)}"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_wanted(option) for option in options)
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    return " or ".join(_kinds(schema)) or "a value"


def _shown(given: Any) -> str:
    text = json.dumps(given, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
