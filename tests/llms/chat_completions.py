"""Chat completions for tests: two tools, a tool call, and replies and streams as servers send them."""

import json
from collections.abc import Sequence
from typing import Any
from unittest.mock import ANY

from langchain_core.messages import HumanMessage
from langchain_core.outputs import GenerationChunk

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "weather", "description": "The weather in a city.", "parameters": SCHEMA}
CLOCK = {"name": "clock", "description": "The time.", "parameters": {"type": "object", "properties": {}}}
HI = [HumanMessage("Hi")]
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
"""A tool call as a server sends it …"""
ROME = {"index": 0, "id": "c1", "name": "weather", "arguments": '{"city": "Rome"}'}
"""… and as it is read."""
ROME_WITHOUT_ID = ROME | {"id": ANY}


def reply(message: dict[str, Any], reason: str | None = "tool_calls") -> bytes:
    """A whole reply of one message."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return json.dumps({"choices": [choice]}).encode()


def events(*deltas: dict[str, Any], reason: str | None = "tool_calls", **more: Any) -> bytes:
    """A stream of these deltas."""
    parts = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more} for delta in deltas]
    end = [{"choices": [{"index": 0, "delta": {}, "finish_reason": reason}], **more}] if reason else []
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in [*parts, *end]]
    return b"".join(lines) + b"data: [DONE]\n\n"


def call_delta(arguments: Any, *, index: int | None = 0, name: str | None = None, call_id: str | None = None) -> Any:
    """Part of a tool call, as a stream has it."""
    place = {} if index is None else {"index": index}
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    return {"tool_calls": [{**place, "id": call_id, "type": "function", "function": function}]}


def tool_call_deltas(chunks: Sequence[GenerationChunk]) -> list[dict[str, Any]]:
    """All parts of tool calls in an answer."""
    return [delta for chunk in chunks for delta in (chunk.generation_info or {}).get("tool_calls", [])]
