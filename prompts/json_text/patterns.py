r"""The regular expressions of JSON schemas (ECMA 262), matched by google-re2: in linear time, whatever pattern and text.

    matches(r"^\p{Lu}\d{2}$", "É42")   # True
    matches(r"(?=x)", "x")             # None: re2 has no look-around

What re2 can't express (look-around, references to groups, more than 1,000 repetitions) is not checked here: pydantic itself
writes such a pattern for a `Decimal`, and to refuse it would make every tool with one unusable. The model is shown the
pattern, and whoever validates the value next (the pydantic class, the tool's server) applies it.
"""

import logging
import re
from functools import lru_cache
from typing import Any

logger = logging.getLogger(__name__)

# Spelt otherwise in re2; other escapes are left as they are.
_ECMA = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|.)|\[\^\]|\(\?<(?![=!])", re.DOTALL)
_SPELLINGS = {"[^]": r"[\x00-\x{10FFFF}]", "(?<": "(?P<"}


def matches(pattern: str, text: str) -> bool | None:
    """Whether the pattern is found in the text; None if it can't be checked."""
    compiled = _compiled(pattern)
    return None if compiled is None else compiled.search(text.encode("utf-8", "replace")) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(_ECMA.sub(_in_re2, pattern).encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        logger.info("the pattern %r of a schema is not checked: %s", pattern, error)
        return None


def _in_re2(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    return rf"\x{{{code}}}" if code else _SPELLINGS.get(found[0], found[0])
