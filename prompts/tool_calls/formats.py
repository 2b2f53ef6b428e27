"""The text around a call that marks it: tags, fences, the first key of an object, a tool's name before `(` or `{`.

Each `…_at` function looks at one position of a text that may continue. It returns what begins there, None if nothing does,
or a `NeedsMore` if only more text can decide. `final`: no more text comes.
"""

import re
from dataclasses import dataclass
from enum import Enum

from ..suggestions import normalize
from .callable_tools import CallableTools
from .envelopes import ENVELOPE_KEYS


class NeedsMore(Enum):
    """Only more text can decide."""

    TEXT = "text"
    END_OF_VALUE = "end of value"
    """A value is open: nothing is decided before a bracket, tag, fence or line ends."""


@dataclass(frozen=True)
class OpeningTag:
    """An opening tag that ends at `end`, and the tool that it names, if any."""

    end: int
    tool_name: str | None = None


@dataclass(frozen=True)
class Fence:
    """An opening fence that ends at `end`; `declares_calls` if its language is `tool_call` or alike."""

    end: int
    declares_calls: bool


@dataclass(frozen=True)
class NamedCall:
    """A tool's name; the `(` or `{` of its arguments is at `bracket`."""

    name: str
    bracket: int


CLOSING_TAG = re.compile(
    r"</\s*(?:tool_calls?|toolcall|tool_response|tools|function_calls?|function|invoke|tool_use)\s*>"
    r"|<\|(?:/tool_calls?|tool_calls?_end)\|>|\[/TOOL_CALLS\]",
    re.IGNORECASE,
)
PARTIAL_CLOSING_TAG = re.compile(r"(?:<[/|\s]*[\w\s]{0,20}\|?|\[/?\w{0,10}|`{1,2})\Z")
# Ends the content of a tag that is not JSON.
BODY_END = re.compile(
    rf"{CLOSING_TAG.pattern}|<\s*(?:tool_calls?|tool_response)(?=[\s>])|<\|[^|<>\s]{{1,40}}\|>|</s>|\n```",
    re.IGNORECASE,
)
_FENCE = re.compile(r"```[^\S\n]*([\w-]*)[^\S\n]*(\n|(?=[{\[<]))\s*")
_PARTIAL_FENCE = re.compile(r"`{1,2}\Z|```[^\S\n]*[\w-]*\s*\Z")
_CALL_LANGUAGES = ("toolcall", "toolcalls", "functioncall", "tooluse", "toolcode")
_FIRST_KEY = re.compile(r"\{\s*(?:\{\s*)?[\"'“‘]?([\w.-]*)([\"'”’]?)\s*(:?)")
_NAMED_CALL = re.compile(r"(?:\w+[.:])?([\w-]+)((?:\.call)?\(|\s*:?\s*(?:\[ARGS\])?\s*(?=\{))?")
_PARTIAL_NAMED_CALL = re.compile(r"[.:]?\s*:?\s*(?:\[\w{0,4}\]?)?\s*\Z")
_NAMESPACES = ("functions", "function", "tools", "tool", "defaultapi")
_NAME_ATTRIBUTE = re.compile(r"\bname\s*=\s*[\"']?([\w.:-]+)")
_ARGUMENT_TAG = re.compile(r"<parameter(?:=|\s+name=)[\"']?([\w.-]+)[\"']?\s*>(.*?)</parameter\s*>", re.DOTALL)


def _growing(*parts: str) -> re.Pattern[str]:
    """A pattern of the parts that also matches a text that ends within them; the group `whole` matches only at the end."""
    pattern = "(?P<whole>)"
    for part in reversed(parts):
        pattern = f"(?:{part}{pattern}|\\Z)"
    return re.compile(pattern, re.IGNORECASE)


_QUOTED_NAME = r"[\"']?(?P<name>[\w.:-]*)"
_OPENING_TAGS = (
    *(
        _growing("<", r"\s*", *word, r"(?:\s[^<>]{0,200})?", ">")
        for word in ("tool_call", "tool_calls", "toolcall", "tools", "function_call", "function_calls", "tool_use")
    ),
    _growing("<", *"function", r"\s*", "=", r"\s*", _QUOTED_NAME, r"[\"']?\s*", ">"),
    *(_growing("<", *word, r"\s+", *"name", "=", _QUOTED_NAME, r"[\"']?\s*", ">") for word in ("function", "invoke")),
    _growing("<", r"\|", *"python_tag", r"\|", ">"),
    *(_growing("<", r"\|", *word, r"(?:_start|_begin)?", r"\|", ">") for word in ("tool_call", "tool_calls")),
    _growing(r"\[", *"TOOL_CALLS", r"\]"),
)


def opening_tag_at(text: str, position: int, *, final: bool) -> OpeningTag | NeedsMore | None:
    """The opening tag of a call."""
    matches = [match for pattern in _OPENING_TAGS if (match := pattern.match(text, position))]
    for match in matches:
        if match.group("whole") is not None:
            attribute = _NAME_ATTRIBUTE.search(match[0])
            name = match.groupdict().get("name") or (attribute and attribute[1])
            return OpeningTag(match.end(), name or None)
    return NeedsMore.TEXT if matches and not final else None


def fence_at(text: str, position: int, *, final: bool) -> Fence | NeedsMore | None:
    """The opening fence of a block."""
    if not final and _PARTIAL_FENCE.match(text, position):
        return NeedsMore.TEXT
    match = _FENCE.match(text, position)
    return Fence(match.end(), normalize(match[1]) in _CALL_LANGUAGES) if match else None


def may_be_call_object_at(text: str, position: int, tools: CallableTools, *, final: bool) -> bool | NeedsMore:
    """Whether the object there may be a call, by its first key."""
    match = _FIRST_KEY.match(text, position)
    if not match:
        return False
    call_keys = {*ENVELOPE_KEYS, *map(normalize, tools.names), *map(normalize, tools.properties(tools.required_tool))}
    key, closing_quote, colon = normalize(match[1]), match[2], match[3]
    if colon:
        return key in call_keys
    if final or match.end() < len(text):
        return False
    is_possible = key in call_keys if closing_quote else any(each.startswith(key) for each in call_keys)
    return NeedsMore.TEXT if is_possible else False


def named_call_at(text: str, position: int, tools: CallableTools, *, final: bool) -> NamedCall | NeedsMore | None:
    """A tool's name with its arguments in brackets after it: `search(…)`, `search {…}`, `functions.search: {…}`."""
    match = _NAMED_CALL.match(text, position)
    if not match:
        return None
    name = text[position : match.end(1)]
    if match[2]:
        bracket = match.end() - 1 if match[2].endswith("(") else match.end()
        return NamedCall(name, bracket) if tools.resolve(name) else None
    if final or not _PARTIAL_NAMED_CALL.match(text, match.end()):
        return None
    local_name = normalize(name.rpartition(".")[2])
    is_partial_name = any(normalize(each).startswith(local_name) for each in tools.names)
    is_partial_namespace = any(each.startswith(normalize(name)) for each in _NAMESPACES)
    return NeedsMore.TEXT if is_partial_name or is_partial_namespace else None


def argument_tags(body: str) -> dict[str, str] | None:
    """The arguments in `<parameter=NAME>value</parameter>` …; None if the body contains anything else."""
    if re.search(r"\w", _ARGUMENT_TAG.sub("", body)):
        return None
    return {name: value.strip("\n") for name, value in _ARGUMENT_TAG.findall(body)}
