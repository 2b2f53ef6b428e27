"""What JSON that a model wrote holds, mended with json-repair where `json` does not read it and nothing is lost by it.

value("{'a': [1, 2}")                      # {'a': [1, 2]}
extract_json('Here it is: {"a": 1,} Enjoy!')   # {'a': 1}
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from .extent import Extent, extent

MOST_NESTED = 100
"""Levels of a value; what reads it afterwards may recurse."""
_FENCED = re.compile(r"```\w*\s*(.*?)\s*```", re.DOTALL)
_BRACKET = re.compile(r"[{\[]")


def value(raw: str) -> Any:
    """What an object or array holds.

    Raises:
        ValueError: it can't be read, or not without losing or inventing something; the message is one line.
    """
    try:
        read = _plain(raw)
    except (ValueError, RecursionError):
        read = _mended(raw)
    if _is_deep(read):
        raise ValueError(f"this is nested more than {MOST_NESTED} levels deep")
    return read


def extract_json(text: str, *, truncated: bool = False) -> Any:
    """The JSON value that an answer is, or the longest that it holds.

    Args:
        text: what a model wrote: JSON, perhaps in a fence or with words around.
        truncated: the text ended at the token limit.

    Raises:
        ValueError: there is none, it is not whole, or as in `value`.
    """
    bare = text.strip()
    if fenced := _FENCED.fullmatch(bare):
        bare = fenced[1]
    if bare[:1] not in ("{", "["):
        try:
            read = _plain(bare)
        except ValueError:
            pass
        else:
            if not (truncated and isinstance(read, int | float)):  # more digits may have been due
                return read
    extents = list(_extents(text))
    start, reach = max(extents, key=lambda each: each[1].end - each[0], default=(0, None))
    if truncated and not (reach and extents[-1][1].complete):
        raise ValueError("it was cut at the token limit; a shorter one is needed, or more `max_tokens`")
    if reach is None:
        raise ValueError("there is no JSON in it")
    if reach.fault:
        raise ValueError(f"{reach.fault}; write the whole value again")
    return value(text[start : reach.end].rstrip())


def _extents(text: str) -> Iterator[tuple[int, Extent]]:
    """Objects and arrays that stand in a text, none inside another: where each begins, and how far it goes."""
    place = 0
    while found := _BRACKET.search(text, place):
        reach = extent(text, found.start())
        yield found.start(), reach
        place = max(found.end(), reach.end)


def _is_deep(read: Any) -> bool:
    level = [read]
    for _ in range(MOST_NESTED):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [item for items in inner for item in items]
        if not level:
            return False
    return True


def _plain(raw: str) -> Any:
    read = json.loads(raw, strict=False, object_pairs_hook=_once_each, parse_constant=_no_constant, parse_float=_finite)
    if "\\u" in raw:
        json.dumps(read, ensure_ascii=False).encode()  # half a surrogate pair can't be sent to anyone
    return read


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a name is there twice")
    return read


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_constant(text)


def _mended(raw: str) -> Any:
    import json_repair

    if re.match(r"\{\s*\{", raw):  # a template's braces, doubled
        raw = raw.replace("{{", "{").replace("}}", "}")
    unquoted = re.sub(r'"""(.*?)"""', lambda found: json.dumps(found[1], ensure_ascii=False), raw, flags=re.DOTALL)
    try:
        read = json_repair.loads(unquoted, skip_json_loads=True)
        shown = json.dumps(read, ensure_ascii=False, allow_nan=False)
        shown.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("this is no JSON that could be mended") from error
    if not isinstance(read, dict | list) or _lost(raw, shown):
        raise ValueError("this is no JSON that could be mended without losing a part of it")
    return read


def _lost(raw: str, shown: str) -> bool:
    """Whether a letter or digit of `raw` is not in `shown`, in its order; comments and escapes aside."""
    kept = iter(_letters(shown))
    return not all(letter in kept for letter in _letters(re.sub(r"\\(?:u\w{4}|.)", "", _without_comments(raw))))


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, re.sub(r"\bnone\b", "null", text.lower())))


def _without_comments(raw: str) -> str:
    string_or_comment = r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?<![^\s,{\[])(?://[^\n]*|\#\s[^\n]*|/\*.*?\*/)"""
    return re.sub(string_or_comment, lambda found: found[1] or "", raw, flags=re.DOTALL)
