"""The forms in which models write calls, other than as JSON: the tags and fences around it, Python's, ReAct's.

Each `*_at` looks at one position of a text that may go on: it gives the form that stands there, None where there is none,
or a `More` where only more text can tell.
"""

import ast
import json
import re
import warnings
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..suggestions import folded
from .envelopes import KEYS, KnownTools, Written


class More(Enum):
    """Only more text can tell."""

    ANY = "any"
    INSIDE = "inside"
    """A value is open: nothing can tell before a bracket, tag, fence or line ends."""


CLOSING = re.compile(
    r"</\s*(?:tool_calls?|toolcall|tool_response|tools|function_calls?|function|invoke|tool_use)\s*>"
    r"|<\|(?:/tool_calls?|tool_calls?_end)\|>|\[/TOOL_CALLS\]",
    re.IGNORECASE,
)
CLOSING_BEGUN = re.compile(r"(?:<[/|\s]*[\w\s]{0,20}\|?|\[/?\w{0,10}|`{1,2})\Z")
# What ends the text of an opened call that is no JSON.
BODY_END = re.compile(
    rf"{CLOSING.pattern}|<\s*(?:tool_calls?|tool_response)(?=[\s>])|<\|[^|<>\s]{{1,40}}\|>|</s>|\n```", re.IGNORECASE
)
_FENCE = re.compile(r"```[^\S\n]*([\w-]*)[^\S\n]*(\n|(?=[{\[<]))\s*")
_FENCE_BEGUN = re.compile(r"`{1,2}\Z|```[^\S\n]*[\w-]*\s*\Z")
_CALL_FENCES = ("toolcall", "toolcalls", "functioncall", "tooluse", "toolcode")
_OBJECT = re.compile(r"\{\s*(?:\{\s*)?[\"'“‘]?([\w.-]*)([\"'”’]?)\s*(:?)")
_ARGUMENT_TAG = re.compile(r"<parameter(?:=|\s+name=)[\"']?([\w.-]+)[\"']?\s*>(.*?)</parameter\s*>", re.DOTALL)
_ACTION = re.compile(
    r"\**Action\**[^\S\n]*\d*[^\S\n]*:\**[^\S\n]*[\"'`]?([\w.:-]+)[\"'`]?[^\S\n]*(?:\n|\Z)", re.IGNORECASE
)
_INPUT = re.compile(r"\s*\**Action[ _]Input\**[^\S\n]*\d*[^\S\n]*:\**[^\S\n]*", re.IGNORECASE)
_INPUT_END = re.compile(r"\n\s*(?:\n|\**(?:Observation|Thought|Action|Final Answer))|\Z", re.IGNORECASE)
_PYTHON_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|"""|\'\'\'|'
    r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|["\'()]',
    re.DOTALL,
)
_PYTHON_NAMES = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Opened:
    """An opening tag, up to `end`; `name` is the tool that it names."""

    end: int
    name: str | None = None


@dataclass(frozen=True)
class Action:
    """ReAct's two lines: the input begins at `end`; None: there is none, and the lines end at `next`."""

    name: str
    end: int | None
    next: int


def _opening(*atoms: str) -> re.Pattern[str]:
    """A pattern that also matches what may become it, at the text's end; the group `whole` tells a whole one."""
    pattern = "(?P<whole>)"
    for atom in reversed(atoms):
        pattern = f"(?:{atom}{pattern}|\\Z)"
    return re.compile(pattern, re.IGNORECASE)


_QUOTED_NAME = r"[\"']?(?P<name>[\w.:-]*)"
_OPENINGS = (
    *(
        _opening("<", r"\s*", *word, r"(?:\s[^<>]{0,200})?", ">")
        for word in ("tool_call", "tool_calls", "toolcall", "tools", "function_call", "function_calls", "tool_use")
    ),
    _opening("<", *"function", r"\s*", "=", r"\s*", _QUOTED_NAME, r"[\"']?\s*", ">"),
    *(_opening("<", *word, r"\s+", *"name", "=", _QUOTED_NAME, r"[\"']?\s*", ">") for word in ("function", "invoke")),
    _opening("<", r"\|", *"python_tag", r"\|", ">"),
    *(_opening("<", r"\|", *word, r"(?:_start|_begin)?", r"\|", ">") for word in ("tool_call", "tool_calls")),
    _opening(r"\[", *"TOOL_CALLS", r"\]"),
)
_NAME_ATTRIBUTE = re.compile(r"\bname\s*=\s*[\"']?([\w.:-]+)")


def opened_at(text: str, position: int, final: bool) -> Opened | More | None:
    """An opening tag."""
    begun = False
    for opening in _OPENINGS:
        if not (found := opening.match(text, position)):
            continue
        if found.group("whole") is not None:
            named = found.groupdict().get("name")
            attribute = _NAME_ATTRIBUTE.search(found[0])
            return Opened(found.end(), named or (attribute and attribute[1]) or None)
        begun = True
    return More.ANY if begun and not final else None


def fence_at(text: str, position: int, final: bool) -> tuple[int, bool] | More | None:
    """An opening fence: where it ends, and whether it says that calls are in it."""
    if not final and _FENCE_BEGUN.match(text, position):
        return More.ANY
    found = _FENCE.match(text, position)
    return (found.end(), folded(found[1]) in _CALL_FENCES) if found else None


def object_at(text: str, position: int, known: KnownTools, final: bool) -> bool | More:
    """Whether an object begins that may be a call, by its first key."""
    found = _OBJECT.match(text, position)
    if not found:
        return False
    keys = {*KEYS, *map(folded, known.names), *(map(folded, known.properties(known.only)) if known.only else ())}
    key = folded(found[1])
    if found[3]:
        return key in keys
    if final or found.end() < len(text):
        return False
    possible = key in keys if found[2] else any(each.startswith(key) for each in keys)
    return More.ANY if possible else False


def named_at(text: str, position: int, known: KnownTools, final: bool) -> tuple[str, int] | More | None:
    """A tool's name with what it is given after it: the name, and where `(` or `{` stands."""
    found = re.compile(r"(?:\w+[.:])?([\w-]+)((?:\.call)?\(|\s*:?\s*(?:\[ARGS\])?\s*(?=\{))?").match(text, position)
    if not found:
        return None
    name = text[position : found.end(1)]
    if found[2]:
        end = found.end()
        return (name, end - 1 if text[end - 1] == "(" else end) if known.named(name) else None
    if final or not re.compile(r"[.:]?\s*:?\s*(?:\[\w{0,4}\]?)?\s*\Z").match(text, found.end()):
        return None
    shorts = [folded(each) for each in known.names]
    prefixes = ("functions", "function", "tools", "tool", "defaultapi")
    last = folded(name.rpartition(".")[2])
    possible = any(short.startswith(last) for short in shorts) or any(
        each.startswith(folded(name)) for each in prefixes
    )
    return More.ANY if possible else None


def python_call(text: str, start: int, bracket: int, known: KnownTools, final: bool) -> tuple[Written, int] | None:
    """`name(…)` at `start`, with its opening bracket's position: the call, and where it ends; None: it has no end yet."""
    end = _closed(text, bracket, final)
    if end is None:
        return None
    raw, name = text[start:end], text[start:bracket].removesuffix(".call")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = ast.parse(f"f{text[bracket:end]}", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return Written(raw, name, error="arguments: they can't be read; give each as name=value"), end
    assert isinstance(parsed, ast.Call)
    return _python_call(raw, name, parsed, known), end


def _closed(text: str, bracket: int, final: bool) -> int | None:
    """The position after the bracket that closes the one at `bracket`; brackets in strings aside."""
    depth = 0
    for token in _PYTHON_TOKEN.finditer(text, bracket):
        if token[0] in ('"', "'", '"""', "'''"):  # has no end: that may still come, or it is an apostrophe
            if not final and (len(token[0]) > 1 or "\n" not in text[token.end() :]):
                return None
        elif token[0] in "()":
            depth += 1 if token[0] == "(" else -1
            if not depth:
                return token.end()
    return None


def _python_call(raw: str, name: str, parsed: ast.Call, known: KnownTools) -> Written:
    tool = known.named(name)
    positions = known.properties(tool) if tool else []
    if len(parsed.args) > max(len(positions), 1) or any(keyword.arg is None for keyword in parsed.keywords):
        return Written(raw, name, error="arguments: give each by its name")
    try:
        given = [_literal(each) for each in parsed.args]
        named = {str(each.arg): _literal(each.value) for each in parsed.keywords}
    except (ValueError, TypeError, RecursionError):
        return Written(
            raw, name, error="arguments: a value is neither a number, nor a text in quotes, nor a list or dict"
        )
    if len(given) == 1 and isinstance(given[0], dict) and not named:
        return Written(raw, name, given[0])
    if len(given) > len(positions):
        return Written(raw, name, error="arguments: give each by its name")
    by_position = dict(zip(positions, given, strict=False))
    if twice := by_position.keys() & named.keys():
        return Written(raw, name, error=f"{min(twice)}: is there twice")
    return Written(raw, name, by_position | named)


def _literal(node: ast.expr) -> Any:
    class JsonNames(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return ast.Constant(_PYTHON_NAMES[node.id]) if node.id in _PYTHON_NAMES else node

    written = json.dumps(ast.literal_eval(JsonNames().visit(node)), ensure_ascii=False, allow_nan=False)
    written.encode()  # half a surrogate pair can't be sent to anyone
    return json.loads(written)


def action_at(text: str, position: int, known: KnownTools, final: bool) -> Action | More | None:
    """ReAct's `Action: NAME`, with `Action Input:` on the next line."""
    if not final and re.compile(
        r"\**(?:A(?:c(?:t(?:i(?:o(?:n(?:\**[ \d]*(?::[^\n{(`]*)?)?)?)?)?)?)?)?\Z", re.IGNORECASE
    ).match(text, position):
        return More.ANY
    found = _ACTION.match(text, position)
    if not found:
        return None
    after = _INPUT.match(text, found.end())
    if after:
        return Action(found[1], after.end(), after.end())
    if not final and re.compile(r"\s*\**(?:A[\w *]*)?\Z", re.IGNORECASE).match(text, found.end()):
        return More.ANY
    return Action(found[1], None, found.end()) if known.named(found[1]) else None


def input_end(text: str, start: int, final: bool) -> int | More:
    """Where an action's input ends that is no JSON."""
    found = _INPUT_END.search(text, start)
    assert found is not None
    return found.start() if final or found[0] else More.ANY


def plain_input(raw: str, name: str, given: str, known: KnownTools) -> Written:
    """An action whose input is no JSON: the one argument of a tool that has one, or must have one."""
    tool, given = known.named(name), given.strip().strip("`\"'")
    if tool is None or given.lower() in ("", "none", "null", "n/a"):
        return Written(raw, name)
    for names in (known.properties(tool), known.required(tool)):
        if len(names) == 1:
            return Written(raw, name, {names[0]: given})
    return Written(raw, name, error="arguments: give them as a JSON object")


def argument_tags(body: str) -> dict[str, str] | None:
    """`<parameter=NAME>value</parameter>` …; None where something else stands there."""
    if re.search(r"\w", _ARGUMENT_TAG.sub("", body)):
        return None
    return {name: given.strip("\n") for name, given in _ARGUMENT_TAG.findall(body)}
