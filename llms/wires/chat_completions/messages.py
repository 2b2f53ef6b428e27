"""Messages, and the output format of the answer, as fields of a chat completion's body.

LangChain's own conversion is used for what people write. Messages of models and tools are converted here, since servers
refuse LangChain's result: tool calls without an id, and `content: ""` beside tool calls (Text Generation Inference drops
such calls). LangChain also leaves out that a tool failed, and invalid tool calls.

Source: OpenAI's API reference, "Chat completions".
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolMessage, convert_to_openai_messages
from sagechain.prompts import JsonFormat, OutputFormat, ToolCallFormat

TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
NOT_IN_NAMES = re.compile(r"[\s<|\\/>]+")  # what OpenAI refuses in the name of a message's author


def openai_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The messages as `{"role", "content", …}`.

    An invalid tool call becomes text, and its result a user's message: servers refuse arguments that are not JSON, and
    results of tool calls that they do not know.

    Raises:
        ValueError: no messages, or one of a kind that has no role.
    """
    if not messages:
        raise ValueError("messages: the list is empty; give at least one message")
    invalid = {call["id"] for m in messages if isinstance(m, AIMessage) for call in m.invalid_tool_calls}
    return [sent for position, message in enumerate(messages) for sent in _openai_message(message, position, invalid)]


def openai_output_format(output_format: OutputFormat | None) -> dict[str, Any]:
    """The fields of the body for tools, or for JSON of a schema."""
    if isinstance(output_format, JsonFormat):
        return {"response_format": output_format.response_format}
    if output_format is None or not output_format.tools:  # an empty list of tools is refused
        return {}
    return {
        "tools": [{"type": "function", "function": dict(tool)} for tool in output_format.tools],
        "tool_choice": _tool_choice(output_format),
        **({} if output_format.parallel else {"parallel_tool_calls": False}),
    }


def _tool_choice(output_format: ToolCallFormat) -> str | dict[str, Any]:
    choice = output_format.choice
    return TOOL_CHOICES.get(choice) or {"type": "function", "function": {"name": choice}}


def _openai_message(message: BaseMessage, position: int, invalid: set[str | None]) -> Iterable[dict[str, Any]]:
    if isinstance(message, AIMessage):
        converted = [_assistant_message(message, position)]
    elif isinstance(message, ToolMessage):
        converted = [_tool_message(message, message.tool_call_id in invalid)]
    else:
        converted = convert_to_openai_messages([_with_text_joined(message)])
    return [{**each, **_author(message)} for each in converted]


def _with_text_joined(message: BaseMessage) -> BaseMessage:
    """Parts that are all text become one as in every family; LangChain's conversion would put line ends between them."""
    parts = [message.content] if isinstance(message.content, str) else message.content
    if all(isinstance(part, str) or part.get("type") == "text" for part in parts):
        return message.model_copy(update={"content": message.text})
    return message


def _author(message: BaseMessage) -> dict[str, str]:
    return {"name": NOT_IN_NAMES.sub("_", message.name)} if message.name else {}


def _assistant_message(message: AIMessage, position: int) -> dict[str, Any]:
    texts = [*([message.text] if message.text else []), *map(_invalid_call_text, message.invalid_tool_calls)]
    text = "\n".join(texts)
    tool_calls = [
        {
            "id": call["id"] or f"call_{position}_{number}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
        }
        for number, call in enumerate(message.tool_calls)
    ]
    if tool_calls:
        return {"role": "assistant", "content": text or None, "tool_calls": tool_calls}
    return {"role": "assistant", "content": text}


def _invalid_call_text(call: InvalidToolCall) -> str:
    return f"Invalid tool call: {call['name'] or ''}({call['args'] or ''})"


def _tool_message(message: ToolMessage, call_was_invalid: bool) -> dict[str, Any]:
    [converted] = convert_to_openai_messages([message])
    content = converted["content"]
    if message.status == "error":
        content = _marked_as_error(content)
    if call_was_invalid:
        return {"role": "user", "content": content}
    return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}


def _marked_as_error(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(content, list):
        return [{"type": "text", "text": "Error:"}, *content]
    return content if content.lower().startswith("error") else f"Error: {content}"
