"""ListObjectsV2: the keys under a prefix, those with a delimiter after it as one common prefix each, a page at a time."""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..refusals import Refused
from .objects import Objects, StoredObject

MOST_ON_A_PAGE = 1000


@dataclass(frozen=True)
class Page:
    """What a page holds, in order: objects, and common prefixes as text."""

    found: list[StoredObject | str]
    most: int
    next_token: str | None


def page_of_objects(objects: Objects, bucket: str, asked: Mapping[str, str]) -> Page:
    """The page that a request asks for by `prefix`, `delimiter`, `max-keys`, `start-after`, `continuation-token`.

    Raises:
        Refused: `NoSuchBucket`, or an argument that is wrong.
    """
    most = asked.get("max-keys", str(MOST_ON_A_PAGE))
    if not most.isdecimal():
        raise Refused("InvalidArgument", f"max-keys: {most!r} is no whole number")
    size = min(int(most), MOST_ON_A_PAGE)
    after = asked.get("start-after", "")
    if "continuation-token" in asked:
        after = _after(asked["continuation-token"])
    prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter", "")
    found: list[StoredObject | str] = []
    for one in _grouped(objects.under(bucket, prefix), prefix, delimiter):
        if _key(one).encode() <= after.encode():
            continue
        if len(found) == size:
            return Page(found, size, _token(_key(found[-1])) if found else None)
        found.append(one)
    return Page(found, size, None)


def _grouped(objects: Iterator[StoredObject], prefix: str, delimiter: str) -> Iterator[StoredObject | str]:
    last = None
    for one in objects:
        group, cut, _ = one.key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not cut:
            yield one
        elif (common := prefix + group + cut) != last:
            last = common
            yield common


def _key(one: StoredObject | str) -> str:
    return one if isinstance(one, str) else one.key


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _after(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise Refused("InvalidArgument", "The continuation token provided is incorrect") from error
