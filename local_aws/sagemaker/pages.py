"""Lists as SageMaker returns them: filtered, sorted, and one page at a time.

A page starts after the last item of the one before, so no item is skipped or repeated when others come and go.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import validation_error

DEFAULT_PAGE_SIZE = 10  # items

Summary = dict[str, Any]


def page(
    summaries: Iterable[Summary], parameters: Mapping[str, Any], *, member: str
) -> tuple[list[Summary], str | None]:
    """One page, and the token of the next.

    Args:
        summaries: all items.
        parameters: of the request: `NameContains`, `CreationTimeAfter` …, `SortBy`, `SortOrder`, `MaxResults`, `NextToken`.
        member: how the names of the items' members start: `Endpoint`, `EndpointConfig`, `Model`.

    Raises:
        AwsError: the token is not from this list.
    """
    columns = {"Name": f"{member}Name", "Status": f"{member}Status"}
    column = columns.get(parameters.get("SortBy", ""), "CreationTime")
    descending = parameters.get("SortOrder", "Descending") == "Descending"

    def position(summary: Summary) -> tuple[Any, str]:
        return summary[column], summary[f"{member}Name"]

    matching = [summary for summary in summaries if _matches(summary, parameters, member)]
    ordered = sorted(matching, key=position, reverse=descending)
    if "NextToken" in parameters:
        last = _position_of(parameters["NextToken"], type(position(ordered[0])[0]) if ordered else None)
        ordered = [one for one in ordered if (position(one) < last if descending else position(one) > last)]
    size = parameters.get("MaxResults", DEFAULT_PAGE_SIZE)
    return ordered[:size], _token(position(ordered[size - 1])) if len(ordered) > size else None


def _matches(summary: Summary, parameters: Mapping[str, Any], member: str) -> bool:
    status = summary.get(f"{member}Status")
    if parameters.get("NameContains", "") not in summary[f"{member}Name"]:
        return False
    if parameters.get("StatusEquals", status) != status:
        return False
    return all(
        parameters.get(f"{time}After", float("-inf")) < summary[time] < parameters.get(f"{time}Before", float("inf"))
        for time in ("CreationTime", "LastModifiedTime")
        if time in summary
    )


def _token(position: tuple[Any, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _position_of(token: str, value_type: type | None) -> tuple[Any, str]:
    try:
        value, name = json.loads(base64.urlsafe_b64decode(token))
    except (TypeError, ValueError, RecursionError) as error:
        raise validation_error(f"NextToken: {token!r} was not given by this list") from error
    if not isinstance(name, str) or (value_type is not None and not isinstance(value, value_type)):
        raise validation_error(f"NextToken: {token!r} belongs to a list in another order")
    return value, name
