"""Read JSON that a model wrote, repaired with json-repair where `json` can't read it and nothing is lost by it.

parse_json("{'a': [1, 2}")                     # {'a': [1, 2]}
extract_json('Here it is: {"a": 1,} Enjoy!')   # {'a': 1}
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from .extent import Extent, find_extent

MAX_NESTING = 100
"""Levels of a value; code that reads it later may be recursive."""
_FENCED = re.compile(r"```\w*\s*(.*?)\s*```", re.DOTALL)
_BRACKET = re.compile(r"[{\[]")


def parse_json(text: str) -> Any:
    """The value of an object or array.

    Raises:
        ValueError: it can't be read, or not without losing or inventing something; the message is one line.
    """
    try:
        value = _parse_strictly(text)
    except (ValueError, RecursionError):
        value = _repair(text)
    if _is_deep(value):
        raise ValueError(f"this is nested more than {MAX_NESTING} levels deep")
    return value


def extract_json(text: str, *, truncated: bool = False) -> Any:
    """The JSON value that an answer is, or the longest object or array in it.

    Args:
        text: the answer: JSON, perhaps in a fence or with words around it.
        truncated: the text ended at the token limit.

    Raises:
        ValueError: no value, an incomplete one, or as in `parse_json`.
    """
    bare = text.strip()
    if fenced := _FENCED.fullmatch(bare):
        bare = fenced[1]
    if bare[:1] not in ("{", "["):
        try:
            value = _parse_strictly(bare)
        except ValueError:
            pass
        else:
            if not (truncated and isinstance(value, int | float)):  # the next token may have continued a number
                return value
    extents = list(_extents(text))
    start, extent = max(extents, key=lambda each: each[1].end - each[0], default=(0, None))
    if truncated and not (extent and extents[-1][1].complete):
        raise ValueError("it was truncated at the token limit; give a shorter one, or raise `max_tokens`")
    if extent is None:
        raise ValueError("it contains no JSON")
    if extent.fault:
        raise ValueError(f"{extent.fault}; write the whole value again")
    return parse_json(text[start : extent.end].rstrip())


def _extents(text: str) -> Iterator[tuple[int, Extent]]:
    """The start and extent of all outermost objects and arrays of a text."""
    position = 0
    while bracket := _BRACKET.search(text, position):
        extent = find_extent(text, bracket.start())
        yield bracket.start(), extent
        position = max(bracket.end(), extent.end)


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
        text, strict=False, object_pairs_hook=_without_duplicates, parse_constant=_refuse, parse_float=_finite
    )
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


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _repair(text: str) -> Any:
    import json_repair

    if re.match(r"\{\s*\{", text):  # doubled braces, copied from a template
        text = text.replace("{{", "{").replace("}}", "}")
    single_quoted = re.sub(
        r'"""(.*?)"""', lambda found: json.dumps(found[1], ensure_ascii=False), text, flags=re.DOTALL
    )
    try:
        value = json_repair.loads(single_quoted, skip_json_loads=True)
        repaired = json.dumps(value, ensure_ascii=False, allow_nan=False)
        repaired.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("this is not valid JSON and can't be repaired") from error
    if not isinstance(value, dict | list) or _loses_text(text, repaired):
        raise ValueError("this is not valid JSON and can't be repaired without losing a part of it")
    return value


def _loses_text(original: str, repaired: str) -> bool:
    """Whether a letter or digit of the original is missing in the repaired JSON, or out of order; comments aside."""
    remaining = iter(_letters(repaired))
    original = re.sub(r"\\(?:u\w{4}|.)", "", _without_comments(original))
    return not all(letter in remaining for letter in _letters(original))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, re.sub(r"\bnone\b", "null", text.lower())))


def _without_comments(text: str) -> str:
    string_or_comment = r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?<![^\s,{\[])(?://[^\n]*|\#\s[^\n]*|/\*.*?\*/)"""
    return re.sub(string_or_comment, lambda found: found[1] or "", text, flags=re.DOTALL)
