"""ListObjectsV2: the keys under a prefix; those that share a delimiter after it are one common prefix. Page by page."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..errors import AwsError
from .objects import Objects, StoredObject

MAX_PAGE_SIZE = 1000


@dataclass(frozen=True)
class Page:
    """A page, in order.

    Args:
        entries: objects, and common prefixes as text.
        size: the largest number of entries.
        next_token: the continuation token of the next page, if there is one.
    """

    entries: list[StoredObject | str]
    size: int
    next_token: str | None


def page_of_objects(objects: Objects, bucket: str, query: Mapping[str, str]) -> Page:
    """The page for `prefix`, `delimiter`, `max-keys`, `start-after` and `continuation-token` of a query.

    Raises:
        AwsError: `NoSuchBucket`, or `InvalidArgument`.
    """
    max_keys = query.get("max-keys", str(MAX_PAGE_SIZE))
    if not max_keys.isdecimal():
        raise AwsError("InvalidArgument", f"max-keys: {max_keys!r} is not a whole number")
    size = min(int(max_keys), MAX_PAGE_SIZE)
    after = _key_in(query["continuation-token"]) if "continuation-token" in query else query.get("start-after", "")
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    entries: list[StoredObject | str] = []
    for entry in _entries(objects.under(bucket, prefix), prefix, delimiter):
        if _key(entry).encode() <= after.encode():
            continue
        if len(entries) == size:
            return Page(entries, size, _token(_key(entries[-1])) if entries else None)
        entries.append(entry)
    return Page(entries, size, None)


def _entries(objects: Iterator[StoredObject], prefix: str, delimiter: str) -> Iterator[StoredObject | str]:
    """The objects, with one common prefix in the place of all that share it."""
    last = None
    for stored in objects:
        group, found, _ = stored.key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not found:
            yield stored
        elif (common_prefix := prefix + group + found) != last:
            last = common_prefix
            yield common_prefix


def _key(entry: StoredObject | str) -> str:
    return entry if isinstance(entry, str) else entry.key


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _key_in(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise AwsError("InvalidArgument", "The continuation token provided is incorrect") from error
