"""Messages, and the output format of the answer, as fields of a chat completion's body.

LangChain's own conversion is used for what people write. Messages of models and tools are converted here, since servers
refuse LangChain's result: tool calls without an id, and `content: ""` beside tool calls (Text Generation Inference drops
such calls). LangChain also leaves out that a tool failed, and invalid tool calls.

Source: OpenAI's API reference, "Chat completions".
"""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolMessage, convert_to_openai_messages
from sagechain.prompts import (
    JsonFormat,
    OutputFormat,
    ToolCallFormat,
    check_characters,
    message_text,
    replace_half_characters,
    text_messages,
)

SHOWN_CHARACTERS = 200  # of LangChain's own message, in an error
SYSTEM_ROLES = ("system", "developer")
TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
NOT_IN_NAMES = re.compile(r"[\s<|\\/>]+")  # what OpenAI refuses in the name of a message's author


def openai_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The messages as `{"role", "content", …}`.

    An invalid tool call becomes text, and its result a user's message: servers refuse arguments that are not JSON, and
    results of tool calls that they do not know. As in every family, all system text stands first, neighbours of one role
    are joined with a blank line, and a person's message that is missing at the beginning is empty: the chat templates of
    Llama 2, Mistral and Gemma refuse everything else.

    Raises:
        ValueError: no messages, or one of a kind that has no role.
    """
    if not messages:
        raise ValueError("messages: the list is empty; give at least one message")
    invalid = {call["id"] for m in messages if isinstance(m, AIMessage) for call in m.invalid_tool_calls}
    sent = [each for position, message in enumerate(messages) for each in _openai_message(message, position, invalid)]
    systems = [{**each, "role": "system"} for each in sent if each["role"] in SYSTEM_ROLES]
    others = [each for each in sent if each["role"] not in SYSTEM_ROLES]
    if not others or others[0]["role"] == "assistant":
        others.insert(0, {"role": "user", "content": ""})
    joined: list[dict[str, Any]] = []
    for role, group in groupby([*systems, *others], key=itemgetter("role")):
        neighbours = list(group)
        joined += neighbours if role == "tool" or len(neighbours) == 1 else [_joined(neighbours)]
    return joined


def _joined(neighbours: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Messages of one role as one; it has the author's name if all have the same."""
    contents = [message["content"] for message in neighbours if message.get("content")]
    content: Any
    if all(isinstance(each, str) for each in contents):
        content = "\n\n".join(contents)
    else:  # pictures beside text
        parts = ([{"type": "text", "text": each}] if isinstance(each, str) else each for each in contents)
        content = [part for each in parts for part in each]
    calls = [call for message in neighbours for call in message.get("tool_calls", ())]
    names = {message.get("name") for message in neighbours}
    return {
        "role": neighbours[0]["role"],
        "content": content or (None if calls else ""),
        **({"tool_calls": calls} if calls else {}),
        **({"name": neighbours[0]["name"]} if len(names) == 1 and None not in names else {}),
    }


def openai_output_format(output_format: OutputFormat | None) -> dict[str, Any]:
    """The fields of the body for tools, or for JSON of a schema."""
    if isinstance(output_format, JsonFormat):
        return {"response_format": output_format.response_format}
    if output_format is None or not output_format.tools:  # an empty list of tools is refused
        return {}
    return {
        "tools": [{"type": "function", "function": dict(tool)} for tool in output_format.tools],
        "tool_choice": _tool_choice(output_format),
        **({"parallel_tool_calls": False} if output_format.parallel is False else {}),
    }


def _tool_choice(output_format: ToolCallFormat) -> str | dict[str, Any]:
    choice = output_format.choice
    return TOOL_CHOICES.get(choice) or {"type": "function", "function": {"name": choice}}


def _openai_message(message: BaseMessage, position: int, invalid: set[str | None]) -> Iterable[dict[str, Any]]:
    if isinstance(message, AIMessage):
        converted = [_assistant_message(message, position)]
    elif isinstance(message, ToolMessage):
        converted = [_tool_message(message, position, call_was_invalid=message.tool_call_id in invalid)]
    else:
        converted = _converted(message, position)
        for each in converted:
            check_characters("".join(_texts(each["content"])), position)
    return [{**each, **_author(message)} for each in converted]


def _converted(message: BaseMessage, position: int) -> list[dict[str, Any]]:
    """LangChain's conversion. Parts that are all text become one as in every family; LangChain puts line ends between."""
    parts: list[Any] = [message.content] if isinstance(message.content, str) else list(message.content)
    parts = [part for part in parts if not _is_empty(part)]
    if all(isinstance(part, str) or part.get("type") == "text" for part in parts):
        parts = ["".join(part if isinstance(part, str) else part["text"] for part in parts)]
    content = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts
    try:
        return convert_to_openai_messages([message.model_copy(update={"content": content})])
    except Exception as error:  # LangChain raises KeyError, TypeError, ValueError and others
        reason = str(error).splitlines()[0][:SHOWN_CHARACTERS] if str(error) else type(error).__name__
        raise ValueError(f"messages[{position}]: a part that cannot be sent: {reason}") from error


def _is_empty(part: Any) -> bool:
    """Whether a text part has no text."""
    return isinstance(part, dict) and part.get("type") == "text" and not isinstance(part.get("text"), str)


def _texts(content: Any) -> list[str]:
    parts = [content] if isinstance(content, str) else content or []
    return [part if isinstance(part, str) else str(part.get("text", "")) for part in parts]


def _author(message: BaseMessage) -> dict[str, str]:
    return {"name": NOT_IN_NAMES.sub("_", message.name)} if message.name else {}


def _assistant_message(message: AIMessage, position: int) -> dict[str, Any]:
    own_text = message_text(message, position)
    texts = [*([own_text] if own_text else []), *map(_invalid_call_text, message.invalid_tool_calls)]
    text = replace_half_characters("\n".join(texts))
    tool_calls = [
        {
            "id": call["id"] or f"call_{position}_{number}",
            "type": "function",
            "function": {
                "name": call["name"],
                "arguments": replace_half_characters(json.dumps(call["args"], ensure_ascii=False, default=str)),
            },
        }
        for number, call in enumerate(message.tool_calls)
    ]
    if tool_calls:
        return {"role": "assistant", "content": text or None, "tool_calls": tool_calls}
    return {"role": "assistant", "content": text}


def _invalid_call_text(call: InvalidToolCall) -> str:
    return f"Invalid tool call: {call['name'] or ''}({call['args'] or ''})"


def _tool_message(message: ToolMessage, position: int, *, call_was_invalid: bool) -> dict[str, Any]:
    [whole] = text_messages([message])
    [converted] = _converted(whole, position)
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
