"""What a model is told of the output format of its answer: the tools that it may call, or the JSON that it has to write.

The words are in `tool_use.yaml`.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from .escaping import Escaping
from .output_format import JsonFormat, OutputFormat, ToolCallFormat


def output_format_text(output_format: OutputFormat, escaping: Escaping) -> str:
    """The text for the end of the system text; `tags` in names, descriptions and schemas are escaped."""
    if isinstance(output_format, JsonFormat):
        return _json_text(output_format, escaping)
    if output_format.choice == "none" or not output_format.tools:
        return str(_words()["none"])
    schemas = "\n".join(
        json.dumps(escaping.escape_values(_function(tool)), ensure_ascii=False) for tool in output_format.tools
    )
    return str(_words()["tools"]).format(schemas=schemas, choice=_choice(output_format))


def correction_request(error: str) -> str:
    """What a model is told of an answer that does not fit."""
    return str(_words()["repair"]).format(error=error)


def _json_text(output_format: JsonFormat, escaping: Escaping) -> str:
    if output_format.schema is None:
        return str(_words()["json"])
    schema = json.dumps(escaping.escape_values(output_format.schema), ensure_ascii=False)
    return str(_words()["schema"]).format(schema=schema)


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": dict(tool)}


def _choice(use: ToolCallFormat) -> str:
    words = _words()["choice"]
    said = words[use.choice] if use.choice in words else words["one"].format(name=use.choice)
    return str(said) if use.parallel else f"{said} {_words()['one_call']}"


@cache
def _words() -> dict[str, Any]:
    text = (files(__package__) / "tool_use.yaml").read_text(encoding="utf-8")
    words: dict[str, Any] = yaml.safe_load(text)
    return words
