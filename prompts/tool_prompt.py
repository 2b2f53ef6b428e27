"""What a model is told of the shape of its answer: the tools that it may call, or the JSON that it has to write.

The words are in `tool_use.yaml`.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from .escaping import Tags
from .output_format import JsonAnswer, Shape, ToolUse


def shape_text(shape: Shape, tags: Tags) -> str:
    """The text for the end of the system text; `tags` in names, descriptions and schemas are neutralised."""
    if isinstance(shape, JsonAnswer):
        return _json_text(shape, tags)
    if shape.choice == "none" or not shape.tools:
        return str(_words()["none"])
    schemas = "\n".join(
        json.dumps(tags.neutralised_values(_function(tool)), ensure_ascii=False) for tool in shape.tools
    )
    return str(_words()["tools"]).format(schemas=schemas, choice=_choice(shape))


def repair_text(error: str) -> str:
    """What a model is told of an answer that does not fit."""
    return str(_words()["repair"]).format(error=error)


def _json_text(shape: JsonAnswer, tags: Tags) -> str:
    if shape.schema is None:
        return str(_words()["json"])
    schema = json.dumps(tags.neutralised_values(shape.schema), ensure_ascii=False)
    return str(_words()["schema"]).format(schema=schema)


def _function(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": dict(tool)}


def _choice(use: ToolUse) -> str:
    words = _words()["choice"]
    said = words[use.choice] if use.choice in words else words["one"].format(name=use.choice)
    return str(said) if use.parallel else f"{said} {_words()['one_call']}"


@cache
def _words() -> dict[str, Any]:
    text = (files(__package__) / "tool_use.yaml").read_text(encoding="utf-8")
    words: dict[str, Any] = yaml.safe_load(text)
    return words
