"""The part of JSON schema that decoding can be held to, and schemas brought to it.

What comes back is never wider than what was given, so an answer that fits it fits the schema (but for `oneOf`, which is
held as `anyOf`, and for a `format` that the engines do not know, which is an annotation):

- an object that lists its properties has no others, unless the schema says so, requires others or composes objects;
- of alternatives those are left that can be held to.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sagechain.prompts.json_text import reference_lookup, subschemas

# llguidance's and xgrammar's documentation, and tests/llms/test_grammars.py.
NOT_HELD = frozenset(
    """
    not if then else uniqueItems contains minContains maxContains dependentRequired dependentSchemas dependencies
    propertyNames unevaluatedItems unevaluatedProperties $dynamicRef $recursiveRef
    """.split()  # noqa: SIM905
)
SAYS_NOTHING = ("uniqueItems", "not")  # where they are false
FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"])
# Look-around and references to groups: no automaton has them.
NOT_REGULAR = re.compile(r"(?<!\\)(?:\\\\)*(?:\(\?[=!<]|\\[1-9])")

MAPS = ("properties", "patternProperties", "$defs", "definitions")
SINGLE = ("items", "additionalProperties")
LISTS = ("allOf", "prefixItems")
ALTERNATIVES = ("anyOf", "oneOf")

Schema = Mapping[str, Any]
Refusal = Callable[[Schema], str | None]


def held_schema(schema: Schema, name: str, refused: Refusal = lambda part: None) -> dict[str, Any]:
    """The schema as it can be held to.

    Args:
        schema: one that `check_schema` holds for one.
        name: what it is called in errors.
        refused: says of a part what an engine can't hold to, beside what none can; None where it holds to all of it.

    Raises:
        ValueError: a part of it can't be held to; the message names the part.
    """
    _check_references(schema, name)
    made: dict[str, Any] = _Held(refused, closes=not any(map(_composes, subschemas(schema)))).part(schema, name)
    return made


class NotHeld(ValueError):
    """A schema, or a part of it, that decoding can't be held to."""


def not_held(where: str, what: str) -> NotHeld:
    """The error for a part of a schema that decoding can't be held to."""
    return NotHeld(
        f"{where}: decoding can't be held to {what}; leave it out and check the answer yourself, "
        "or ask for any JSON object (method='json_mode')"
    )


@dataclass(frozen=True)
class _Held:
    """Makes the subschemas of one schema.

    Attributes:
        refused: as in `held_schema`.
        closes: an object that lists its properties has no others.
    """

    refused: Refusal
    closes: bool

    def part(self, schema: Any, where: str) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        given = {key: value for key, value in schema.items() if key not in SAYS_NOTHING or value is not False}
        if unheld := [keyword for keyword in given if keyword in NOT_HELD]:
            raise not_held(where, repr(unheld[0]))
        for pattern in (given.get("pattern", ""), *given.get("patternProperties", ())):
            if NOT_REGULAR.search(pattern):
                raise not_held(where, f"the look-around or group reference in the pattern {pattern!r}")
        made = {key: self._value(key, value, f"{where}.{key}") for key, value in given.items()}
        if made.get("format") not in FORMATS:
            made.pop("format", None)
        if refused := self.refused(made):
            raise not_held(where, refused)
        if self.closes and _is_object(made):
            made.setdefault("additionalProperties", not _lists_all(made))
        return made

    def _value(self, key: str, value: Any, where: str) -> Any:
        if key in MAPS:
            return {name: self.part(part, f"{where}.{name}") for name, part in value.items()}
        if key in SINGLE:
            return self.part(value, where)
        if key in LISTS:
            return [self.part(part, f"{where}[{number}]") for number, part in enumerate(value)]
        return self._alternatives(value, where) if key in ALTERNATIVES else value

    def _alternatives(self, subschemas: list[Any], where: str) -> list[Any]:
        """Those that can be held to; one must be."""
        held, errors = [], []
        for number, part in enumerate(subschemas):
            try:
                held.append(self.part(part, f"{where}[{number}]"))
            except NotHeld as error:
                errors.append(error)
        if not held:
            raise errors[0]
        return held


def _composes(schema: Schema) -> bool:
    """Whether an object of it is made of several schemas, of which none may exclude what the others bring."""
    return "allOf" in schema or ("properties" in schema and bool({"$ref", *ALTERNATIVES} & schema.keys()))


def _lists_all(schema: Schema) -> bool:
    """Whether the object's properties are listed, those that it requires among them."""
    listed = {"properties", "patternProperties"} & schema.keys()
    return bool(listed) and schema.get("properties", {}).keys() >= set(schema.get("required", ()))


def _check_references(schema: Schema, name: str) -> None:
    """Raise ValueError where a part is, by references alone, a part of itself: no value of it ever begins."""
    lookup = reference_lookup(schema)
    sound: set[int] = set()

    def check(part: Any, above: tuple[int, ...]) -> None:
        if not isinstance(part, Mapping) or id(part) in sound:
            return
        if id(part) in above:
            raise not_held(name, f"a part that refers to itself and to nothing else: {dict(part)}")
        same = [each for keyword in ("allOf", *ALTERNATIVES) for each in part.get(keyword, ())]
        same += [lookup(part["$ref"]).contents] if "$ref" in part else []
        for each in same:
            check(each, (*above, id(part)))
        sound.add(id(part))

    for part in subschemas(schema):
        check(part, ())


def _is_object(schema: Schema) -> bool:
    kind = schema.get("type", "object" if "properties" in schema else None)
    return kind == "object" or (isinstance(kind, list) and "object" in kind)
