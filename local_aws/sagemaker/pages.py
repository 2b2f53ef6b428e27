"""Lists as SageMaker gives them: filtered, sorted, and a page at a time.

A page begins after the last item of the one before, so nothing is skipped or told twice when items come and go.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..refusals import invalid

USUAL_PAGE = 10  # items, where the request does not say

Summary = dict[str, Any]


def page(summaries: Iterable[Summary], asked: Mapping[str, Any], *, of: str) -> tuple[list[Summary], str | None]:
    """One page, and the token that the next is asked for with.

    Args:
        summaries: all there are.
        asked: the request: `NameContains`, `CreationTimeAfter` …, `SortBy`, `SortOrder`, `MaxResults`, `NextToken`.
        of: what they are, as their members begin: `Endpoint`, `EndpointConfig`, `Model`.

    Raises:
        Refused: the token is none of ours.
    """
    by = {"Name": f"{of}Name", "Status": f"{of}Status"}.get(asked.get("SortBy", ""), "CreationTime")
    descending = asked.get("SortOrder", "Descending") == "Descending"

    def place(summary: Summary) -> tuple[Any, str]:
        return summary[by], summary[f"{of}Name"]

    ordered = sorted((one for one in summaries if _wanted(one, asked, of)), key=place, reverse=descending)
    if "NextToken" in asked:
        last = _place_in(asked["NextToken"], type(place(ordered[0])[0]) if ordered else None)
        ordered = [one for one in ordered if (place(one) < last if descending else place(one) > last)]
    size = asked.get("MaxResults", USUAL_PAGE)
    return ordered[:size], _token(place(ordered[size - 1])) if len(ordered) > size else None


def _wanted(summary: Summary, asked: Mapping[str, Any], of: str) -> bool:
    if asked.get("NameContains", "") not in summary[f"{of}Name"]:
        return False
    if asked.get("StatusEquals", summary.get(f"{of}Status")) != summary.get(f"{of}Status"):
        return False
    return all(
        summary[time] > asked.get(f"{time}After", float("-inf"))
        and summary[time] < asked.get(f"{time}Before", float("inf"))
        for time in ("CreationTime", "LastModifiedTime")
        if time in summary
    )


def _token(place: tuple[Any, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place_in(token: str, kind: type | None) -> tuple[Any, str]:
    try:
        value, name = json.loads(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise invalid(f"NextToken: {token!r} was not given by this list") from error
    if not isinstance(name, str) or (kind is not None and not isinstance(value, kind)):
        raise invalid(f"NextToken: {token!r} belongs to a list in another order")
    return value, name
