"""The text that marks a call: tags, fences, the first key of an object, a tool's name before `(` or `{`, ReAct's labels.

A call is parsed only where `may_begin_call` is true, and a stream shows text only where it is false, so that both agree.
All repetitions are bounded: a stream evaluates the end of its text again with every chunk.
"""

import re
from collections.abc import Iterable

from ..suggestions import normalize
from .callable_tools import NAMESPACE, CallableTools
from .envelopes import ENVELOPE_KEYS

_ATTRIBUTES = r"(?:\s[^<>]{0,200})?"
_NAME = r"[\"']?(?P<{}>[\w.:-]{{1,128}})[\"']?\s{{0,9}}>"
DECLARED_TAG = re.compile(rf"<tool_?calls?{_ATTRIBUTES}>", re.IGNORECASE)
"""The opening tag that prompts describe (`tool_prompt.py`), in the spellings that models give it."""
ANY_TAG = re.compile(
    rf"{DECLARED_TAG.pattern}|<(?:tools|function_calls?|tool_use){_ATTRIBUTES}>"
    rf"|<function\s{{0,9}}=\s{{0,9}}{_NAME.format('function')}"
    rf"|<(?:function|invoke)\s{{1,9}}name\s{{0,9}}=\s{{0,9}}{_NAME.format('invoked')}"
    r"|<\|python_tag\|>|<\|tool_calls?(?:_start|_begin)?\|>|\[TOOL_CALLS\]",
    re.IGNORECASE,
)
CLOSING_TAG = re.compile(
    r"</\s{0,9}(?:tool_?calls?|tool_response|tools|function_calls?|function|invoke|tool_use)\s{0,9}>"
    r"|<\|(?:/tool_calls?|tool_calls?_end)\|>|\[/TOOL_CALLS\]",
    re.IGNORECASE,
)
FENCE = re.compile(
    r"(?P<fence>`{3,16}(?!`)(?![^\n]{0,200}`)|~{3,16}(?!~))[^\S\n]{0,9}[\w+.-]{0,40}[^\S\n]{0,9}(?:\n\s{0,64})?"
)
"""An opening fence, its language, and the blanks before the first character of its content."""
NAMED_CALL = re.compile(
    r"(?P<name>[\w.:-]{1,128}?)(?:(?:\.call)?\(|[^\S\n]{0,9}:?[^\S\n]{0,9}(?:\[ARGS\])?\s{0,9}(?=\{))"
)
"""A tool's name with its arguments after it: `search(…)`, `search {…}`, `functions.search: {…}`."""

_DECLARED_STARTS = ("<tool_call", "<toolcall")
_TAG_STARTS = (
    *_DECLARED_STARTS,
    *(
        "<tools",
        "<tool_use",
        "<tool_response",
        "<function_call",
        "<function",
        "<invoke",
        "<|python_tag|>",
        "<|tool_call",
    ),
)
_CLOSING_TAGS = ("</tool_call>", "</tool_calls>", "</toolcall>")
_OTHER_TAGS = (
    *("<tool_response>", "<tools>", "<tool_use>", "<function_calls>", "<invoke name=", "<|python_tag|>"),
    *("<|tool_call|>", "<|tool_calls_start|>", "<|tool_calls_begin|>", "[tool_calls]", "</tool_response>", "</tools>"),
    *(
        "</tool_use>",
        "</function>",
        "</function_calls>",
        "</invoke>",
        "<|/tool_calls|>",
        "<|tool_calls_end|>",
        "[/tool_calls]",
    ),
)
_NAMED_TAG = re.compile(r"<(?:function|invoke)(?:\s[^<>]{0,128}|=[^<>]{0,128})?\Z", re.IGNORECASE)
_TAG_START = re.compile(r"[<\[][^<\[]{0,140}\Z")
_LONGEST_START = 16
_LONGEST_CUT_TAG = 150
_REASONING_TAGS = ("<think>", "<thinking>", "[think]")
_LABEL = re.compile(r"\*{0,2}([A-Za-z]{0,16})([*\d \t]{0,9})(:?)")
_LABELS = ("action", "observation")
_LIST = re.compile(r"(?:\[\s{0,16}){1,4}")
_FIRST_KEY = re.compile(r"\{\s{0,64}(?:\{\s{0,64})?[\"'“‘]?([\w.-]{0,128})([\"'”’]?)\s{0,9}(:?)")
_WORD = re.compile(r"[\w.:-]{1,128}")
_AFTER_NAME = re.compile(r"[^\S\n]{0,9}:?[^\S\n]{0,9}(?:\[\w{0,4}\]?)?\s{0,9}")
_NAMESPACES = ("functions", "function", "tools", "tool", "defaultapi")


def may_begin_call(text: str, position: int, tools: CallableTools, *, final: bool) -> bool | None:
    """Whether a call in any form, or an invented result, may begin there, at the start of a line; None: more text decides.

    Args:
        text: the answer, or its beginning.
        position: of a character that is not a blank.
        tools: the tools that may be called.
        final: no more text comes.
    """
    character = text[position]
    if character in "`~":
        return _in_fence(text, position, tools, final=final)
    if character == "<":
        return _starts_with(text, position, _TAG_STARTS, final=final)
    if character == "[":
        marker = _starts_with(text, position, ("[tool_calls]",), final=final)
        inner = _LIST.match(text, position)
        assert inner is not None
        if marker is not False or inner.end() == len(text):
            return marker or (None if not final else False)
        position = inner.end()
        return (
            text[position] != "["
            and (text[position] == "{" or text[position].isalpha())
            and may_begin_call(text, position, tools, final=final)
        )
    if character == "{":
        return _first_key_is_of_call(text, position, tools, final=final)
    return _or(_label(text, position, final=final), _named(text, position, tools, final=final))


def begins_declared_call(text: str, position: int, *, final: bool) -> bool | None:
    """Whether the declared opening tag begins there; None: more text decides, or it is a closing tag that is not whole."""
    if _starts_with(text, position, _CLOSING_TAGS, final=final) is None:
        return None
    return _starts_with(text, position, _DECLARED_STARTS, final=final)


def begins_reasoning(text: str, position: int) -> bool | None:
    """Whether a reasoning block begins there; None: more text decides."""
    return _starts_with(text, position, _REASONING_TAGS, final=False)


def length_of_partial_tag(text: str, *, truncated: bool) -> int:
    """The length of the partial tag at the end of the text; one without `_` counts only at the token limit."""
    start = _TAG_START.search(text, max(0, len(text) - _LONGEST_CUT_TAG))
    rest = start[0].lower() if start else ""
    tags = ("<tool_call>", *_CLOSING_TAGS, *_OTHER_TAGS)
    is_part = bool(_NAMED_TAG.match(rest)) or any(tag.startswith(rest) and tag != rest for tag in tags)
    return len(rest) if rest and is_part and (truncated or "_" in rest) else 0


def _or(first: bool | None, second: bool | None) -> bool | None:
    return True if first or second else None if first is None or second is None else False


def _starts_with(text: str, position: int, starts: Iterable[str], *, final: bool) -> bool | None:
    rest = text[position : position + _LONGEST_START].lower()
    if any(rest.startswith(start) for start in starts):
        return True
    return None if not final and any(start.startswith(rest) for start in starts) else False


def _in_fence(text: str, position: int, tools: CallableTools, *, final: bool) -> bool | None:
    if not final and position + 3 > len(text):
        return None if set(text[position:]) == {text[position]} else False
    fence = FENCE.match(text, position)
    if fence is None:
        return False
    if fence.end() == len(text):
        return None if not final else False
    character = text[fence.end()]
    return not character.isspace() and character not in "`~" and may_begin_call(text, fence.end(), tools, final=final)


def _first_key_is_of_call(text: str, position: int, tools: CallableTools, *, final: bool) -> bool | None:
    match = _FIRST_KEY.match(text, position)
    assert match is not None
    call_keys = {*ENVELOPE_KEYS, *map(normalize, tools.names), *map(normalize, tools.properties(tools.required_tool))}
    key, closing_quote, colon = normalize(match[1]), match[2], match[3]
    if colon:
        return key in call_keys
    if final or match.end() < len(text):
        return False
    is_possible = key in call_keys if closing_quote else any(each.startswith(key) for each in call_keys)
    return None if is_possible else False


def _label(text: str, position: int, *, final: bool) -> bool | None:
    """`Action:` or `Observation:`"""
    match = _LABEL.match(text, position)
    assert match is not None
    word = match[1].lower()
    if match[3]:
        return word in _LABELS
    if final or match.end() < len(text):
        return False
    return None if (word in _LABELS if match[2] else any(each.startswith(word) for each in _LABELS)) else False


def _named(text: str, position: int, tools: CallableTools, *, final: bool) -> bool | None:
    if match := NAMED_CALL.match(text, position):
        return tools.resolve(match["name"]) is not None
    word = _WORD.match(text, position)
    if final or word is None:
        return False
    if word.end() == len(text):
        names = {normalize(word[0]), normalize(re.split("[.:]", word[0])[-1])}
        spellings = [*map(normalize, tools.names), *_NAMESPACES]
        is_possible = NAMESPACE.match(word[0]) or any(each.startswith(name) for each in spellings for name in names)
        return None if is_possible else False
    after = _AFTER_NAME.match(text, word.end())
    assert after is not None
    return None if after.end() == len(text) and tools.resolve(word[0].rstrip(":")) else False
