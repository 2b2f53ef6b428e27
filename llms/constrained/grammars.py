"""The grammar that a constrained answer follows, in llguidance's Lark: both local engines read this text.

    answer_grammar(ToolCallFormat.from_tools([search], "any"))
    # %llguidance {"no_forcing": true}
    # start: "<tool_call>\\n" call …

JSON is written as `json.dumps` writes it: where white space is free, a small model may repeat it without end.
"""

import json
from collections.abc import Mapping
from typing import Any

from sagechain.prompts import TOOL_CALL_END, TOOL_CALL_START, JsonFormat, OutputFormat, ToolCallFormat, argument_schema

from .schemas import ALTERNATIVES, constrainable_schema

# Text that only one continuation fits is not turned into tokens by llguidance, which would take the name of a special token
# in it for that token: the model chooses the tokens.
HEADER, START = '%llguidance {"no_forcing": true}\n', "start: "
# llguidance's options for one schema; `coerce_one_of` reads `oneOf` as `anyOf`.
JSON_OPTIONS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "coerce_one_of": True}
FIRST, NEXT, END = f"{TOOL_CALL_START}\n", f"\n{TOOL_CALL_START}\n", f"}}\n{TOOL_CALL_END}"


def answer_grammar(output_format: OutputFormat | None) -> str | None:
    """The grammar of the answers that have this format; None if every text has it.

    Raises:
        UnsupportedSchema: no grammar expresses a part of the schema; the message names the part.
    """
    if isinstance(output_format, JsonFormat):
        schema = {"type": "object"} if output_format.schema is None else output_format.schema
        return f"{HEADER}{START}answer\n{_json_rule('answer', constrainable_schema(schema, 'schema'))}"
    if output_format is None or not output_format.callable_tools:
        return None
    return f"{HEADER}{_start_rule(output_format)}{_call_rules(output_format)}"


def with_leading_text(grammar: str, text: str) -> str:
    """The grammar with a fixed text before every answer."""
    return grammar.replace(START, f"{START}{_literal(text)} rest\nrest: ", 1)


def _start_rule(tools: ToolCallFormat) -> str:
    is_single = tools.must_call if tools.parallel is None else not tools.parallel
    more = "" if is_single else f" ({_literal(NEXT)} call)*"
    if tools.must_call:
        return f"{START}{_literal(FIRST)} call{more}\n"
    # The lazy rule ends at the first opening tag, so free text never contains one.
    return f'{START}TEXT | opened "\\n" call{more}\nopened[lazy]: TEXT {_literal(TOOL_CALL_START)}\nTEXT: /(.|\\n)*/\n'


def _call_rules(tools: ToolCallFormat) -> str:
    names = [json.dumps(tool["name"], ensure_ascii=False) for tool in tools.callable_tools]
    starts = [_literal(f'{{"name": {name}, "arguments": ') for name in names]
    alternatives = " | ".join(f"{start} arguments_{number}" for number, start in enumerate(starts))
    arguments = (
        _json_rule(f"arguments_{number}", constrainable_schema(_arguments(tool), f"tools[{tool['name']!r}].parameters"))
        for number, tool in enumerate(tools.callable_tools)
    )
    return f"call: ({alternatives}) {_literal(END)}\n{''.join(arguments)}"


def _arguments(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a tool's arguments, an object unless the schema refers to or combines others."""
    schema = tool.get("parameters") or {}
    return schema if {"$ref", "allOf", *ALTERNATIVES} & schema.keys() else argument_schema(tool)


def _json_rule(name: str, schema: Mapping[str, Any]) -> str:
    return f"{name}: %json {json.dumps({**schema, 'x-guidance': JSON_OPTIONS})}\n"


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
