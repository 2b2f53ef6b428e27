"""Tool calls that a server streams apart from the text: joined from their pieces, and invalid where they are cut."""

from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from sagechain.llms.chat.native_tool_calls import NativeToolCallStream
from sagechain.llms.generation import join_tool_calls

ARGUMENTS = '{"a": ["x\\"y", {"b": [1, "\\\\"]}], "c": "d\\\\"}'


def test_a_name_in_pieces_is_joined() -> None:
    deltas: list[dict[str, Any]] = [
        {"index": 0, "id": "1", "name": "run_", "arguments": "{"},
        {"index": 0, "id": None, "name": "cmd", "arguments": "}"},
    ]
    assert join_tool_calls(deltas) == [{"index": 0, "id": "1", "name": "run_cmd", "arguments": "{}"}]


@pytest.mark.parametrize("end", range(len(ARGUMENTS)))
def test_arguments_that_end_anywhere_are_never_repaired(end: int) -> None:
    stream = NativeToolCallStream()
    first = stream.chunk({"index": 0, "id": "1", "name": "run_cmd", "arguments": ARGUMENTS[:end]})
    rest, errors = stream.end(truncated=True)
    message = AIMessageChunk(content="", tool_call_chunks=[first])
    message += AIMessageChunk(content="", tool_call_chunks=rest)
    assert (message.tool_calls, list(errors)) == ([], ["1"])
