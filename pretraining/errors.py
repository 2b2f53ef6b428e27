"""What goes wrong in pretraining once work has begun. Bad input is a `ValueError`, raised before."""

from collections.abc import Iterable
from difflib import get_close_matches


class PretrainingError(Exception):
    """A stage could not go on. The message says what happened, where, and what to do next; what was done before is kept."""


class NothingLeft(PretrainingError):
    """The filters left too little to go on with. The same folder takes other settings."""


class Diverged(PretrainingError):
    """The loss, or a gradient, is not a number. The last checkpoint is from before."""


def unknown(field: str, value: object, known: Iterable[str]) -> ValueError:
    """The error for a value that is none of the `known` names of `field`."""
    near = get_close_matches(str(value), names := sorted(known), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"{field}: there is no {value!r}.{hint} Known: {', '.join(names)}")
