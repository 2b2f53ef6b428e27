"""The tool calls in chat completions, whole and streamed, each read into one kind of delta:

    {"index": 0, "id": "call_1", "name": "search", "arguments": '{"q": '}    # the first delta of a tool call
    {"index": 0, "id": None, "name": None, "arguments": '"shoes"}'}          # the next one

Servers differ: vLLM repeats the name in every delta where a function was named (each with another id), others send a name
in pieces, Text Generation Inference before 3.1 sends a bare object instead of a list and arguments as an object, and some
leave `index` or `id` out, or number every tool call 0. A tool call without an id gets one, since tools could not answer it
otherwise. Arguments are passed on unchanged, JSON or not; the chat model (`llms/chat/`) validates them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from ..wire_error import unexpected_reply


@dataclass
class _ToolCall:
    """What is known of a tool call so far."""

    index: int
    id: str | None = None
    name: str = ""
    has_arguments: bool = False


class ToolCallReader:
    """Reads the tool calls of one answer, message by message."""

    def __init__(self) -> None:
        self._calls: list[_ToolCall] = []
        self._call_at: dict[int | str, _ToolCall] = {}  # by the server's own index

    @property
    def found(self) -> bool:
        """Whether the answer has any tool call."""
        return bool(self._calls)

    def whole(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The tool calls of a whole answer, one delta each. Raises `WireError` on another format."""
        calls = _tool_calls(message)
        if not all(isinstance(call, dict) and isinstance(call.get("function"), dict) for call in calls):
            raise unexpected_reply(message)
        return [self._delta({**call, "index": index}) for index, call in enumerate(calls)]

    def deltas(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The deltas of tool calls in one event of a stream. Raises `WireError` on another format."""
        return [self._delta(call, is_first=number == 0) for number, call in enumerate(_tool_calls(message))]

    def _delta(self, sent: Any, *, is_first: bool = True) -> dict[str, Any]:
        function = sent.get("function") or {} if isinstance(sent, dict) else None
        if not isinstance(function, dict):
            raise unexpected_reply(sent)
        call_id, name, index = sent.get("id") or None, function.get("name") or "", sent.get("index")
        if not isinstance(call_id, str | None) or not isinstance(name, str) or not isinstance(index, int | str | None):
            raise unexpected_reply(sent)
        arguments = _arguments(function.get("arguments"))
        call = self._call(index, call_id, name, is_first=is_first)
        is_new = call.id is None
        call.id = call.id or call_id or f"call_{uuid4().hex}"
        piece = "" if name == call.name else name  # a name that is repeated, or a further piece of it
        call.name += piece
        call.has_arguments = call.has_arguments or bool(arguments)
        return {"index": call.index, "id": call.id if is_new else None, "name": piece or None, "arguments": arguments}

    def _call(self, index: int | str | None, call_id: str | None, name: str, *, is_first: bool) -> _ToolCall:
        """The tool call that a delta belongs to, or a new one."""
        if index is not None:
            call = self._call_at.get(index)
            is_new = call is None or (bool(call_id and name) and call_id != call.id and name != call.name)
        elif call_id:
            call = next((call for call in self._calls if call.id == call_id), None)
            is_new = call is None
        else:
            call = self._calls[-1] if self._calls else None
            # Without index and id: a name after arguments, or a second one in the same event, begins the next tool call.
            is_new = call is None or bool(name and (call.has_arguments or not is_first))
        if call is None or is_new:
            call = _ToolCall(len(self._calls))
            self._calls.append(call)
        if index is not None:
            self._call_at[index] = call
        return call


def _tool_calls(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls") or []
    if not calls and message.get("function_call"):  # OpenAI's older form: one function, not a list of tools
        return [{"index": 0, "function": message["function_call"]}]
    return calls if isinstance(calls, list) else [calls]


def _arguments(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "[]"  # not an object, so the tool call is invalid
