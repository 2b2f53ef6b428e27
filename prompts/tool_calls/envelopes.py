"""Find the calls in a JSON value, in any envelope that models were trained on: Hermes', OpenAI's, Llama's, ReAct's …

calls_in_json({"function": {"name": "search", "arguments": "{}"}}, raw, tools)
# [RawCall(raw, name="search", arguments="{}")]
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..suggestions import normalize
from .callable_tools import CallableTools

# Keys of envelopes, as `normalize` returns them.
NAME_KEYS = ("name", "toolname", "functionname", "recipientname", "tool", "function", "action")
ARGUMENT_KEYS = (
    *("arguments", "parameters", "args", "kwargs", "params", "input", "toolinput", "actioninput"),
    *("toolarguments", "toolargs", "functionarguments"),
)
CALL_LIST_KEYS = ("toolcalls", "functioncalls", "tooluses")
WRAPPER_KEYS = ("functioncall", "toolcall", "tooluse", "function")
METADATA_KEYS = ("id", "type", "index", "callid", "toolcallid", "role")
COMMENT_KEYS = ("thought", "thoughts", "reasoning", "explanation", "content")
ENVELOPE_KEYS = frozenset((*NAME_KEYS, *ARGUMENT_KEYS, *CALL_LIST_KEYS, *WRAPPER_KEYS, *METADATA_KEYS, *COMMENT_KEYS))

NO_NAME = "name: is missing"


@dataclass(frozen=True)
class RawCall:
    """A call as a model wrote it, not yet validated.

    Attributes:
        raw: its text.
        name: the name of the tool, if given.
        arguments: a JSON value; None if the call has no arguments.
        error: why the call can't be made, if already known.
        certain: whether the text is meant as a call; if not, it may be text that looks similar.
        comment: text for the reader of the answer that was inside the call.
    """

    raw: str
    name: str | None = None
    arguments: Any = None
    error: str = ""
    certain: bool = True
    comment: str = ""


def calls_in_json(value: Any, raw: str, tools: CallableTools) -> list[RawCall]:
    """The calls in a JSON value, whose text is `raw`; at least one, not `certain` if the value may not be a call."""
    if isinstance(value, list) and value:
        texts = [raw] if len(value) == 1 else [_json(item) for item in value]
        return [call for item, text in zip(value, texts, strict=True) for call in calls_in_json(item, text, tools)]
    if not isinstance(value, dict) or not value:
        return [RawCall(raw, error=NO_NAME, certain=False)]
    return (
        _listed_calls(value, raw, tools) or _calls_keyed_by_name(value, raw, tools) or [_single_call(value, raw, tools)]
    )


def _listed_calls(value: dict[str, Any], raw: str, tools: CallableTools) -> list[RawCall]:
    """`{"tool_calls": […]}`; the first call gets the comment."""
    for key in _present(CALL_LIST_KEYS, value, list):
        if value[key]:
            comment = "".join(value[each] for each in _present(COMMENT_KEYS, value, str))
            first, *others = calls_in_json(value[key], raw, tools)
            return [
                replace(first, certain=True, comment=comment),
                *(replace(call, certain=True, comment="") for call in others),
            ]
    return []


def _calls_keyed_by_name(value: dict[str, Any], raw: str, tools: CallableTools) -> list[RawCall]:
    """`{"NAME": {…}}`, for one tool or several."""
    if not all(tools.resolve(key) and isinstance(item, dict) for key, item in value.items()):
        return []
    return [RawCall(raw if len(value) == 1 else _json({key: item}), key, item) for key, item in value.items()]


def _single_call(value: dict[str, Any], raw: str, tools: CallableTools) -> RawCall:
    value, wrapped = _unwrap(value, raw, tools)
    name_key = next(_present(NAME_KEYS, value, str), None)
    tool = tools.resolve(value[name_key]) if name_key else None
    if tools.required_tool and not tool and set(value) <= set(tools.properties(tools.required_tool)):
        return RawCall(raw, tools.required_tool, value)  # the arguments alone
    if name_key is None:
        return RawCall(raw, error=NO_NAME, certain=False)
    properties = tools.properties(tool)
    arguments_key = next((key for key in _present(ARGUMENT_KEYS, value) if key != name_key), None)
    if arguments_key in properties and not _may_be_object(value[arguments_key]):
        arguments_key = None  # a property of the tool with the name of an envelope's key
    call = RawCall(raw, value[name_key], value[arguments_key] if arguments_key else None)
    if any(map(_is_declaration, (value[key] for key in _present(("parameters",), value)))):
        error = "this is the function's description; give its name and arguments"
        return replace(call, error=error, certain=False)
    if any(_present(("content",), value)) and not arguments_key and "content" not in properties:
        return replace(call, error="this is a result; give name and arguments", certain=False)
    metadata = [key for key in value if normalize(key) in METADATA_KEYS and (arguments_key or key not in properties)]
    rest = {key: item for key, item in value.items() if key not in (name_key, arguments_key, *metadata)}
    certain = bool(tool) or wrapped or (not rest and _may_be_object(call.arguments))
    return _with_rest(replace(call, certain=certain), rest, properties, known_tool=bool(tool))


def _unwrap(value: dict[str, Any], raw: str, tools: CallableTools) -> tuple[dict[str, Any], bool]:
    """`{"function": {…}}` without its wrapper, and whether there was one."""
    wrapped = False
    for wrapper in WRAPPER_KEYS:
        for key in _present((wrapper,), value, dict):
            inner = value[key]
            keyed_by_name = _calls_keyed_by_name(inner, raw, tools)
            if len(keyed_by_name) == 1:
                inner = {"name": keyed_by_name[0].name, "arguments": keyed_by_name[0].arguments}
            value = {other: item for other, item in value.items() if other != key} | inner
            wrapped = True
    return value, wrapped


def _with_rest(call: RawCall, rest: dict[str, Any], properties: list[str], *, known_tool: bool) -> RawCall:
    """The call with what was beside name and arguments: comments, or arguments in the wrong place."""
    comments = [
        key for key in rest if normalize(key) in COMMENT_KEYS and key not in properties and isinstance(rest[key], str)
    ]
    misplaced = {key: item for key, item in rest.items() if key in properties}
    expected = {*comments, *misplaced}
    unexpected = [key for key in rest if key not in expected and rest[key] is not None]
    arguments = call.arguments or {}
    if misplaced and not isinstance(arguments, dict):
        unexpected += misplaced
    if unexpected and known_tool:
        error = f"{unexpected[0]}: is beside the arguments; put all that belongs to the call into them"
        return replace(call, error=error)
    if misplaced:
        if twice := [key for key in misplaced if key in arguments]:
            return replace(call, error=f"{twice[0]}: is given twice")
        call = replace(call, arguments={**arguments, **misplaced})
    return replace(call, comment="\n".join(rest[key] for key in comments))


def _present(normalized: Iterable[str], value: Mapping[str, Any], kind: type = object) -> Iterator[str]:
    """The object's own keys for normalized ones, in their order, where the item is of that kind."""
    keys = {normalize(key): key for key in value}
    return (keys[each] for each in normalized if each in keys and isinstance(value[keys[each]], kind))


def _is_declaration(schema: Any) -> bool:
    return isinstance(schema, dict) and isinstance(schema.get("properties"), dict) and schema.get("type") == "object"


def _may_be_object(arguments: Any) -> bool:
    return isinstance(arguments, dict) or (isinstance(arguments, str) and arguments.lstrip().startswith("{"))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
