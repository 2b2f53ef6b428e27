"""Tool calls and their results as a conversation shows them, in the form of Nous Research's Hermes models.

The result of one call stands as it is. Where an answer made several calls, each result says to which it belongs, in its tag
(`<tool_response name="check_stock" call="2">`) or as Hermes has it (`{"name": "check_stock", "content": …}`), which costs
more tokens where the content is text with quotes in it. `call`, the place among the calls, is told where the name is there
twice.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from .escaping import Escaping

TOOL_CALL_START, TOOL_CALL_END = "<tool_call>", "</tool_call>"


def call_texts(message: AIMessage, escaping: Escaping) -> list[str]:
    """The calls of an answer; invalid ones as the model wrote them, so that it sees what was wrong."""
    calls = [{"name": call["name"], "arguments": call["args"]} for call in message.tool_calls]
    written = [_json(escaping.escape_values(call)) for call in calls]
    for invalid in message.invalid_tool_calls:
        name, raw = invalid["name"] or "", invalid["args"] or ""
        # Servers that tell calls apart give the arguments alone.
        whole = raw if name in raw else f'{{"name": {_json(name)}, "arguments": {raw}}}'
        written.append(escaping.escape(whole))
    return [f"{TOOL_CALL_START}\n{each}\n{TOOL_CALL_END}" for each in written]


def result_text(messages: Sequence[BaseMessage], position: int, text: str, escaping: Escaping, *, hermes: bool) -> str:
    """The result at `position`, whose own text is `text`; a failed one says so.

    Args:
        hermes: whether the call that it belongs to is told in JSON.
    """
    message = messages[position]
    assert isinstance(message, ToolMessage)
    if message.status == "error" and not text.lstrip().lower().startswith("error"):
        text = f"Error: {text}"
    belongs = _belongs(messages[:position], message)
    shown = escaping.escape(text)
    if belongs and hermes:
        shown = _json(escaping.escape_values({**belongs, "content": _content(text)}))
        belongs = {}
    told = "".join(f' {name}="{_bare(str(value))}"' for name, value in belongs.items())
    return f"<tool_response{told}>\n{shown}\n</tool_response>"


def _bare(name: str) -> str:
    """A name that can't end the tag it stands in."""
    return re.sub(r"[^\w.-]", "_", name)


def _content(text: str) -> Any:
    """What a tool gave: an object or a list where it is one and stays as it is, so that its quotes need no escapes."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    same = "".join(_json(content).split()) == "".join(text.split())
    return content if same and isinstance(content, dict | list) else text


def _belongs(before: Sequence[BaseMessage], result: ToolMessage) -> dict[str, Any]:
    """Which of several calls it answers; empty where there was one only."""
    asked = next((each for each in reversed(before) if isinstance(each, AIMessage)), None)
    calls = [*asked.tool_calls, *asked.invalid_tool_calls] if asked else []
    places = [place for place, call in enumerate(calls, 1) if call["id"] == result.tool_call_id]
    if len(calls) < 2 or not places:
        return {}
    name = calls[places[0] - 1]["name"] or result.name or ""
    twice = [call["name"] for call in calls].count(name) > 1
    return {"name": name, "call": places[0]} if twice else {"name": name}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
