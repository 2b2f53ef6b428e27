"""Errors for unknown names, which suggest the nearest known one; and how names are compared when spelling may differ.

unknown_name("family", "lama2", ["llama2", "falcon"])
# ValueError("family: 'lama2' is unknown. Did you mean 'llama2'? Known: falcon, llama2")
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches

MAX_NAMES_SHOWN = 50
"""Known names that one error lists."""
FEW_NAMES = 12
"""Known names that one error lists beside a suggestion; a longer list would hide it."""


def unknown_name(field: str, value: object, known: Iterable[str]) -> ValueError:
    """The error for a `value` of `field` that is not among the `known` names."""
    names = sorted(known)
    hint = did_you_mean(str(value), names)
    if hint and len(names) > FEW_NAMES:
        return ValueError(f"{field}: {value!r} is unknown.{hint}")
    more = f" and {len(names) - MAX_NAMES_SHOWN} more" if len(names) > MAX_NAMES_SHOWN else ""
    listed = f"{', '.join(names[:MAX_NAMES_SHOWN])}{more}"
    return ValueError(f"{field}: {value!r} is unknown.{hint} Known: {listed}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the nearest known name, starting with a blank; empty if none is near."""
    nearest = get_close_matches(name, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def check_known(field: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise `unknown_name` for the first of the names that is not among the `known` ones."""
    known = list(known)
    for name in names:
        if name not in known:
            raise unknown_name(field, name, known)


def normalize(name: str) -> str:
    """A name without letter case, hyphens, underscores and blanks, to compare spellings."""
    return re.sub(r"[\W_]", "", name).lower()
