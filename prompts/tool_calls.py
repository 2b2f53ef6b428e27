"""Read the tool calls in what a model wrote.

reader = ToolCallReader(use)
for piece in pieces:
    for part in reader.feed(piece):   # text, ToolCall or InvalidToolCall
        ...
for part in reader.flush(cut=False):
    ...
"""

import json
from collections.abc import Iterator
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call
from sagechain.prompts.shapes import ToolUse

OPEN, CLOSE = "<tool_call>", "</tool_call>"

Part = str | ToolCall | InvalidToolCall


class ToolCallReader:
    """Tells calls from text, whatever pieces the text comes in."""

    def __init__(self, use: ToolUse) -> None:
        self._use = use
        self._held = ""

    def feed(self, piece: str) -> Iterator[Part]:
        """What is settled now."""
        self._held += piece
        yield from ()

    def flush(self, *, cut: bool = False) -> Iterator[Part]:
        """What was still held when the text ended.

        Args:
            cut: the text ended at the token limit, so that its last call may not be whole.
        """
        text, *blocks = self._held.split(OPEN)
        if text.strip():
            yield text
        for block in blocks:
            raw = block.split(CLOSE)[0].strip()
            try:
                call = json.loads(raw)
                yield tool_call(name=call["name"], args=call["arguments"], id=f"call_{uuid4().hex}")
            except (ValueError, KeyError, TypeError) as error:
                yield invalid_tool_call(name=None, args=raw, id=f"call_{uuid4().hex}", error=str(error))
