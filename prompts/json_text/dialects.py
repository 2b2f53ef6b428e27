"""Schemas of older drafts, rewritten as draft 2020-12: all other code, the engines and the servers read that one.

    in_2020_12({"items": [{"type": "number"}], "additionalItems": False})
    # {"prefixItems": [{"type": "number"}], "items": False}

Rewritten are tuples (`items: […]`), the bounds of draft-04 (`exclusiveMinimum: true`), `dependencies`, `id`, what stands
beside a `$ref` (ignored up to draft-07), and references to what has moved. As no part of a schema may have an `$id` of its
own, dynamic and recursive references are plain ones.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

_URI = re.compile(r"https?://json-schema\.org/(?:draft/)?(draft-0\d|20\d\d-\d\d)/(?:hyper-)?schema#?")
TRIED = ("2020-12", "draft-07", "draft-04")
"""The drafts that a schema without `$schema` is read by: the first in which it is valid."""
OLD = ("draft-04", "draft-06", "draft-07")
"""Here a `$ref` stands alone."""
_ANNOTATIONS = ("title", "description", "default", "examples", "definitions", "$defs", "$schema", "deprecated")
_MAPS = ("properties", "patternProperties", "definitions", "$defs", "dependentSchemas", "dependencies")
_SINGLE = (
    *("items", "additionalItems", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")


def declared_draft(schema: Any) -> str | None:
    """The draft that `$schema` names; None if there is none, or none of json-schema.org's."""
    uri = schema.get("$schema") if isinstance(schema, Mapping) else None
    found = _URI.fullmatch(uri) if isinstance(uri, str) else None
    return found[1] if found else None


def in_2020_12(schema: Any, draft: str) -> Any:
    """The schema, which is valid in this draft, as one of draft 2020-12."""
    return _Rewriting(schema, draft).part(schema)


class _Rewriting:
    def __init__(self, root: Any, draft: str) -> None:
        self._root, self._draft = root, draft

    def part(self, schema: Any) -> Any:
        """A part of the schema, rewritten."""
        if not isinstance(schema, Mapping):
            return schema
        if "$ref" in schema and self._draft in OLD:
            schema = {key: value for key, value in schema.items() if key == "$ref" or key in _ANNOTATIONS}
        rewritten = {key: self._value(key, value) for key, value in schema.items()}
        rewritten.pop("$schema", None)
        for name, required in rewritten.pop("dependencies", {}).items():
            kind = "dependentRequired" if isinstance(required, list) else "dependentSchemas"
            rewritten[kind] = {**rewritten.get(kind, {}), name: required}
        if self._draft != "2020-12":
            rewritten = self._modern_keywords(rewritten)
        return self._plain_references(rewritten)

    def _value(self, key: str, value: Any) -> Any:
        if key in _MAPS and isinstance(value, Mapping):
            return {name: self.part(item) for name, item in value.items()}
        if key in _LISTS and isinstance(value, list):
            return [self.part(item) for item in value]
        return self.part(value) if key in _SINGLE else value

    def _modern_keywords(self, schema: dict[str, Any]) -> dict[str, Any]:
        additional = schema.pop("additionalItems", None)
        if isinstance(schema.get("items"), list):
            schema["prefixItems"] = schema.pop("items")
            schema |= {} if additional is None else {"items": additional}
        for bound in ("minimum", "maximum"):
            exclusive = f"exclusive{bound.capitalize()}"
            if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:
                schema[exclusive] = schema.pop(bound)
        old_id = schema.pop("id", None) if self._draft == "draft-04" else None
        identifier = schema.pop("$id", old_id) if self._draft in OLD else None
        if isinstance(identifier, str):
            is_anchor = identifier.startswith("#")
            schema["$anchor" if is_anchor else "$id"] = identifier[1:] if is_anchor else identifier
        return schema

    def _plain_references(self, schema: dict[str, Any]) -> dict[str, Any]:
        schema.pop("$recursiveAnchor", None)
        if "$dynamicAnchor" in schema:
            schema["$anchor"] = schema.pop("$dynamicAnchor")
        for keyword in ("$dynamicRef", "$recursiveRef"):
            if keyword in schema and "$ref" in schema:
                schema["allOf"] = [*schema.get("allOf", ()), {"$ref": schema.pop(keyword)}]
            elif keyword in schema:
                schema["$ref"] = schema.pop(keyword)
        if isinstance(schema.get("$ref"), str):
            schema["$ref"] = self._moved(schema["$ref"])
        return schema

    def _moved(self, reference: str) -> str:
        """The reference, with the new names of the keywords on its path."""
        if self._draft == "2020-12" or not reference.startswith("#/"):
            return reference
        try:
            return "#/" + "/".join(self._steps(reference[2:].split("/")))
        except (KeyError, IndexError, ValueError, TypeError):
            return reference  # to nothing, which the check of references reports

    def _steps(self, steps: list[str]) -> Iterator[str]:
        part, is_name = self._root, False
        for step in steps:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            outer, part = part, part[int(key)] if isinstance(part, list) else part[key]
            if is_name or isinstance(outer, list):
                yield step
            elif key == "items" and isinstance(part, list):
                yield "prefixItems"
            elif key == "additionalItems" and isinstance(outer.get("items"), list):
                yield "items"
            else:
                yield {"dependencies": "dependentSchemas"}.get(key, step)
            is_name = not is_name and key in _MAPS and isinstance(part, Mapping)
