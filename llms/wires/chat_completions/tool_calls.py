"""The tool calls in chat completions, whole and in streams, each as one kind of delta:

    {"index": 0, "id": "call_1", "name": "search", "arguments": '{"q": '}    # a call's first piece
    {"index": 0, "id": None, "name": None, "arguments": '"shoes"}'}          # the next one

Servers differ: vLLM repeats the name with every piece where a function was named, Text Generation Inference before 3.1 puts
a bare object in the list's place and gives arguments as an object, and some leave `index` or `id` out. A call without an id
gets one: tools could not answer it otherwise. Arguments are passed on as they are, JSON or not: what becomes of them is the
chat model's.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from ..base import wrong_shape


class CallReader:
    """Reads the calls of one answer, message by message."""

    def __init__(self) -> None:
        self._indices: dict[str, int] = {}
        self._identified: set[int] = set()
        self._named: set[int] = set()
        self._last = -1

    @property
    def found(self) -> bool:
        """Whether there was any call."""
        return self._last >= 0

    def whole(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The calls of a whole answer, one entry each. Raises `WireError` on what has another shape."""
        calls = _calls(message)
        if not all(isinstance(call, dict) and isinstance(call.get("function"), dict) for call in calls):
            raise wrong_shape(message)
        return [self._delta({**call, "index": index}) for index, call in enumerate(calls)]

    def deltas(self, message: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The pieces of calls in one delta of a stream. Raises `WireError` on what has another shape."""
        return [self._delta(call) for call in _calls(message)]

    def _delta(self, call: Any) -> dict[str, Any]:
        if not isinstance(call, dict) or not isinstance(call.get("function") or {}, dict):
            raise wrong_shape(call)
        function = call.get("function") or {}
        identity, name = call.get("id") or None, function.get("name") or None
        if not isinstance(identity, str | None) or not isinstance(name, str | None):
            raise wrong_shape(call)
        index = self._index(call.get("index"), identity, name)
        own = None if index in self._identified else identity or f"call_{uuid4().hex}"
        told = {"id": own, "name": None if index in self._named else name}
        self._identified.add(index)
        self._named |= {index} if name else set()
        return {"index": index, **told, "arguments": _arguments(function.get("arguments"))}

    def _index(self, given: Any, identity: str | None, name: str | None) -> int:
        """The server's own; where it gives none, a new id or another name begins the next call."""
        if isinstance(given, int):
            index = given
        elif identity in self._indices:
            index = self._indices[identity]
        elif identity or not self.found or (name and self._last in self._named):
            index = self._last + 1
        else:
            index = self._last
        if identity:
            self._indices.setdefault(identity, index)
        self._last = max(self._last, index)
        return index


def _calls(message: Mapping[str, Any]) -> list[Any]:
    given = message.get("tool_calls") or []
    if not given and message.get("function_call"):  # before tools there were functions, one a message
        return [{"index": 0, "function": message["function_call"]}]
    return given if isinstance(given, list) else [given]


def _arguments(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)
