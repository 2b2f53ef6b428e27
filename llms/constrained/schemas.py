"""The part of JSON schema that constrained decoding can enforce, and schemas reduced to it.

The reduced schema never accepts more than the original, so an answer that fits it fits the original, with two exceptions:
`oneOf` is enforced as `anyOf`, and a `format` that the engines do not know is only an annotation.

- An object that lists its properties accepts no others, unless the schema allows or requires them or combines objects.
- Alternatives that cannot be enforced are left out.
"""

import re
from collections.abc import Mapping
from typing import Any

from sagechain.prompts.json_text import subschemas

# llguidance 1.9.1 refuses each of these (tests/llms/test_constrained_schemas.py).
UNSUPPORTED_KEYWORDS = frozenset(
    """
    not if then else uniqueItems contains minContains maxContains dependentRequired dependentSchemas dependencies
    propertyNames unevaluatedItems unevaluatedProperties $dynamicRef $recursiveRef
    """.split()  # noqa: SIM905
)
NO_EFFECT_IF_FALSE = ("uniqueItems", "not")
FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"])
# Look-around and references to groups, which no finite automaton can follow.
NOT_REGULAR = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?[=!<]|\\[1-9])")

MAPS = ("properties", "patternProperties", "$defs", "definitions")
SINGLE = ("items", "additionalProperties")
LISTS = ("allOf", "prefixItems")
ALTERNATIVES = ("anyOf", "oneOf")

Schema = Mapping[str, Any]


class UnsupportedSchema(ValueError):
    """A schema, or a part of it, that constrained decoding cannot enforce."""


def unsupported(place: str, reason: str) -> UnsupportedSchema:
    """The error for the part of a schema at `place`."""
    return UnsupportedSchema(
        f"{place}: decoding can't be constrained to {reason}; leave it out and check the answer yourself, "
        "or request any JSON object (method='json_mode')"
    )


def constrainable_schema(schema: Schema, name: str) -> dict[str, Any]:
    """The schema reduced to what constrained decoding can enforce.

    Args:
        schema: as `checked_schema` returns it.
        name: what errors call it.

    Raises:
        UnsupportedSchema: a part that cannot be left out cannot be enforced; the message names it.
    """
    reduced: dict[str, Any] = _reduced(schema, name, close_objects=not any(map(_combines_objects, subschemas(schema))))
    return reduced


def _reduced(schema: Any, place: str, *, close_objects: bool) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    given = {key: value for key, value in schema.items() if key not in NO_EFFECT_IF_FALSE or value is not False}
    _check_keywords(given, place)
    reduced = {key: _reduced_value(key, value, f"{place}.{key}", close_objects) for key, value in given.items()}
    if reduced.get("format") not in FORMATS:
        reduced.pop("format", None)
    if close_objects and _is_object(reduced):
        reduced.setdefault("additionalProperties", not _lists_all_properties(reduced))
    return reduced


def _check_keywords(schema: Schema, place: str) -> None:
    for keyword in schema:
        if keyword in UNSUPPORTED_KEYWORDS:
            raise unsupported(place, repr(keyword))
    for pattern in (schema.get("pattern", ""), *schema.get("patternProperties", ())):
        if NOT_REGULAR.search(pattern):
            raise unsupported(place, f"the look-around or group reference in the pattern {pattern!r}")


def _reduced_value(key: str, value: Any, place: str, close_objects: bool) -> Any:
    def reduced(part: Any, where: str) -> Any:
        return _reduced(part, where, close_objects=close_objects)

    if key in MAPS:
        return {name: reduced(part, f"{place}.{name}") for name, part in value.items()}
    if key in SINGLE:
        return reduced(value, place)
    if key in LISTS:
        return [reduced(part, f"{place}[{number}]") for number, part in enumerate(value)]
    if key not in ALTERNATIVES:
        return value
    enforceable, errors = [], []
    for number, part in enumerate(value):
        try:
            enforceable.append(reduced(part, f"{place}[{number}]"))
        except UnsupportedSchema as error:
            errors.append(error)
    if not enforceable:
        raise errors[0]
    return enforceable


def _combines_objects(schema: Schema) -> bool:
    """Whether an object has to fit several schemas, none of which may exclude the properties of another."""
    return "allOf" in schema or ("properties" in schema and bool({"$ref", *ALTERNATIVES} & schema.keys()))


def _is_object(schema: Schema) -> bool:
    kind = schema.get("type", "object" if "properties" in schema else None)
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _lists_all_properties(schema: Schema) -> bool:
    """Whether properties are listed, and all required ones are among them."""
    listed = {"properties", "patternProperties"} & schema.keys()
    return bool(listed) and schema.get("properties", {}).keys() >= set(schema.get("required", ()))
