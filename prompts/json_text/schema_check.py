"""Whether a JSON schema is one, before anything is asked for that has to fit it.

check_schema({"type": "dict"}, "schema")   # ValueError: schema.type: 'dict' is unknown. Known: array, …
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from ..suggestions import unknown_name

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")


def check_schema(schema: Any, name: str) -> None:
    """Hold that this is a JSON schema, draft 2020-12, and that what it refers to stands in itself.

    Args:
        name: what it is called in errors.

    Raises:
        ValueError: it is none; the message names the part.
    """
    _check(json.dumps(schema, default=str), name)


@lru_cache(maxsize=256)  # the tools of an agent are the same from call to call
def _check(text: str, name: str) -> None:
    schema = json.loads(text)
    _check_keywords(schema, name)
    lookup, due, seen = reference_lookup(schema), [(schema, name)], set[str]()
    while due:
        target, place = due.pop()
        for part in subschemas(target):
            if "$id" in part and part is not schema:
                raise ValueError(f"{place}: a part of it has an `$id`, {part['$id']!r}; leave it out")
            for reference in {part[each] for each in ("$ref", "$dynamicRef") if each in part} - seen:
                seen.add(reference)
                referred = _referred(lookup, reference, place)
                _check_keywords(referred, f"{name}: {reference}")
                due.append((referred, f"{name}: {reference}"))


def _referred(lookup: Callable[[str], Any], reference: str, place: str) -> Any:
    from referencing.exceptions import Unresolvable

    try:
        return lookup(reference).contents
    except (Unresolvable, ValueError, TypeError) as error:  # the latter two for a path through what is no object
        raise ValueError(f"{place}: it refers to {reference!r}, which is not in it") from error


def reference_lookup(schema: Any) -> Callable[[str], Any]:
    """What a schema's references to itself lead to, as `.contents`; nothing else is known, so that nothing is fetched."""
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
        raise unknown_name(place, error.instance, TYPES)  # no other keyword has a choice of names
    raise ValueError(f"{place}: this is no JSON schema (draft 2020-12): {error.message}")


def subschemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    """A schema and all within it."""
    from referencing.jsonschema import DRAFT202012

    due = [schema]
    while due:
        part = due.pop()
        if isinstance(part, Mapping):
            yield part
            due += DRAFT202012.subresources_of(part)
