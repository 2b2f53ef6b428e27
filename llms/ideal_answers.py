"""What an ideal model answers to a prompt that it has read: a few general rules, and no knowledge of the world.

- JSON is asked for: the schema, filled with what the user's last words say (`filling.py`).
- There are tools: those whose name or description shares words with what was said are called; "and" asks for several
  calls at once, "then" for one round after another, `search("tents")` is that call, and one that must be made is made.
- The rounds are done: an answer in words that quotes the results.
- Otherwise: what the conversation said of the thing that is asked for ("My colour is green." "What is my colour?"), or a
  short reply that repeats the words.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, ToolCall
from langchain_core.messages.tool import tool_call

from .filling import QUOTED, Words, filled, kind_of
from .prompt_reading import ReadPrompt

THEN = re.compile(r"[,;.]?\s*\b(?:and\s+)?(?:then|after that|afterwards)\b,?\s*", re.I)
AND = re.compile(r"\s*(?:,\s*and|\band|;)\s+", re.I)
QUESTION = re.compile(r"\b(?:what|which|who)\s+(?:is|are|was)\s+(?P<whose>my|your|the)\s+(?P<thing>[^.?!,]+)", re.I)
COMMON = frozenset(
    re.findall(
        r"\w+",
        "the and for what with that this you your are was can how please get from into one two all not but has have any "
        "use using value who which when where why its tell about give make then",
    )
)
TURNED = {"my": "Your", "your": "My", "the": "The"}

Tool = Mapping[str, Any]


def ideal_answer(prompt: ReadPrompt) -> AIMessage:
    """The answer, with calls where some are due."""
    if prompt.wants_json:
        return AIMessage(json.dumps(_json_value(prompt), ensure_ascii=False))
    calls = _calls(prompt)
    return AIMessage("" if calls else _words(prompt), tool_calls=calls)


def _json_value(prompt: ReadPrompt) -> Any:
    if prompt.schema is not None:
        return filled(prompt.schema, Words(prompt.question, prompt.results))
    # Without a schema the user says what the object holds: its keys are quoted.
    names = ["".join(found) for found in re.findall(QUOTED, prompt.question)]
    keys = {name: {"type": "string"} for name in names}
    words = Words(re.sub(QUOTED, "", prompt.question), prompt.results)
    return filled({"type": "object", "properties": keys, "required": names}, words)


def _calls(prompt: ReadPrompt) -> list[ToolCall]:
    """The calls of the next step that the words ask for."""
    steps = [step for step in THEN.split(prompt.question) if step]
    if not prompt.tools or (prompt.rounds >= max(len(steps), 1) and not prompt.must_call):
        return []
    step = steps[min(prompt.rounds, len(steps) - 1)] if steps else ""
    tools = [tool for tool in prompt.tools if prompt.named_tool in (None, tool["name"])]
    asked = _written_out(step, tools) or _asked(step, tools, prompt.results)
    if not asked and prompt.must_call:
        tools = [tool for tool in tools if tool["name"] not in prompt.called] or tools
        asked = _each(tools[0], Words(step, prompt.results))
    return asked[:1] if prompt.one_call_only else asked


def _written_out(step: str, tools: list[Tool]) -> list[ToolCall]:
    """Calls that stand in the words as in a program: `add(1, 2)`."""
    found = [
        (place.start(), _call(tool, Words.arguments(place[1])))
        for tool in tools
        for place in re.finditer(rf"\b{re.escape(tool['name'])}\(([^()]*)\)", step)
    ]
    return [call for _, call in sorted(found, key=lambda each: each[0])]


def _asked(step: str, tools: list[Tool], results: list[str]) -> list[ToolCall]:
    """A call for each part of the step that another tool suits; a part that none suits belongs to the one before."""
    parts: list[tuple[Tool | None, str]] = []
    for text in AND.split(step):
        tool = _suited(text, tools)
        if parts and (tool is None or tool is parts[-1][0] or parts[-1][0] is None):
            parts[-1] = (parts[-1][0] or tool, f"{parts[-1][1]} and {text}")
        else:
            parts.append((tool, text))
    return [call for tool, text in parts if tool for call in _each(tool, Words(text, results))]


def _suited(text: str, tools: list[Tool]) -> Tool | None:
    """The tool that shares most words with a text: one of its name, or two of its description."""
    spoken = _stems(text)

    def shared(tool: Tool) -> float:
        return len(spoken & _stems(tool["name"])) + len(spoken & _stems(tool.get("description", ""))) / 2

    best = max(tools, key=shared, default=None)
    return best if best is not None and shared(best) >= 1 else None


def _stems(text: str) -> set[str]:
    words = set(re.findall(r"[^\W\d_]{3,}", text.lower())) - COMMON
    return {re.sub(r"(?<=\w{3})(?:ing|ed|es|s)$", "", word) for word in words}


def _each(tool: Tool, words: Words) -> list[ToolCall]:
    """One call, or where the tool takes one argument and the words have several for it, one for each."""
    properties = tool.get("parameters", {}).get("properties", {})
    required = tool.get("parameters", {}).get("required", ())
    values: list[Any] = []
    if len(required) == 1 and "enum" not in properties[required[0]]:
        kind = kind_of(properties[required[0]])
        values = words.numbers if kind in ("integer", "number") else []
        values = next((found for found in words.strings if found), []) if kind == "string" else values
    if len(values) > 1:
        return [tool_call(name=tool["name"], args={required[0]: value}, id=None) for value in values]
    return [_call(tool, words)]


def _call(tool: Tool, words: Words) -> ToolCall:
    return tool_call(name=tool["name"], args=filled({"type": "object", **tool.get("parameters", {})}, words), id=None)


def _words(prompt: ReadPrompt) -> str:
    if prompt.results:
        return f"This is what I found: {'; '.join(prompt.results)}"
    if not prompt.question:
        return "What can I do for you?"
    return _remembered(prompt) or f"You said: {prompt.question}"


def _remembered(prompt: ReadPrompt) -> str | None:
    """What was said before of the thing that the question is about."""
    asked = QUESTION.search(prompt.question)
    if not asked:
        return None
    whose, thing = asked["whose"].lower(), asked["thing"].strip()
    fact = re.compile(rf"\b{whose}\s+{re.escape(thing)}\s+(?:is|are|was)\s+(?P<what>[^.?!\n]+)", re.I)
    earlier = [prompt.system, *(each.text for each in prompt.said if each.kind == "user")]
    found = [match["what"] for text in earlier for match in fact.finditer(text)]
    return f"{TURNED[whose]} {thing} is {found[-1].strip()}." if found else None
