"""ReAct's calls: `Action: search` on one line, `Action Input: …` on the next."""

import re
from dataclasses import dataclass

from .callable_tools import CallableTools
from .envelopes import RawCall
from .formats import NeedsMore

_ACTION = re.compile(
    r"\**Action\**[^\S\n]*\d*[^\S\n]*:\**[^\S\n]*[\"'`]?([\w.:-]+)[\"'`]?[^\S\n]*(?:\n|\Z)", re.IGNORECASE
)
_PARTIAL_ACTION = re.compile(r"\**(?:A(?:c(?:t(?:i(?:o(?:n(?:\**[ \d]*(?::[^\n{(`]*)?)?)?)?)?)?)?)?\Z", re.IGNORECASE)
_INPUT = re.compile(r"\s*\**Action[ _]Input\**[^\S\n]*\d*[^\S\n]*:\**[^\S\n]*", re.IGNORECASE)
_PARTIAL_INPUT = re.compile(r"\s*\**(?:A[\w *]*)?\Z", re.IGNORECASE)
_STEP = re.compile(r"\**(?:Observation|Thought|Action|Final Answer)\b", re.IGNORECASE)
_INPUT_END = re.compile(r"\n\s*(?:\n|\**(?:Observation|Thought|Action|Final Answer))|\Z", re.IGNORECASE)
_STEP_NAMES = ("observation", "thought", "action", "final answer")


@dataclass(frozen=True)
class Action:
    """The line of an action, and that of its input if there is one.

    Attributes:
        name: the tool.
        end: the position after them, where the input begins.
        has_input: whether an input follows.
    """

    name: str
    end: int
    has_input: bool


def action_at(text: str, position: int, tools: CallableTools, *, final: bool) -> Action | NeedsMore | None:
    """The action that begins there."""
    if not final and _PARTIAL_ACTION.match(text, position):
        return NeedsMore.TEXT
    action = _ACTION.match(text, position)
    if not action:
        return None
    name = action[1]
    if label := _INPUT.match(text, action.end()):
        return Action(name, label.end(), has_input=True)
    if not final and _PARTIAL_INPUT.match(text, action.end()):
        return NeedsMore.TEXT
    return Action(name, action.end(), has_input=False) if tools.resolve(name) else None


def begins_step(text: str, position: int, *, final: bool) -> bool | NeedsMore:
    """Whether the next ReAct step begins there."""
    word = text[position:].lstrip("*").lower()
    if not final and any(name.startswith(word) for name in _STEP_NAMES):
        return NeedsMore.TEXT
    return _STEP.match(text, position) is not None


def input_end(text: str, start: int, *, final: bool) -> int | NeedsMore:
    """Where an input that is not JSON ends."""
    end = _INPUT_END.search(text, start)
    assert end is not None
    return end.start() if final or end[0] else NeedsMore.TEXT


def plain_input_call(raw: str, name: str, text: str, tools: CallableTools) -> RawCall:
    """An action whose input is not JSON: it is the only argument that the tool has, or the only one that it requires."""
    tool, text = tools.resolve(name), text.strip().strip("`\"'")
    if tool is None or text.lower() in ("", "none", "null", "n/a"):
        return RawCall(raw, name)
    for properties in (tools.properties(tool), tools.required_properties(tool)):
        if len(properties) == 1:
            return RawCall(raw, name, {properties[0]: text})
    return RawCall(raw, name, error="arguments: give them as a JSON object")
