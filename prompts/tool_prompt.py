"""Tools, past tool calls and their results as prompt text, in the form of Nous Research's Hermes models.

The system text ends with what the answer must be: the tools that may be called, or the JSON to write (`tool_prompt.yaml`).

The result of a single call is shown as it is. Where an answer made several calls, each result names its call: in the tag
(`<tool_response name="check_stock" call="2">`), or in JSON as Hermes does (`{"name": "check_stock", "content": …}`), which
takes more tokens if the content is text with quotes. `call`, the position among the calls, is given only where two calls
have the same name.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from .escaping import Escaping
from .output_format import CHOICES, JsonFormat, OutputFormat, ToolCallFormat
from .yaml_data import read_yaml

TOOL_CALL_START, TOOL_CALL_END = "<tool_call>", "</tool_call>"
RESULT_STARTS = ("\nObservation:", "\n<tool_response>")
"""Stop strings beside tools: after them a model invents the result of its call."""


def format_instructions(output_format: OutputFormat, escaping: Escaping) -> str:
    """The text that describes the output format to the model; names, descriptions and schemas are escaped."""
    if isinstance(output_format, JsonFormat):
        if output_format.schema is None:
            return _template("json")
        schema = json.dumps(escaping.escape_values(output_format.schema), ensure_ascii=False)
        return _template("schema").format(schema=schema)
    if output_format.choice == "none" or not output_format.tools:
        return _template("none")
    functions = [{"type": "function", "function": dict(tool)} for tool in output_format.tools]
    schemas = "\n".join(json.dumps(escaping.escape_values(function), ensure_ascii=False) for function in functions)
    return _template("tools").format(schemas=schemas, choice=_choice_instruction(output_format))


def correction_request(error: str) -> str:
    """The message after an answer that does not match its format: the error, and the request to write it again."""
    return _template("repair").format(error=error)


def tool_call_texts(message: AIMessage, escaping: Escaping) -> list[str]:
    """The calls of an answer; invalid ones as the model wrote them, so that it sees what was wrong."""
    calls = [{"name": call["name"], "arguments": call["args"]} for call in message.tool_calls]
    texts = [_json(escaping.escape_values(call)) for call in calls]
    for invalid in message.invalid_tool_calls:
        name, raw = invalid["name"] or "", invalid["args"] or ""
        # A server with its own tool calls returns the arguments without the name.
        whole = raw if name in raw else f'{{"name": {_json(name)}, "arguments": {raw}}}'
        texts.append(escaping.escape(whole))
    return [f"{TOOL_CALL_START}\n{text}\n{TOOL_CALL_END}" for text in texts]


def tool_result_text(
    messages: Sequence[BaseMessage], position: int, text: str, escaping: Escaping, *, as_json: bool
) -> str:
    """The tool result at `position`, marked as an error if the tool failed.

    Args:
        messages: the conversation.
        position: the index of the result.
        text: the content of that message.
        as_json: whether a result that must name its call does so in JSON.
    """
    message = messages[position]
    assert isinstance(message, ToolMessage)
    if message.status == "error" and not text.lstrip().lower().startswith("error"):
        text = f"Error: {text}"
    call = _call_reference(messages[:position], message)
    if call and as_json:
        content = _json(escaping.escape_values({**call, "content": _json_content(text)}))
        return f"<tool_response>\n{content}\n</tool_response>"
    attributes = "".join(f' {name}="{_attribute_value(value)}"' for name, value in call.items())
    return f"<tool_response{attributes}>\n{escaping.escape(text)}\n</tool_response>"


def _choice_instruction(tool_format: ToolCallFormat) -> str:
    instructions: dict[str, str] = _templates()["choice"]
    choice = tool_format.choice
    instruction = instructions[choice] if choice in CHOICES else instructions["one"].format(name=choice)
    return f"{instruction} {_template('one_call')}" if tool_format.parallel is False else instruction


def _template(name: str) -> str:
    return str(_templates()[name])


def _templates() -> dict[str, Any]:
    templates: dict[str, Any] = read_yaml(__package__, "tool_prompt.yaml")
    return templates


def _call_reference(earlier: Sequence[BaseMessage], result: ToolMessage) -> dict[str, Any]:
    """Name and, if needed, position of the call that a result belongs to; empty if the answer made one call only."""
    answer = next((message for message in reversed(earlier) if isinstance(message, AIMessage)), None)
    calls = [*answer.tool_calls, *answer.invalid_tool_calls] if answer else []
    positions = [position for position, call in enumerate(calls, 1) if call["id"] == result.tool_call_id]
    if len(calls) < 2 or not positions:
        return {}
    name = calls[positions[0] - 1]["name"] or result.name or ""
    is_ambiguous = [call["name"] for call in calls].count(name) > 1
    return {"name": name, "call": positions[0]} if is_ambiguous else {"name": name}


def _attribute_value(value: Any) -> str:
    """The value without characters that could end its tag."""
    return re.sub(r"[^\w.-]", "_", str(value))


def _json_content(text: str) -> Any:
    """The object or list that a result consists of, so that its quotes need no escapes; any other result as text."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_unchanged = "".join(_json(content).split()) == "".join(text.split())
    return content if is_unchanged and isinstance(content, dict | list) else text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
