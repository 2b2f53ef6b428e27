"""Lists of objects and of unfinished uploads: the keys under a prefix, page by page.

Keys that share a delimiter after the prefix are one common prefix.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..errors import AwsError

MAX_PAGE_SIZE = 1000


class Listed(Protocol):
    """What can be listed: its key, and its place among the items of that key."""

    @property
    def key(self) -> str:
        """The object's key."""

    @property
    def order(self) -> str:
        """The place; empty where a key has one item."""


Item = TypeVar("Item", bound=Listed)


@dataclass(frozen=True)
class Page(Generic[Item]):
    """A page, in order.

    Args:
        size: the largest number of items and prefixes.
        last: the key and the order, or the common prefix, after which the next page starts; None on the last page.
    """

    items: list[Item]
    prefixes: list[str]
    size: int
    last: tuple[str, str] | None


def page_of(
    items: Iterable[Item], query: Mapping[str, str], *, after: tuple[str, str | None], size_name: str = "max-keys"
) -> Page[Item]:
    """The page for the `prefix`, the `delimiter` and the size of a query.

    Args:
        items: in order of their keys' bytes.
        after: a key, and the order of the last listed item of that key (None: all were); or a common prefix.

    Raises:
        AwsError: `InvalidArgument`.
    """
    size = _size(query, size_name)
    page = Page[Item]([], [], size, None)
    last = ("", "")
    for item, prefix in _groups(items, query.get("prefix", ""), query.get("delimiter", ""), after):
        if len(page.items) + len(page.prefixes) == size:
            return Page(page.items, page.prefixes, size, last if size else None)
        if prefix is None:
            page.items.append(item)
            last = (item.key, item.order)
        else:
            page.prefixes.append(prefix)
            last = (prefix, "")
    return page


def encode_token(key: str) -> str:
    """The continuation token for a key."""
    return base64.urlsafe_b64encode(key.encode()).decode()


def decode_token(token: str) -> str:
    """The key of a continuation token. Raises AwsError: `InvalidArgument`."""
    try:
        return base64.urlsafe_b64decode(token).decode()
    except ValueError as error:
        raise AwsError("InvalidArgument", "The continuation token provided is incorrect") from error


def _size(query: Mapping[str, str], name: str) -> int:
    text = query.get(name) or str(MAX_PAGE_SIZE)
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) >= 2**31:
        raise AwsError("InvalidArgument", f"Provided {name} not an integer or within integer range")
    return min(int(text), MAX_PAGE_SIZE)


def _groups(
    items: Iterable[Item], prefix: str, delimiter: str, after: tuple[str, str | None]
) -> Iterator[tuple[Item, str | None]]:
    """The items after a place, each with None; or the first of those that share a common prefix, with the prefix."""
    key, order = after
    last = key  # a page that ended with a common prefix is followed by what lies outside it
    for item in items:
        if not item.key.startswith(prefix) or item.key.encode() < key.encode():
            continue
        if item.key == key and (order is None or item.order <= order):
            continue
        group, found, _ = item.key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        if not found:
            yield item, None
        elif (common := prefix + group + found) != last:
            last = common
            yield item, common
