"""Names: one error for those that are not known, with the nearest that is, and how other spellings are compared."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

MOST_SHOWN = 50  # names of what is known, in one error


def unknown_name(field: str, value: object, known: Iterable[str]) -> ValueError:
    """The error for `value`, which is none of the `known` names of `field`."""
    names = sorted(known)
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    shown = f"{', '.join(names[:MOST_SHOWN])}{more}"
    return ValueError(f"{field}: {value!r} is unknown.{did_you_mean(str(value), names)} Known: {shown}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that is nearest, with a blank before it; nothing where none is near."""
    near = get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_known(field: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise `unknown` for the first of the names that is none of the `known`."""
    known = list(known)
    for name in names:
        if name not in known:
            raise unknown_name(field, name, known)


def folded(name: str) -> str:
    """A name as it is compared where letter case, hyphens and underscores may differ."""
    return re.sub(r"[\W_]", "", name).lower()
