"""Endpoints as people read them: price, time and the table of `sagechain endpoints list`."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sagechain.command import print_note, visible_line

if TYPE_CHECKING:
    from sagechain.endpoints import EndpointInfo

PIPE_WIDTH = 200  # characters of a line if standard output is not a terminal


def print_endpoints(endpoints: "Sequence[EndpointInfo]") -> None:
    """Print the table, and below it, on standard error, why endpoints failed and where a price is an estimate."""
    from rich.console import Console
    from rich.table import Table
    from sagechain.endpoints import format_duration, format_usd

    if not endpoints:
        print_note("This account has no endpoint in this region.")
        return
    table = Table("endpoint", "status", "family", "wire", "instance", "age", box=None, pad_edge=False)
    for heading in ("price", "so far"):
        table.add_column(heading, justify="right")
    for heading in ("time left", "deployed by"):
        table.add_column(heading)
    for info in endpoints:
        instance = f"{info.instance_count} × {info.instance_type}" if info.instance_type else "–"
        name, family, wire = (visible_line(text or "–") for text in (info.name, info.family, info.wire))
        table.add_row(
            name, info.status, family, wire, instance, format_duration(info.age),
            hourly_price(info), format_usd(info.cost_so_far), _time_left(info), "sagechain" if info.ours else "others",
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, markup=False).print(table)
    for info in endpoints:
        if info.reason:
            print_note(f"{info.name}: {info.reason}")
    for note in sorted({info.price.note for info in endpoints if info.price} - {""}):
        print_note(f"(~ {note})")


def usd_per_hour(info: "EndpointInfo") -> float | None:
    """The price of all its instances; None if it is not known."""
    from sagechain.endpoints import cost

    return cost(info.price, 3_600, info.instance_count)


def hourly_price(info: "EndpointInfo") -> str:
    """The price an hour, with `~` if there is a note to it."""
    usd = usd_per_hour(info)
    mark = "~" if info.price and info.price.note else ""
    return "unknown" if usd is None else f"{mark}${usd:.3f}/h"


def expiry_time(info: "EndpointInfo") -> str:
    """When its time to live is over."""
    return f"{datetime.fromtimestamp(info.expires_at):%Y-%m-%d %H:%M}" if info.expires_at else "it is deleted"


def _time_left(info: "EndpointInfo") -> str:
    from sagechain.endpoints import format_duration

    seconds = info.seconds_left()
    if seconds is None:
        return "no end"
    return format_duration(seconds) if seconds > 0 else "over: reap"
