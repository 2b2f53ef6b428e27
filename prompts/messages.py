"""What people, tools and other providers' models put into messages, read as LangChain messages and as their text.

    convert_messages([{"role": "assistant", "tool_calls": […]}])     # as LangChain's function, with one kind of error
    message_text(ToolMessage([text, picture], …), 2)                 # "The price is 5.\\n[image left out: …]"

A person's message is taken whole or refused, by a `ValueError` that names `messages[i]`. In what models and tools wrote
before, that which is not text is skipped or named as left out: a stored conversation can always be continued.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    MessageLikeRepresentation,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call
from pydantic import ValidationError

TEXT_PARTS = ("text", "input_text", "output_text", "text-plain", None)
MEDIA_PARTS = ("image", "image_url", "input_image", "audio", "input_audio", "video", "file", "input_file", "document")
REASON_CHARACTERS = 200  # of LangChain's own message in an error
KIND_CHARACTERS = 40  # of the type of a part that is left out


def convert_messages(messages: Iterable[MessageLikeRepresentation]) -> list[BaseMessage]:
    """LangChain messages of messages, dicts, pairs and texts.

    Tool calls without arguments have none; those whose arguments are not a JSON object become `invalid_tool_calls`.

    Raises:
        ValueError: what is not a message; the error names `messages[i]`.
    """
    return [_convert(message, position) for position, message in enumerate(messages)]


def message_text(message: BaseMessage, position: int) -> str:
    """The text of a message.

    Args:
        message: a message of any provider.
        position: its index, for errors.

    Raises:
        ValueError: a person's or system message with a part that is not text, or with half a character.
    """
    is_history = isinstance(message, AIMessage | ToolMessage)
    content: Any = message.content
    parts = [content] if isinstance(content, str) else content or ()
    text = ""
    for part in parts:
        piece, is_block = _part_text(part, message, position)
        text += "\n" * (is_block and bool(text)) + piece + "\n" * is_block
    text = text.removesuffix("\n") if not isinstance(content, str) else text
    if (
        not text
        and isinstance(message, AIMessage)
        and isinstance(said := message.additional_kwargs.get("refusal"), str)
    ):
        text = said
    return replace_half_characters(text) if is_history else check_characters(text, position)


def check_characters(text: str, position: int) -> str:
    """The text of a person's message. Raises ValueError for half a character, which can be neither sent nor stored."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"messages[{position}]: {text[error.start]!r} at {error.start} is not a character; give text in UTF-8"
        ) from error
    return text


def replace_half_characters(text: str) -> str:
    """The text with U+FFFD for each half of a character (a lone surrogate); two halves in a row become theirs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _part_text(part: Any, message: BaseMessage, position: int) -> tuple[str, bool]:
    """The text of a part of a message's content, and whether it stands on lines of its own."""
    if isinstance(part, str):
        return part, False
    if not isinstance(part, Mapping):
        raise ValueError(f"messages[{position}]: a part of type {type(part).__name__}; give text, or dicts with a type")
    kind = part.get("type")
    if kind in TEXT_PARTS and isinstance(part.get("text"), str):
        return part["text"], False
    if kind in ("text", "input_text", "output_text") and part.get("text") is None:
        return "", False
    if kind in ("json", None) and "json" in part:
        return _json(part["json"], position), True
    if isinstance(message, AIMessage):
        if kind == "refusal" and isinstance(part.get("refusal"), str):
            return part["refusal"], False
        return (_left_out(kind), True) if kind in MEDIA_PARTS else ("", False)
    if isinstance(message, ToolMessage):
        return (_json(part, position) if kind is None else _left_out(kind)), True
    raise ValueError(f"messages[{position}]: a part of type {kind or 'unknown'!r}; this model reads text only")


def _left_out(kind: Any) -> str:
    return f"[{str(kind)[:KIND_CHARACTERS]} left out: this model reads text only]"


def _json(value: Any, position: int) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"messages[{position}]: a part that cannot be written as JSON: {error}") from error


def _convert(message: MessageLikeRepresentation, position: int) -> BaseMessage:
    if isinstance(message, BaseMessage):
        return message
    fields, invalid = message, []
    if isinstance(message, dict) and isinstance(message.get("tool_calls"), list):
        calls = [_tool_call(call) for call in message["tool_calls"]]
        valid = [call for call in calls if call["type"] == "tool_call"]
        invalid = [call for call in calls if call["type"] == "invalid_tool_call"]
        fields = {"content": "", **message, "tool_calls": valid}
    try:
        [converted] = convert_to_messages([fields])
    except ValidationError as error:
        reasons = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)]
        raise ValueError(f"messages[{position}]: {'; '.join(reasons)[:REASON_CHARACTERS]}") from None
    except Exception as error:  # noqa: BLE001 - LangChain raises KeyError, TypeError, NotImplementedError and others, by the mistake
        raise ValueError(f"messages[{position}]: {_reason(message, error)}") from None
    return converted.model_copy(update={"invalid_tool_calls": invalid}) if invalid else converted


def _reason(message: Any, error: Exception) -> str:
    if isinstance(message, dict) and not ("content" in message and ("role" in message or "type" in message)):
        return "a message has 'role' and 'content'"
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, NotImplementedError) or not str(error):
        return f"{type(message).__name__} is not a message; give a LangChain message, a dict or a pair (role, text)"
    return str(error).splitlines()[0][:REASON_CHARACTERS]


def _tool_call(call: Any) -> Any:
    """A call in OpenAI's or LangChain's form as LangChain's, valid or invalid."""
    call = call if isinstance(call, Mapping) else {"args": call}
    function = call["function"] if isinstance(call.get("function"), Mapping) else call
    name = function.get("name")
    raw = function.get("arguments", function.get("args"))
    identity = None if call.get("id") is None else str(call["id"])
    try:
        arguments = json.loads(raw.strip() or "{}", strict=False) if isinstance(raw, str) else raw
    except (ValueError, RecursionError):
        arguments = raw
    if isinstance(name, str) and (arguments is None or isinstance(arguments, dict)):
        return tool_call(name=name, args=arguments or {}, id=identity)
    text = raw if isinstance(raw, str) else json.dumps(raw, default=str)
    name = name if isinstance(name, str) else None
    return invalid_tool_call(name=name, args=text, id=identity, error="the arguments are not a JSON object")


def text_messages(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages with whole characters, so that their tokens can always be counted."""
    return [message.model_copy(update={"content": _replaced(message.content)}) for message in messages]


def _replaced(content: Any) -> Any:
    if isinstance(content, str):
        return replace_half_characters(content)
    if isinstance(content, Mapping) and isinstance(content.get("text"), str):
        return {**content, "text": replace_half_characters(content["text"])}
    return [_replaced(part) for part in content] if isinstance(content, list) else content
