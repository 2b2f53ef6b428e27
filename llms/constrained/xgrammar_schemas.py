"""JSON schemas as xgrammar's grammars, and what of a schema xgrammar takes without holding to it.

Of a part of a schema it reads one thing: a reference, a constant, alternatives, or a type with what belongs to that. It
leaves out what stands beside, and warns of it on standard error at most; here such a schema is refused.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sagechain.prompts.json_text import subschemas

from .schemas import Schema

# xgrammar 0.2.8 (cpp/json_schema_converter.cc), and tests/llms/test_xgrammar_schemas.py.
FORMS = ("$ref", "const", "enum", "anyOf", "oneOf", "allOf")
OBJECTS = ("properties", "additionalProperties", "patternProperties", "required", "minProperties", "maxProperties")
ARRAYS = ("items", "prefixItems", "minItems", "maxItems")
STRINGS = ("pattern", "format", "minLength", "maxLength")
NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
CONSTRAINTS = ("type", *FORMS, *OBJECTS, *ARRAYS, *STRINGS, *NUMBERS)
TYPED = {"properties": "object", "additionalProperties": "object", "items": "array", "prefixItems": "array"}
"""Keywords that stand for a type, where none is given."""
MOST_STEPS, WIDEST_STEPS = 1024, 10_000
"""The largest `multipleOf`, and the widest range of integers that may have one."""

# Strings of a given length may have control characters, which JSON does not: what xgrammar says, and should.
CONTROL_CHARACTERS = (r"[^\"\\\r\n]", r"[^\0-\x1f\"\\]")
# Parts that differ only in these are one to xgrammar, also where they are names of properties.
ANNOTATIONS = frozenset(
    ["title", "default", "description", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema"]
)


def grammar_of_schema(schema: Schema) -> Any:
    """xgrammar's grammar of the values of a schema, each in the form that `json.dumps` gives it."""
    from xgrammar import Grammar

    told_apart = json.loads(json.dumps(schema))
    for number, part in enumerate(subschemas(told_apart)):
        assert isinstance(part, dict)
        if ANNOTATIONS & part.get("properties", {}).keys():
            part["x-number"] = number
    # Strict, it would allow no property and no item that the schema does not name.
    made = Grammar.from_json_schema(told_apart, any_whitespace=False, strict_mode=False)
    return Grammar.from_ebnf(str(made).replace(*CONTROL_CHARACTERS))


def refused(part: Schema) -> str | None:
    """What of a part xgrammar would leave out; None where it holds to all of it."""
    form = next((keyword for keyword in FORMS if keyword in part), None)
    given = [keyword for keyword in CONSTRAINTS if keyword in part]
    if form is not None:
        return _of_form(form, part, [keyword for keyword in given if keyword != form])
    kind = part.get("type") or next((kind for keyword, kind in TYPED.items() if keyword in part), None)
    if kind is None:
        return f"{given[0]!r} without a 'type'" if given else None
    kinds = [kind] if isinstance(kind, str) else kind
    return (
        (_of_strings(part) if "string" in kinds else None)
        or (_of_numbers(part, kinds) if "multipleOf" in part else None)
        or (_of_objects(part) if "object" in kinds else None)
    )


def _of_form(form: str, part: Schema, beside: Sequence[str]) -> str | None:
    if form in ("const", "enum") and beside == ["type"]:
        from jsonschema import Draft202012Validator

        values = [part["const"]] if form == "const" else part["enum"]
        fits = all(map(Draft202012Validator({"type": part["type"]}).is_valid, values))
        return None if fits else f"{form!r} with a value that is not of its 'type'"
    if beside:
        return f"{beside[0]!r} beside {form!r}"
    if form == "$ref" and part["$ref"] != "#" and not part["$ref"].startswith("#/"):
        return f"the reference {part['$ref']!r}, which is not of the form '#/…'"
    return "several schemas in 'allOf'" if form == "allOf" and len(part["allOf"]) > 1 else None


def _of_strings(part: Schema) -> str | None:
    # No string of a format is empty.
    shortest = part.get("minLength", 0) > ("format" in part)
    given = [keyword for keyword in STRINGS if keyword in part and (keyword != "minLength" or shortest)]
    lengths = {"minLength", "maxLength"}
    return None if len(given) < 2 or lengths.issuperset(given) else f"{given[1]!r} beside {given[0]!r}"


def _of_numbers(part: Schema, kinds: Sequence[str]) -> str | None:
    step = part["multipleOf"]
    lowest = max((part[name] for name in ("minimum", "exclusiveMinimum") if name in part), default=None)
    highest = min((part[name] for name in ("maximum", "exclusiveMaximum") if name in part), default=None)
    if "number" in kinds or step % 1 or step > MOST_STEPS:
        return f"'multipleOf': {step} (only to whole steps of integers, up to {MOST_STEPS})"
    if lowest is None and highest is None:
        return None
    if lowest is None or highest is None or highest - lowest >= WIDEST_STEPS:
        return f"'multipleOf' in a range that is open, or of more than {WIDEST_STEPS} integers"
    return None


def _of_objects(part: Schema) -> str | None:
    listed: Mapping[str, Any] = part.get("properties", {})
    if unlisted := [name for name in part.get("required", ()) if name not in listed]:
        return f"'required' with {unlisted[0]!r}, which is not in 'properties'"
    if part.get("minProperties", 0) > 1:
        return "'minProperties' above 1"
    patterns = part.get("patternProperties", {})
    if len(patterns) > 1 or (patterns and (listed or part.get("additionalProperties", False) is not False)):
        return "'patternProperties' beside other properties"
    return None
