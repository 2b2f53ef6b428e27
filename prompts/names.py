"""Names: one error for those that are not known, with the nearest that is, and how other spellings are compared."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

MOST_SHOWN = 50  # names of what is known, in one error


def unknown(field: str, value: object, known: Iterable[str]) -> ValueError:
    """The error for `value`, which is none of the `known` names of `field`."""
    names = sorted(known)
    near = get_close_matches(str(value), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ValueError(f"{field}: {value!r} is unknown.{hint} Known: {', '.join(names[:MOST_SHOWN])}{more}")


def check_known(field: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise `unknown` for the first of the names that is none of the `known`."""
    known = list(known)
    for name in names:
        if name not in known:
            raise unknown(field, name, known)


def folded(name: str) -> str:
    """A name as it is compared where letter case, hyphens and underscores may differ."""
    return re.sub(r"[\W_]", "", name).lower()
