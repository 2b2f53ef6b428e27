"""The grammar of an output format, in the Lark of llguidance (in llama.cpp) and xgrammar.

    grammar = grammar_of(ToolCallFormat.from_tools([search], "any"))
    grammar.rules      # start: "<tool_call>\\n" call …
    grammar.schemas    # {"arguments_0": the schema of what `search` takes}

Each engine says in its own words what a rule of `schemas` is, and `text`: any text in which no call is opened. JSON has one
form only, that of `json.dumps`: where white space is free, a small model may write it without end.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagechain.prompts import TOOL_CALL_END, TOOL_CALL_START, JsonFormat, OutputFormat, ToolCallFormat, argument_schema

from .schemas import ALTERNATIVES, Refusal, held_schema

# llguidance's options, at the root of each schema.
ONE_FORM = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": True}
START = "start: "
TEXT = "TEXT: /(.|\\n)*/\n"
FIRST, NEXT, END = f"{TOOL_CALL_START}\n", f"\n{TOOL_CALL_START}\n", f"}}\n{TOOL_CALL_END}"


@dataclass(frozen=True)
class Grammar:
    """A grammar whose first rule is `start`.

    Attributes:
        rules: in Lark, but for those of `schemas` and for `text`.
        schemas: the JSON schema of each rule that is JSON.
    """

    rules: str
    schemas: Mapping[str, Mapping[str, Any]]

    def llguidance(self) -> str:
        """The grammar as llama.cpp takes it."""
        schemas = {name: json.dumps({**schema, "x-guidance": ONE_FORM}) for name, schema in self.schemas.items()}
        json_rules = "".join(f"{name}: %json {schema}\n" for name, schema in schemas.items())
        return f"%llguidance {{}}\n{self.rules}{json_rules}text: TEXT\n{TEXT}"


def grammar_of(output_format: OutputFormat | None, refused: Refusal = lambda part: None) -> Grammar | None:
    """The grammar that an answer of that output format fits; None where any text does.

    Args:
        refused: as in `held_schema`: what of a schema the engine can't hold to.

    Raises:
        ValueError: a schema is none, or says what no grammar can; the message names the part.
    """
    if isinstance(output_format, JsonFormat):
        schema = {"type": "object"} if output_format.schema is None else output_format.schema
        return Grammar(f"{START}answer\n", {"answer": held_schema(schema, "schema", refused)})
    if output_format is None or not output_format.callable:
        return None
    schemas = {
        f"arguments_{number}": held_schema(_arguments(tool), f"tools[{tool['name']!r}].parameters", refused)
        for number, tool in enumerate(output_format.callable)
    }
    return Grammar(_start(output_format) + _calls(output_format), schemas)


def _arguments(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a tool's arguments; what refers to another, or is made of others, is left as it is."""
    given = tool.get("parameters") or {}
    return given if {"$ref", "allOf", *ALTERNATIVES} & given.keys() else argument_schema(tool)


def _start(use: ToolCallFormat) -> str:
    more = f" ({_literal(NEXT)} call)*" if use.parallel else ""
    if use.must_call:
        return f"{START}{_literal(FIRST)} call{more}\n"
    return f'{START}text | opened "\\n" call{more}\nopened[lazy]: TEXT {_literal(TOOL_CALL_START)}\n'


def _calls(use: ToolCallFormat) -> str:
    names = [json.dumps(tool["name"], ensure_ascii=False) for tool in use.callable]
    begun = [_literal(f'{{"name": {name}, "arguments": ') for name in names]
    alternatives = " | ".join(f"{begin} arguments_{number}" for number, begin in enumerate(begun))
    return f"call: ({alternatives}) {_literal(END)}\n"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
