"""What a request says about the object that it wants: an ETag, or a time, and which of its bytes."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from ..errors import AwsError
from .objects import StoredObject

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


def check_conditions(stored: StoredObject, headers: Mapping[str, str], *, prefix: str = "") -> None:
    """Check `If-Match` and its kind, whose names start with a prefix for the source of a copy.

    Raises:
        AwsError: `PreconditionFailed`; `NotModified` if a reader has the object already.
    """
    matches, differs = headers.get(f"{prefix}if-match"), headers.get(f"{prefix}if-none-match")
    unmodified, modified = headers.get(f"{prefix}if-unmodified-since"), headers.get(f"{prefix}if-modified-since")
    if matches is not None:
        fulfilled = _names(matches, stored.etag)
    else:
        fulfilled = not _is_later(stored.modified, unmodified, default=False)
    if not fulfilled:
        raise precondition_failed()
    if differs is not None:
        unchanged = _names(differs, stored.etag)
    else:
        unchanged = not _is_later(stored.modified, modified, default=True)
    if unchanged:
        raise precondition_failed() if prefix else AwsError("NotModified", "Not Modified", 304)


def precondition_failed() -> AwsError:
    """The error for a condition that does not hold."""
    return AwsError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412)


def parse_range(header: str, size: int) -> tuple[int, int]:
    """The first byte of a range, and the one after its last; the whole object for a range that S3 ignores.

    Raises:
        AwsError: `InvalidRange`.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not any(match.groups()):
        return 0, size
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return 0, size
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= size:
        raise AwsError("InvalidRange", "The requested range is not satisfiable", 416)
    return start, end


def _names(header: str, etag: str) -> bool:
    return any(one.strip().strip('"') in ("*", etag) for one in header.split(","))


def _is_later(modified: float, date: str | None, *, default: bool) -> bool:
    """Whether a time, in whole seconds, is after a date; `default` for a date that is absent or not valid."""
    try:
        return default if date is None else int(modified) > parsedate_to_datetime(date).timestamp()
    except ValueError:
        return default
