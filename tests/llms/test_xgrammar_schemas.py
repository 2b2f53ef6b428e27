"""What xgrammar takes of a schema without holding to it is refused; what is taken is held to."""

import json
import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sagechain.llms.constrained.schemas import held_schema
from sagechain.llms.constrained.xgrammar_schemas import grammar_of_schema, refused

STRING: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}


@pytest.mark.parametrize(
    ("schema", "what"),
    [
        ({"$ref": "#/$defs/x", "minLength": 2, "$defs": {"x": STRING}}, r"'minLength' beside '\$ref'"),
        ({"$ref": "#x", "$defs": {"x": {"$anchor": "x"}}}, "the reference '#x'"),
        ({"anyOf": [STRING, NUMBER], "maxLength": 2}, "'maxLength' beside 'anyOf'"),
        ({"allOf": [STRING, {"type": "string", "maxLength": 2}]}, "several schemas in 'allOf'"),
        ({"enum": ["a", "bc"], "maxLength": 1}, "'maxLength' beside 'enum'"),
        ({"enum": ["a", 1], "type": "string"}, "'enum' with a value that is not of its 'type'"),
        ({"minimum": 3}, "'minimum' without a 'type'"),
        ({"required": ["a"]}, "'required' without a 'type'"),
        ({"type": "string", "pattern": "^a+$", "maxLength": 3}, "'maxLength' beside 'pattern'"),
        ({"type": "string", "format": "date", "pattern": "^2"}, "'format' beside 'pattern'"),
        ({"type": "number", "multipleOf": 0.5}, "'multipleOf': 0.5"),
        ({"type": "integer", "multipleOf": 5, "minimum": 1}, "'multipleOf' in a range that is open"),
        ({"type": "integer", "multipleOf": 2000}, "'multipleOf': 2000"),
        ({"type": "object", "properties": {"a": STRING}, "required": ["b"]}, "'required' with 'b'"),
        ({"type": "object", "additionalProperties": STRING, "minProperties": 2}, "'minProperties' above 1"),
        ({"type": "object", "patternProperties": {"^a": STRING, "b$": NUMBER}}, "'patternProperties' beside other"),
    ],
)
def test_what_xgrammar_would_leave_out_is_refused(schema: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=f"^schema.items: decoding can't be held to {what}"):
        held_schema({"items": schema, "$defs": {"x": STRING}}, "schema", refused)


def test_of_alternatives_those_are_left_that_xgrammar_holds_to() -> None:
    price = {"anyOf": [{"type": "number", "multipleOf": 0.01}, {"type": "string", "pattern": "^[0-9]+$"}]}
    assert held_schema(price, "schema", refused) == {"anyOf": [price["anyOf"][1]]}


HELD: list[dict[str, Any]] = [
    {"type": "integer", "multipleOf": 7},
    {"type": "integer", "exclusiveMinimum": -12, "maximum": 305},
    {"type": "number", "minimum": -0.5, "exclusiveMaximum": 12.25},
    {"type": ["integer", "null"], "minimum": 3},
    {"type": "string", "format": "uri", "minLength": 1},
    {"type": "string", "pattern": "^[^a]{2}.$"},
    {"type": "string", "pattern": r"\d|^x"},
    {"type": "string", "minLength": 3, "maxLength": 3},
    {"enum": ['a"b', "c/d", "\x01", 1.5, -0.1, 10**20, None]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
    {"type": "array", "prefixItems": [{"type": "null"}], "items": False},
    {"type": "object", "properties": {"a": NUMBER}, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "patternProperties": {"^[ab]{2}$": {"type": "null"}}, "maxProperties": 2},
    {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}, "c": {"const": 3}}, "maxProperties": 2},
    {
        "type": "object",
        "properties": {
            "a": {"type": "object", "properties": {"title": {"type": "null"}}, "required": ["title"]},
            "b": {"type": "object", "properties": {"title": {"type": "boolean"}}, "required": ["title"]},
        },
        "required": ["a", "b"],
    },
]


@pytest.mark.parametrize("schema", HELD, ids=str)
def test_whatever_is_drawn_fits_the_schema(schema: dict[str, Any]) -> None:
    draws = drawn(held_schema(schema, "schema", refused), 40)
    assert draws
    for text in draws:
        Draft202012Validator(schema).validate(json.loads(text))


def drawn(schema: dict[str, Any], times: int) -> list[str]:
    """Texts of the schema's grammar, drawn byte by byte; those that do not end soon are left out."""
    import torch
    import xgrammar

    tokens, end = [*(bytes([byte]) for byte in range(256)), b""], 256
    known = xgrammar.TokenizerInfo(tokens, xgrammar.VocabType.RAW, stop_token_ids=[end])
    grammar = xgrammar.GrammarCompiler(known).compile_grammar(grammar_of_schema(schema))
    allowed, texts = xgrammar.allocate_token_bitmask(1, len(tokens)), list[str]()
    for seed in range(times):
        matcher, chance, text = xgrammar.GrammarMatcher(grammar), random.Random(seed), b""
        while len(text) < 120 and not matcher.is_terminated():
            matcher.fill_next_token_bitmask(allowed)
            left = ((allowed[0, :, None] >> torch.arange(32)) & 1).flatten()[: len(tokens)].nonzero().flatten().tolist()
            closing = [token for token in left if token in (*b'"}]', end)]
            token = chance.choice(closing if closing and len(text) > 20 else left)
            assert matcher.accept_token(token)
            text += tokens[token]
        texts += [text.decode(errors="replace")] if matcher.is_terminated() else []
    return texts
