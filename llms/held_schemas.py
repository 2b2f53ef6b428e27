"""The part of JSON schema that decoding can be held to, and schemas brought to it.

What comes back is never wider than what was given, so an answer that fits it fits the schema (but for `oneOf`, which is
held as `anyOf`, and for a `format` that the engines do not know, which is an annotation):

- an object that lists its properties has no others, unless the schema says so or composes objects;
- of alternatives those are left that can be held to.
"""

import re
from collections.abc import Mapping
from typing import Any

from sagechain.prompts.schema_check import parts

# llguidance's and xgrammar's documentation, and tests/llms/test_grammars.py.
NOT_HELD = frozenset(
    """
    not if then else uniqueItems contains minContains maxContains dependentRequired dependentSchemas dependencies
    propertyNames unevaluatedItems unevaluatedProperties $dynamicRef $recursiveRef
    """.split()  # noqa: SIM905
)
FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"])
# Look-around and references to groups: no automaton has them.
NOT_REGULAR = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?[=!<]|\\[1-9])")

MAPS = ("properties", "patternProperties", "$defs", "definitions")
SINGLE = ("items", "additionalProperties")
LISTS = ("allOf", "prefixItems")
ALTERNATIVES = ("anyOf", "oneOf")

Schema = Mapping[str, Any]


def held_schema(schema: Schema, name: str) -> dict[str, Any]:
    """The schema as it can be held to.

    Args:
        name: what it is called in errors.

    Raises:
        ValueError: a part of it can't be held to; the message names the part.
    """
    made: dict[str, Any] = _held(schema, name, closes=not any(map(_composes, parts(schema))))
    return made


def not_held(where: str, what: str) -> ValueError:
    """The error for a part of a schema that decoding can't be held to."""
    return ValueError(
        f"{where}: decoding can't be held to {what}; leave it out and check the answer yourself, "
        "or ask for any JSON object (method='json_mode')"
    )


def _held(schema: Any, where: str, *, closes: bool) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    for keyword in schema:
        if keyword in NOT_HELD and schema[keyword] is not False:
            raise not_held(where, repr(keyword))
    if NOT_REGULAR.search(schema.get("pattern", "")):
        raise not_held(where, f"the look-around or group reference in the pattern {schema['pattern']!r}")
    made = {key: _held_value(key, value, f"{where}.{key}", closes) for key, value in schema.items()}
    if made.get("format") not in FORMATS:
        made.pop("format", None)
    if _is_object(made) and closes:
        made.setdefault("additionalProperties", not ({"properties", "patternProperties"} & made.keys()))
    return made


def _held_value(key: str, value: Any, where: str, closes: bool) -> Any:
    if key in MAPS:
        return {name: _held(part, f"{where}.{name}", closes=closes) for name, part in value.items()}
    if key in SINGLE:
        return _held(value, where, closes=closes)
    if key in LISTS:
        return [_held(part, f"{where}[{number}]", closes=closes) for number, part in enumerate(value)]
    return _alternatives(value, where, closes) if key in ALTERNATIVES else value


def _alternatives(parts: list[Any], where: str, closes: bool) -> list[Any]:
    """Those that can be held to; one must be."""
    held, errors = [], []
    for number, part in enumerate(parts):
        try:
            held.append(_held(part, f"{where}[{number}]", closes=closes))
        except ValueError as error:
            errors.append(error)
    if not held:
        raise errors[0]
    return held


def _composes(schema: Schema) -> bool:
    """Whether an object of it is made of several schemas, of which none may exclude what the others bring."""
    return "allOf" in schema or ("properties" in schema and bool({"$ref", *ALTERNATIVES} & schema.keys()))


def _is_object(schema: Schema) -> bool:
    kind = schema.get("type", "object" if "properties" in schema else None)
    return kind == "object" or (isinstance(kind, list) and "object" in kind)
