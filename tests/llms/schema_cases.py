"""Schemas for constrained decoding, and the check that an answer fits one."""

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field


class Colour(Enum):
    RED = "red"
    BLUE = "sky blue"


class Part(BaseModel):
    code: str = Field(pattern=r"^[A-Z]{2}-\d{3}$")
    grams: int = Field(ge=1, le=500)


class Toy(BaseModel):
    colour: Colour
    parts: list[Part] = Field(min_length=1, max_length=2)
    note: str | None = Field(default=None, max_length=12)


class Tree(BaseModel):
    size: int = Field(ge=0, le=9)
    below: "Tree | None" = None


ENDLESS = Tree.model_json_schema()
# Every answer ends soon: where a number may have any digits, a small model repeats them up to its limit.
SCHEMAS: dict[str, dict[str, Any]] = {
    "nested objects by $ref": Toy.model_json_schema(),
    "enum with unicode": {"enum": ["no", "naïve café", "日本語 😀"]},
    "const": {"const": {"a": [1, None, '\n\t"</tool_call>']}},
    "array": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 4},
    "tuple": {"type": "array", "prefixItems": [{"const": "a"}, {"type": "null"}], "minItems": 2, "maxItems": 2},
    "integer": {"type": "integer", "minimum": -3, "exclusiveMaximum": 12},
    "steps": {"type": "integer", "multipleOf": 5, "minimum": 3, "maximum": 100},
    "string": {"type": "string", "minLength": 2, "maxLength": 6},
    "formats": {
        "type": "object",
        "properties": {"on": {"type": "string", "format": "date"}, "id": {"type": "string", "format": "uuid"}},
        "required": ["on"],
    },
    "optional": {
        "type": "object",
        "properties": {"b": {"type": "boolean"}, "a": {"enum": [1, 2]}, "c": {"type": "null"}},
        "required": ["a"],
    },
    "anyOf": {"anyOf": [{"type": "boolean"}, {"type": "object", "properties": {"é": {"type": "null"}}}]},
    "tagged union": {
        "oneOf": [
            {
                "type": "object",
                "properties": {"is": {"const": kind}, kind: {"type": "boolean"}},
                "required": ["is", kind],
            }
            for kind in ("cat", "dog")
        ],
        "discriminator": {"propertyName": "is"},
    },
    "pattern": {"type": "string", "pattern": "^(yes|no), [a-c]{1,3}$"},
    "types": {"type": ["boolean", "null"]},
}


def fits(text: str, schema: Mapping[str, Any]) -> bool:
    """Whether a text is JSON that fits a schema, written as `json.dumps` does."""
    value = json.loads(text)
    Draft202012Validator(schema).validate(value)
    return json.dumps(value, ensure_ascii=False).count(" ") >= text.count(" ") and "\n" not in text
