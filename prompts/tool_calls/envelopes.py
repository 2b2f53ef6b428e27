"""Which calls a JSON value means, in any of the envelopes that models were taught: Hermes', OpenAI's, Llama's, ReAct's …

written({"function": {"name": "search", "arguments": "{}"}}, raw, known)   # [Written(name="search", arguments="{}", …)]
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..json_text.coercion import JsonSchema
from ..output_format import ToolCallFormat, argument_schema
from ..suggestions import did_you_mean, folded

# Keys as `folded` gives them.
NAMES = ("name", "toolname", "functionname", "recipientname", "tool", "function", "action")
ARGUMENTS = (
    *("arguments", "parameters", "args", "kwargs", "params", "input", "toolinput", "actioninput"),
    *("toolarguments", "toolargs", "functionarguments"),
)
LISTS = ("toolcalls", "functioncalls", "tooluses")
INNER = ("functioncall", "toolcall", "tooluse", "function")
ASIDE = ("id", "type", "index", "callid", "toolcallid", "role")
SAID = ("thought", "thoughts", "reasoning", "explanation", "content")
KEYS = frozenset((*NAMES, *ARGUMENTS, *LISTS, *INNER, *ASIDE, *SAID))
_PREFIX = "(functions|function|tools|tool|default_api)[.:]"


@dataclass(frozen=True)
class Written:
    """A call as a model wrote it.

    Attributes:
        raw: its text.
        name: what it calls, where that is said.
        arguments: what it gives; None for nothing.
        error: why it can't be trusted.
        sure: whether it can be nothing but a call.
        said: text for people that stood inside it.
    """

    raw: str
    name: str | None = None
    arguments: Any = None
    error: str = ""
    sure: bool = True
    said: str = ""


class KnownTools:
    """The tools that may be called, by their names."""

    def __init__(self, use: ToolCallFormat) -> None:
        self._tools = {tool["name"]: tool for tool in use.callable}
        self._use = use
        self._schemas: dict[str, JsonSchema] = {}

    @property
    def names(self) -> list[str]:
        """Their names, in their order."""
        return list(self._tools)

    @cached_property
    def only(self) -> str | None:
        """The one that has to be called, where there is just one."""
        return self.names[0] if self._use.must_call and len(self._tools) == 1 else None

    def named(self, name: str) -> str | None:
        """The one name that is meant: as it is, or but for a prefix, letter case, hyphens and underscores."""
        if name in self._tools:
            return name
        short = folded(name.rpartition(".")[2].rpartition(":")[2] if _is_prefixed(name) else name)
        near = [each for each in self._tools if folded(each) == short]
        return near[0] if len(near) == 1 else None

    def occur_in(self, text: str) -> bool:
        """Whether one of the names may stand in a text."""
        return self._spelled.search(text) is not None

    @cached_property
    def _spelled(self) -> re.Pattern[str]:
        letters = (map(re.escape, folded(name)) for name in self._tools)
        return re.compile("|".join(r"[\W_]*".join(each) for each in letters), re.IGNORECASE)

    def properties(self, name: str) -> list[str]:
        """The names of a tool's arguments."""
        return list(argument_schema(self._tools[name])["properties"])

    def required(self, name: str) -> list[str]:
        """The names of the arguments that a tool must have."""
        return list(argument_schema(self._tools[name]).get("required", ()))

    def coerce(self, name: str, arguments: Any) -> dict[str, Any]:
        """As `JsonSchema.coerce` of that tool's; nothing counts as no arguments."""
        if name not in self._schemas:
            self._schemas[name] = JsonSchema(argument_schema(self._tools[name]), "arguments")
        fitted: dict[str, Any] = self._schemas[name].coerce({} if arguments in (None, "") else arguments)
        return fitted

    def unknown(self, name: str) -> str:
        """The error for a name that is none of theirs."""
        barred = " may not be called now" if name in self._use.names else " is unknown"
        return f"name: {name!r}{barred}.{did_you_mean(name, self.names)} Known: {', '.join(self.names)}"


def written(value: Any, raw: str, known: KnownTools) -> list[Written]:
    """The calls in a JSON value; what is none, or not surely one, is not `sure`."""
    if isinstance(value, list) and value:
        return [call for item in value for call in written(item, raw if len(value) == 1 else _text(item), known)]
    if not isinstance(value, dict) or not value:
        return [Written(raw, error="name: there is none", sure=False)]
    keys = {folded(key): key for key in value}
    for key in LISTS:
        if isinstance(held := value.get(keys.get(key, "")), list) and held:
            calls = written(value[keys[key]], raw, known)
            said = "".join(str(value[keys[each]]) for each in SAID if isinstance(value.get(keys.get(each, "")), str))
            return [replace(call, sure=True, said=said if not i else "") for i, call in enumerate(calls)]
    return _by_tool_name(value, raw, known) or [_one(value, raw, known)]


def _by_tool_name(value: dict[str, Any], raw: str, known: KnownTools) -> list[Written]:
    """`{"NAME": {…}}`, for one tool or several."""
    if all(known.named(key) and isinstance(item, dict) for key, item in value.items()):
        single = len(value) == 1
        return [Written(raw if single else _text({key: item}), key, item) for key, item in value.items()]
    return []


def _one(value: dict[str, Any], raw: str, known: KnownTools) -> Written:
    enveloped = False
    keys = {folded(key): key for key in value}
    for inner in INNER:
        if isinstance(held := value.get(keys.get(inner, "")), dict):
            rest = {key: item for key, item in value.items() if key != keys[inner]}
            by_name = _by_tool_name(held, raw, known)
            value = rest | ({"name": by_name[0].name, "arguments": by_name[0].arguments} if len(by_name) == 1 else held)
            keys, enveloped = {folded(key): key for key in value}, True
    name_key = next((keys[key] for key in NAMES if isinstance(value.get(keys.get(key, "")), str)), None)
    if known.only and not (name_key and known.named(value[name_key])) and _are_arguments(value, known):
        return Written(raw, known.only, value)
    arguments_key = next((keys[key] for key in ARGUMENTS if key in keys and keys[key] != name_key), None)
    if name_key is None:
        return Written(raw, error="name: there is none", sure=False)
    found = known.named(value[name_key])
    own = known.properties(found) if found else []
    if arguments_key in own and not _is_object(value[arguments_key]):
        arguments_key = None
    call = Written(raw, value[name_key], value[arguments_key] if arguments_key else None)
    aside = [key for key in value if folded(key) in ASIDE and (arguments_key or key not in own)]
    left = {key: item for key, item in value.items() if key not in (name_key, arguments_key, *aside)}
    if _is_declaration(value, keys):
        return replace(call, error="this is the function's description; give its name and arguments", sure=False)
    if "content" in keys and not arguments_key and "content" not in own:
        return replace(call, error="this is a result; give name and arguments", sure=False)
    sure = bool(found) or enveloped or (not left and _is_object(call.arguments))
    return _with_the_rest(replace(call, sure=sure), left, found, known)


def _with_the_rest(call: Written, left: dict[str, Any], found: str | None, known: KnownTools) -> Written:
    """What stood beside name and arguments: a thought, or arguments that are misplaced."""
    own = known.properties(found) if found else []
    said = [key for key in left if folded(key) in SAID and key not in own and isinstance(left[key], str)]
    strange = [key for key in left if key not in said and key not in own and left[key] is not None]
    placed = {key: item for key, item in left.items() if key in own}
    arguments = call.arguments or {}
    if call.arguments is not None and not isinstance(arguments, dict) and placed:
        strange += list(placed)
    if strange and found:
        return replace(
            call, error=f"{strange[0]}: stands beside the arguments; what belongs to the call stands in them"
        )
    if found and placed:
        twice = [key for key in placed if key in arguments]
        if twice:
            return replace(call, error=f"{twice[0]}: is there twice")
        call = replace(call, arguments={**arguments, **placed})
    return replace(call, said="\n".join(left[key] for key in said))


def _are_arguments(value: dict[str, Any], known: KnownTools) -> bool:
    return known.only is not None and set(value) <= set(known.properties(known.only))


def _is_declaration(value: Mapping[str, Any], keys: Mapping[str, str]) -> bool:
    schema = value.get(keys.get("parameters", ""))
    return isinstance(schema, dict) and isinstance(schema.get("properties"), dict) and schema.get("type") == "object"


def _is_object(arguments: Any) -> bool:
    return isinstance(arguments, dict) or (isinstance(arguments, str) and arguments.lstrip().startswith("{"))


def _is_prefixed(name: str) -> bool:
    return re.match(_PREFIX, name) is not None


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
