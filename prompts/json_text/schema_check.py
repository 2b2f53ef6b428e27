"""Check a JSON schema before a request that uses it is sent.

check_schema({"type": "dict"}, "schema")   # ValueError: schema.type: 'dict' is unknown. Known: array, …
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..suggestions import unknown_name

REFERENCES = ("$ref", "$dynamicRef")
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def check_schema(schema: Any, name: str) -> None:
    """Check that this is a JSON schema, draft 2020-12, which contains all that it refers to.

    Args:
        schema: the value to check.
        name: what errors call it.

    Raises:
        ValueError: it is not, or a part refers to itself without end; the message names the part.
    """
    _check(json.dumps(schema, default=str), name)


@lru_cache(maxsize=256)  # an agent sends the same tools with every request
def _check(schema_text: str, name: str) -> None:
    schema = json.loads(schema_text)
    _check_keywords(schema, name)
    lookup, to_check, seen = reference_lookup(schema), [(schema, name)], set[str]()
    referring: list[tuple[Mapping[str, Any], str]] = []
    while to_check:
        target, place = to_check.pop()
        for part in subschemas(target):
            if "$id" in part and part is not schema:
                raise ValueError(f"{place}: a part of it has an `$id`, {part['$id']!r}; leave it out")
            references = {part[keyword] for keyword in REFERENCES if keyword in part}
            referring += [(part, place)] if references else []
            for reference in references - seen:
                seen.add(reference)
                referred = _referred_part(lookup, reference, place)
                _check_keywords(referred, f"{name}: {reference}")
                to_check.append((referred, f"{name}: {reference}"))
    for part, place in referring:
        if _leads_to_itself(part, lookup):
            raise ValueError(f"{place}: {dict(part)} refers to itself without end")


def _referred_part(lookup: Callable[[str], Any], reference: str, place: str) -> Any:
    from referencing.exceptions import Unresolvable

    try:
        return lookup(reference).contents
    except (
        Unresolvable,
        ValueError,
        TypeError,
    ) as error:  # the latter two: a path through a value that is not an object
        raise ValueError(f"{place}: it refers to {reference!r}, which it does not contain") from error


def _leads_to_itself(part: Mapping[str, Any], lookup: Callable[[str], Any]) -> bool:
    """Whether references lead from a part of the schema back to it, so that validating any value would never end."""
    remaining, seen = [part], set[int]()
    while remaining:
        for schema in _schemas_of_same_value(remaining.pop(), lookup):
            if schema is part:
                return True
            if isinstance(schema, Mapping) and id(schema) not in seen:
                seen.add(id(schema))
                remaining.append(schema)
    return False


def _schemas_of_same_value(schema: Mapping[str, Any], lookup: Callable[[str], Any]) -> Iterator[Any]:
    yield from (lookup(schema[keyword]).contents for keyword in REFERENCES if keyword in schema)
    yield from (schema[keyword] for keyword in ("not", "if", "then", "else") if keyword in schema)
    yield from (option for keyword in ("allOf", "anyOf", "oneOf") for option in schema.get(keyword, ()))
    yield from schema.get("dependentSchemas", {}).values()


def reference_lookup(schema: Any) -> Callable[[str], Any]:
    """A function that returns the part that a reference in the schema refers to, as `.contents`. Nothing is fetched."""
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    return Registry().resolver_with_root(DRAFT202012.create_resource(schema)).lookup


def _check_keywords(schema: Any, name: str) -> None:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema))
    if error is None:
        return
    place = name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    if error.validator in ("anyOf", "enum") and isinstance(error.instance, str):
        raise unknown_name(place, error.instance, TYPES)  # only the keyword `type` is restricted to a list of names
    raise ValueError(f"{place}: this is not a JSON schema (draft 2020-12): {error.message}")


def subschemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """The schema itself and all schemas within it."""
    from referencing.jsonschema import DRAFT202012

    remaining = [schema]
    while remaining:
        part = remaining.pop()
        if isinstance(part, Mapping):
            yield part
            remaining += DRAFT202012.subresources_of(part)
