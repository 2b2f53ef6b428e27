"""Tool calls that a server returns apart from the text, as LangChain's: whole ones, and the chunks of streamed ones.

They come as OpenAI's deltas (`{"index", "id", "name", "arguments"}`) in an answer's `generation_info["tool_calls"]`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import uuid4

from langchain_core.messages import InvalidToolCall, ToolCall
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.utils.json import parse_partial_json

from ..generation import join_tool_calls

_STRING_OR_BRACKET = re.compile(r'"(?:\\.|[^"\\])*+("|\\?\Z)|[{}\[\]]', re.DOTALL)

MOST_REPAIRED = 1_000  # characters; LangChain's repair of partial JSON takes quadratic time


def to_tool_calls(deltas: Iterable[Mapping[str, Any]], *, truncated: bool) -> list[ToolCall | InvalidToolCall]:
    """The tool calls of an answer. Arguments that are not a JSON object make an invalid one, and so does truncation."""
    calls = list(deltas)
    return [_to_tool_call(call, truncated=truncated and call is calls[-1]) for call in calls]


def _to_tool_call(call: Mapping[str, Any], *, truncated: bool) -> ToolCall | InvalidToolCall:
    try:
        args = json.loads(call["arguments"] or ("" if truncated else "{}"), strict=False)
        if not isinstance(args, dict):
            raise ValueError("they are not a JSON object")
        if not call["name"]:
            raise ValueError("they come without the name of a tool")
    except (ValueError, RecursionError) as error:
        reason = f"arguments: {'the token limit cut them' if truncated else error}"
        return invalid_tool_call(name=call["name"], args=call["arguments"], id=_id(call), error=reason)
    return tool_call(name=call["name"], args=args, id=_id(call))


def _id(call: Mapping[str, Any]) -> str:
    """The server's id, or a new one: the tool's result has to name it."""
    return str(call["id"] or f"call_{uuid4().hex}")


class NativeToolCallStream:
    """The deltas of one streamed answer as LangChain's chunks."""

    def __init__(self) -> None:
        self._deltas: list[dict[str, Any]] = []
        self._started: set[int] = set()

    def chunk(self, delta: Mapping[str, Any]) -> ToolCallChunk:
        """One delta as a chunk; the first of each tool call has an id."""
        is_first = delta["index"] not in self._started
        self._started.add(delta["index"])
        known = {**delta, "id": _id(delta) if is_first else None}
        self._deltas.append(known)
        return tool_call_chunk(name=known["name"], args=known["arguments"], id=known["id"], index=known["index"])

    def end(self, *, truncated: bool) -> tuple[list[ToolCallChunk], dict[str, str]]:
        """Last chunks that keep invalid tool calls invalid, and by id what is wrong with each.

        The sum of LangChain's chunks repairs whatever can be the beginning of an object.
        """
        chunks, errors = list[ToolCallChunk](), dict[str, str]()
        calls = join_tool_calls(self._deltas)
        for delta, call in zip(calls, to_tool_calls(calls, truncated=truncated), strict=True):
            if call["type"] == "invalid_tool_call":
                errors[str(call["id"])] = str(call["error"])
                end = _spoiling_end(str(call["args"])) if _is_repairable(str(call["args"])) else ""
                chunks += [tool_call_chunk(name=None, args=end, id=None, index=delta["index"])] if end else []
        return chunks, errors


def unrepairable(args: str) -> str:
    """Invalid arguments as a text that LangChain's chunks do not repair into an object."""
    return json.dumps(args, ensure_ascii=False) if _is_repairable(args) else args


def _spoiling_end(args: str) -> str:
    """What makes the beginning of a JSON object invalid: the end of an open string, and a bracket that does not match."""
    string_end, brackets = "", list[str]()
    for match in _STRING_OR_BRACKET.finditer(args):
        if match[0] in ("{", "["):
            brackets.append(match[0])
        elif match[0] in ("}", "]"):
            del brackets[-1:]
        elif match[1] != '"':
            string_end = f'{match[1]}"'
    return string_end + ("}" if brackets[-1:] == ["["] else "]")


def _is_repairable(args: str) -> bool:
    """Whether LangChain's chunks may read an object out of this; they take an empty text for an empty object."""
    if len(args) > MOST_REPAIRED:
        return True
    try:
        return not args or isinstance(parse_partial_json(args), dict)
    except (ValueError, RecursionError):
        return False
