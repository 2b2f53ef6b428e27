"""A conversation, and the output format of its answer, as the body of a chat completion holds them.

LangChain's own conversion is used for what people write. What models and tools wrote is laid out here, since servers refuse
what that gives for it: calls without an id, and `content: ""` beside calls, for which Text Generation Inference drops the
calls. It also leaves out that a tool failed, and calls that could not be read.

Source: OpenAI's API reference, "Chat completions".
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolMessage, convert_to_openai_messages
from sagechain.prompts import JsonFormat, OutputFormat, ToolCallFormat

CHOICES = {"auto": "auto", "any": "required", "none": "none"}
NOT_IN_NAMES = re.compile(r"[\s<|\\/>]+")  # what OpenAI refuses in the name of a message's author


def openai_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The messages, each with its role.

    A call that could not be read stands as text, and its result is a user's message: servers refuse arguments that are not
    JSON, and results of calls that they do not know.

    Raises:
        ValueError: no messages, or one of a kind that has no role.
    """
    if not messages:
        raise ValueError("messages: the list is empty; give at least one message")
    unread = {call["id"] for m in messages if isinstance(m, AIMessage) for call in m.invalid_tool_calls}
    return [sent for position, message in enumerate(messages) for sent in _openai(message, position, unread)]


def openai_output_format(output_format: OutputFormat | None) -> dict[str, Any]:
    """The fields of the body that tell what the answer has to be."""
    if isinstance(output_format, JsonFormat):
        return {"response_format": output_format.response_format}
    if output_format is None or not output_format.tools:  # an empty list of tools is refused
        return {}
    return {
        "tools": [{"type": "function", "function": dict(tool)} for tool in output_format.tools],
        "tool_choice": _tool_choice(output_format),
        **({} if output_format.parallel else {"parallel_tool_calls": False}),
    }


def _tool_choice(use: ToolCallFormat) -> str | dict[str, Any]:
    return CHOICES.get(use.choice) or {"type": "function", "function": {"name": use.choice}}


def _openai(message: BaseMessage, position: int, unread: set[str | None]) -> Iterable[dict[str, Any]]:
    if isinstance(message, AIMessage):
        sent = [_assistant(message, position)]
    elif isinstance(message, ToolMessage):
        sent = [_result(message, message.tool_call_id in unread)]
    else:
        sent = convert_to_openai_messages([_with_text_joined(message)])
    return [{**each, **_name(message)} for each in sent]


def _with_text_joined(message: BaseMessage) -> BaseMessage:
    """Parts that are all text become one as in every family; LangChain's conversion would put line ends between them."""
    parts = [message.content] if isinstance(message.content, str) else message.content
    if all(isinstance(part, str) or part.get("type") == "text" for part in parts):
        return message.model_copy(update={"content": message.text})
    return message


def _name(message: BaseMessage) -> dict[str, str]:
    return {"name": NOT_IN_NAMES.sub("_", message.name)} if message.name else {}


def _assistant(message: AIMessage, position: int) -> dict[str, Any]:
    text = "\n".join([*([message.text] if message.text else []), *map(_unread, message.invalid_tool_calls)])
    calls = [
        {
            "id": call["id"] or f"call_{position}_{number}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"], ensure_ascii=False)},
        }
        for number, call in enumerate(message.tool_calls)
    ]
    if calls:
        return {"role": "assistant", "content": text or None, "tool_calls": calls}
    return {"role": "assistant", "content": text}


def _unread(call: InvalidToolCall) -> str:
    return f"Invalid tool call: {call['name'] or ''}({call['args'] or ''})"


def _result(message: ToolMessage, is_unread: bool) -> dict[str, Any]:
    [sent] = convert_to_openai_messages([message])
    content = sent["content"]
    if message.status == "error":
        content = _told_as_error(content)
    if is_unread:
        return {"role": "user", "content": content}
    return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}


def _told_as_error(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(content, list):
        return [{"type": "text", "text": "Error:"}, *content]
    return content if content.lower().startswith("error") else f"Error: {content}"
