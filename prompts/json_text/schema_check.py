"""Check a JSON schema before a request that uses it is sent, and read it as one of draft 2020-12.

checked_schema({"type": "dict"}, "schema")   # ValueError: schema.type: 'dict' is unknown. Known: array, …
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..suggestions import unknown_name
from .dialects import TRIED, declared_draft, in_2020_12

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_MAX_QUOTED = 200
"""Characters of a part that an error quotes."""


def checked_schema(schema: Any, name: str) -> Any:
    """The schema as one of draft 2020-12, which contains all that it refers to.

    It is read by its `$schema`; without one, by the first of the drafts 2020-12, 07 and 04 in which it is valid.

    Args:
        schema: a JSON schema.
        name: what errors call it.

    Raises:
        ValueError: it is not valid, or a part refers to itself without end; the message names the part.
    """
    try:
        text = json.dumps(schema, default=str)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: it can't be written as JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{name}: it is nested too deeply") from error
    try:
        return _checked(text, name)
    except RecursionError as error:
        raise ValueError(f"{name}: it is nested too deeply") from error


@lru_cache(maxsize=256)  # an agent sends the same tools with every request
def _checked(schema_text: str, name: str) -> Any:
    given = json.loads(schema_text)
    schema = in_2020_12(given, _draft(given, name))
    if schema != given:
        _check_keywords(schema, name)
    _check_references(schema, name)
    return schema


def _check_references(schema: Any, name: str) -> None:
    """Raise ValueError for a reference to what the schema does not contain, or back to itself."""
    lookup, to_check = reference_lookup(schema), [(schema, name)]
    references, seen, keywords = set[str](), set[int](), set[str]()
    referring: list[tuple[Mapping[str, Any], str]] = []
    while to_check:
        target, place = to_check.pop()
        parts = list(subschemas(target))
        seen.update(map(id, parts))
        keywords.update(*parts)
        referring += [(part, place) for part in parts if "$ref" in part]
        if inner := next((part for part in parts if "$id" in part and part is not schema), None):
            raise ValueError(f"{place}: a part of it has an `$id`, {inner['$id']!r}; leave it out")
        for reference in {part["$ref"] for part in parts if "$ref" in part} - references:
            references.add(reference)
            referred, referred_place = _referred_part(lookup, reference, place), f"{name}: {reference}"
            if id(referred) not in seen:  # below a keyword of no draft
                _check_keywords(referred, referred_place)
                to_check.append((referred, referred_place))
    if {"unevaluatedProperties", "patternProperties"} <= keywords:  # jsonschema would match the patterns in its own way
        raise ValueError(f"{name}: it has `unevaluatedProperties` and `patternProperties`; use `additionalProperties`")
    _check_loops(referring, lookup)


def _draft(schema: Any, name: str) -> str:
    """The draft that the schema is read by. Raises ValueError if it is not valid in it."""
    declared = declared_draft(schema)
    errors: dict[str, list[Any]] = {}
    for draft in (declared,) if declared else TRIED:
        errors[draft] = _keyword_errors(schema, draft, name)
        if not errors[draft]:
            return draft
    nearest = min(errors, key=lambda draft: len({tuple(error.absolute_path) for error in errors[draft]}))
    raise _keyword_error(errors[nearest], nearest, name)


def _keyword_errors(schema: Any, draft: str, name: str) -> list[Any]:
    from jsonschema.validators import (
        Draft4Validator,
        Draft6Validator,
        Draft7Validator,
        Draft201909Validator,
        Draft202012Validator,
    )

    drafts = {
        "draft-04": Draft4Validator,
        "draft-06": Draft6Validator,
        "draft-07": Draft7Validator,
        "2019-09": Draft201909Validator,
        "2020-12": Draft202012Validator,
    }
    if draft not in drafts:
        raise ValueError(f"{name}.$schema: {draft} is not read here; write the schema in draft 2020-12")
    return list(drafts[draft](drafts[draft].META_SCHEMA).iter_errors(schema))


def _check_keywords(schema: Any, name: str) -> None:
    if errors := _keyword_errors(schema, "2020-12", name):
        raise _keyword_error(errors, "2020-12", name)


def _keyword_error(errors: list[Any], draft: str, name: str) -> ValueError:
    from jsonschema.exceptions import best_match

    error = best_match(errors)
    place = name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    if error.validator in ("anyOf", "enum") and isinstance(error.instance, str):
        return unknown_name(place, error.instance, TYPES)  # only the keyword `type` is restricted to a list of names
    return ValueError(f"{place}: this is not a JSON schema ({_draft_name(draft)}): {error.message:.{_MAX_QUOTED}}")


def _draft_name(draft: str) -> str:
    return draft if draft.startswith("draft") else f"draft {draft}"


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


def _check_loops(referring: list[tuple[Mapping[str, Any], str]], lookup: Callable[[str], Any]) -> None:
    """Raise ValueError for a part that leads back to itself for the same value: validating any value would never end."""
    open_parts, done = set[int](), set[int]()
    for start, place in referring:
        path: list[tuple[Any, Iterator[Any]]] = [(start, _schemas_of_same_value(start, lookup))]
        while path:
            part, following = path[-1]
            open_parts.add(id(part))
            inner = next(following, None)
            if inner is None:
                path.pop()
                open_parts.discard(id(part))
                done.add(id(part))
            elif id(inner) in open_parts:
                raise ValueError(f"{place}: {str(dict(inner))[:_MAX_QUOTED]} refers to itself without end")
            elif id(inner) not in done and isinstance(inner, Mapping):
                path.append((inner, _schemas_of_same_value(inner, lookup)))


def _schemas_of_same_value(schema: Mapping[str, Any], lookup: Callable[[str], Any]) -> Iterator[Any]:
    if "$ref" in schema:
        yield lookup(schema["$ref"]).contents
    yield from (schema[keyword] for keyword in ("not", "if", "then", "else") if keyword in schema)
    yield from (option for keyword in ("allOf", "anyOf", "oneOf") for option in schema.get(keyword, ()))
    yield from schema.get("dependentSchemas", {}).values()


def reference_lookup(schema: Any) -> Callable[[str], Any]:
    """A function that returns the part that a reference in the schema refers to, as `.contents`. Nothing is fetched."""
    from referencing import Registry
    from referencing.jsonschema import DRAFT202012

    return Registry().resolver_with_root(DRAFT202012.create_resource(schema)).lookup


def subschemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """The schema itself and all schemas within it."""
    from referencing.jsonschema import DRAFT202012

    remaining = [schema]
    while remaining:
        part = remaining.pop()
        if isinstance(part, Mapping):
            yield part
            remaining += DRAFT202012.subresources_of(part)
