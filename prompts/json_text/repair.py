"""Read JSON that a model wrote, mended where nothing is changed by it; find the values in an answer.

parse_json("{'a': [1, 2}")                           # {'a': [1, 2]}
extract_json('Not {"a": 1}: {"a": 2,} Enjoy!')       # {'a': 2}
"""

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from ..reasoning_tags import REASONING_END, REASONING_START
from .extent import MAX_NESTING, Extent, find_extent
from .scalars import check_backslashes, read_number

_FENCE = re.compile(r"```\w*")
# A bracket that may begin JSON, or a tag of reasoning.
_START = re.compile(
    rf"(?P<opening>{REASONING_START.pattern})|(?P<closing>{REASONING_END.pattern})"
    r"|\{(?=\s*[\"'“‘{}]|\s*[\w$-]{1,200}\s*:)|\[(?=\s*[\"'“‘{\[\d\-\]tfnTFN])",
    re.IGNORECASE,
)
_MAX_RESTARTS = 16
"""How often reading resumes inside a value that can't be read, at the end of reasoning; each costs a scan of the rest."""


def parse_json(text: str) -> Any:
    """The value of an object or array.

    Raises:
        ValueError: it can't be read, or not without losing or inventing something; the message is one line.
    """
    try:
        value = _parse_strictly(text)
    except (ValueError, RecursionError):
        value = _mended(text.strip())
    if _is_deep(value):
        raise ValueError(f"this is nested more than {MAX_NESTING} levels deep")
    return value


def extract_json(text: str, read: Callable[[Any], Any] = lambda value: value, *, truncated: bool = False) -> Any:
    """The last JSON value in an answer that fits, outside reasoning.

    Args:
        text: the answer: JSON, perhaps in a fence, after reasoning (`<think>…</think>`) or with words around it.
        read: returns the value in its final form; raises ValueError if it does not fit.
        truncated: the text ended at the token limit.

    Raises:
        ValueError: no value fits, or the last is incomplete; the reason is that of the last value.
    """
    values, rest = _values(text)
    if truncated and not (values and values[-1].complete):
        _refuse_truncated(rest, values)
    if not values:
        return read(_scalar(rest))
    reason: ValueError | None = None
    for extent in reversed(values):
        try:
            return read(_whole_value(extent))
        except ValueError as error:
            reason = reason or error
            if extent.fault:
                break  # the model began to write another value, so none before it is its answer
    assert reason is not None
    raise reason


def _refuse_truncated(rest: str, values: list[Extent]) -> None:
    is_text = not values and rest[:1] == '"' and rest[-1:] == '"' and len(rest) > 1
    is_word = not values and rest in ("true", "false", "null")
    if not (is_text or is_word):  # the next token may have continued a number
        raise ValueError("it was truncated at the token limit; give a shorter one, or raise `max_tokens`")


def _scalar(text: str) -> Any:
    try:
        return _parse_strictly(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("it contains no JSON") from error


def _values(text: str) -> tuple[list[Extent], str]:
    """The outermost objects and arrays that may be JSON, outside reasoning; and the text after it, without a fence."""
    values: list[Extent] = []
    position = answer_start = restarts = 0
    while start := _START.search(text, position):
        position = start.end()
        if start["opening"]:
            closing = REASONING_END.search(text, position)
            position = answer_start = closing.end() if closing else len(text)
        elif start["closing"]:
            values, answer_start = [], position
        else:
            extent = find_extent(text, start.start())
            closing = REASONING_END.search(text, position, extent.end) if extent.fault or extent.error else None
            if closing and restarts < _MAX_RESTARTS:
                restarts, position = restarts + 1, closing.start()
                continue
            values.append(extent)
            position = max(position, extent.end)
    rest = text[answer_start:].strip()
    fence = _FENCE.match(rest)
    is_fenced = fence and len(rest) >= fence.end() + 3 and rest.endswith("```")
    return values, rest[fence.end() : -3].strip() if fence and is_fenced else rest


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_NESTING):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [item for items in inner for item in items]
        if not level:
            return False
    return True


def _parse_strictly(text: str) -> Any:
    value = json.loads(
        text, strict=False, object_pairs_hook=_without_duplicates, parse_constant=_refuse, parse_float=read_number
    )
    if ":\\" in text:
        check_backslashes(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # fails on half a surrogate pair, which can't be sent anywhere
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name is given twice")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _mended(text: str) -> Any:
    if text[:1] not in ("{", "["):
        raise ValueError("this is not an object or array of JSON")
    extent = find_extent(text, 0)
    value = _whole_value(extent)
    if extent.end < len(text):
        raise ValueError(f"this is not valid JSON: {text[extent.end :]!r:.60} follows it")
    return value


def _whole_value(extent: Extent) -> Any:
    if extent.error:
        raise ValueError(f"this is not valid JSON: {extent.error}")
    if extent.fault:
        raise ValueError(f"{extent.fault}; write the whole value again")
    return extent.value
