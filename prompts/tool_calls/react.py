"""ReAct's calls: `Action: search` on one line, `Action Input: …` on the next: JSON, or the text of one line."""

import re

from .callable_tools import CallableTools
from .envelopes import RawCall

ACTION = re.compile(
    r"\*{0,2}Action[*\d \t]{0,9}:\*{0,2}[^\S\n]{0,9}[\"'`]?(?P<name>[\w.:-]{1,128})[\"'`]?[^\S\n]{0,9}(?:\n|\Z)",
    re.IGNORECASE,
)
ACTION_INPUT = re.compile(r"\s{0,64}\*{0,2}Action[ _]Input[*\d \t]{0,9}:\*{0,2}\s{0,64}", re.IGNORECASE)
QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`")


def plain_input_call(raw: str, name: str, text: str, tools: CallableTools) -> RawCall:
    """An action whose input is not JSON: it is the only argument that the tool has, or the only one that it requires."""
    tool, text = tools.resolve(name), text.strip()
    if QUOTED.fullmatch(text):
        text = text[1:-1]
    if tool is None or text.lower() in ("", "none", "null", "n/a"):
        return RawCall(raw, name)
    for properties in (tools.properties(tool), tools.required_properties(tool)):
        if len(properties) == 1:
            return RawCall(raw, name, {properties[0]: text})
    return RawCall(raw, name, error="arguments: give them as a JSON object")
