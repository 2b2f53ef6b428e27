"""The tool calls in chat completions, whole and streamed, each read into one kind of delta:

    {"index": 0, "id": "call_1", "name": "search", "arguments": '{"q": '}    # the first delta of a tool call
    {"index": 0, "id": None, "name": None, "arguments": '"shoes"}'}          # the next one

Servers differ: vLLM repeats the name in every delta where a function was named, Text Generation Inference before 3.1 sends
a bare object instead of a list and arguments as an object, and some leave `index` or `id` out. A tool call without an id
gets one, since tools could not answer it otherwise. Arguments are passed on unchanged, JSON or not; the chat model
(`llms/chat/`) validates them.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from ..wire_error import unexpected_reply


class ToolCallReader:
    """Reads the tool calls of one answer, message by message."""

    def __init__(self) -> None:
        self._index_of_id: dict[str, int] = {}
        self._with_id: set[int] = set()
        self._with_name: set[int] = set()
        self._last = -1

    @property
    def found(self) -> bool:
        """Whether the answer has any tool call."""
        return self._last >= 0

    def whole(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The tool calls of a whole answer, one delta each. Raises `WireError` on another format."""
        calls = _tool_calls(message)
        if not all(isinstance(call, dict) and isinstance(call.get("function"), dict) for call in calls):
            raise unexpected_reply(message)
        return [self._delta({**call, "index": index}) for index, call in enumerate(calls)]

    def deltas(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The deltas of tool calls in one event of a stream. Raises `WireError` on another format."""
        return [self._delta(call) for call in _tool_calls(message)]

    def _delta(self, call: Any) -> dict[str, Any]:
        if not isinstance(call, dict) or not isinstance(call.get("function") or {}, dict):
            raise unexpected_reply(call)
        function = call.get("function") or {}
        call_id, name = call.get("id") or None, function.get("name") or None
        if not isinstance(call_id, str | None) or not isinstance(name, str | None):
            raise unexpected_reply(call)
        index = self._index(call.get("index"), call_id, name)
        delta = {
            "index": index,
            "id": None if index in self._with_id else call_id or f"call_{uuid4().hex}",
            "name": None if index in self._with_name else name,
            "arguments": _arguments(function.get("arguments")),
        }
        self._with_id.add(index)
        self._with_name |= {index} if name else set()
        return delta

    def _index(self, sent_index: Any, call_id: str | None, name: str | None) -> int:
        """The server's own index; where it sends none, a new id or a second name begins the next tool call."""
        if isinstance(sent_index, int):
            index = sent_index
        elif call_id in self._index_of_id:
            index = self._index_of_id[call_id]
        elif call_id or not self.found or (name and self._last in self._with_name):
            index = self._last + 1
        else:
            index = self._last
        if call_id:
            self._index_of_id.setdefault(call_id, index)
        self._last = max(self._last, index)
        return index


def _tool_calls(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls") or []
    if not calls and message.get("function_call"):  # OpenAI's older form: one function, not a list of tools
        return [{"index": 0, "function": message["function_call"]}]
    return calls if isinstance(calls, list) else [calls]


def _arguments(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
