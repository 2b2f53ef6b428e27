"""Endpoints as people read them: price, time and the table of `sagechain endpoints list`."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sagechain.command import print_note
from sagechain.prompts import visible_line

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
        instances = ", ".join(f"{count} × {kind}" for kind, count in info.bill.instances.items())
        texts = (info.name, info.status, info.family, info.wire, instances)
        table.add_row(
            *(visible_line(text or "–") for text in texts), format_duration(info.age),
            hourly_price(info), format_usd(info.cost_so_far), _time_left(info), _owner(info),
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, markup=False).print(table)
    for info in endpoints:
        for text in filter(None, (info.reason, *info.problems)):
            print_note(f"{info.name}: {text}")
    for text in sorted({price.note for info in endpoints for price in info.bill.prices} - {""}):
        print_note(f"(~ {text})")


def hourly_price(info: "EndpointInfo") -> str:
    """The price of all its instances an hour, with `~` if there is a note to it."""
    usd = info.bill.usd_per_hour
    mark = "~" if any(price.note for price in info.bill.prices) else ""
    return "unknown" if usd is None else f"{mark}${usd:.3f}/h"


def expiry_time(info: "EndpointInfo") -> str:
    """When its time to live is over."""
    return f"{datetime.fromtimestamp(info.expires_at):%Y-%m-%d %H:%M}" if info.expires_at else "it is deleted"


def _time_left(info: "EndpointInfo") -> str:
    from sagechain.endpoints import format_duration

    seconds = info.seconds_left()
    if seconds is None:
        return "unknown" if info.ours is None else "no end"
    return format_duration(seconds) if seconds > 0 else "over: reap"


def _owner(info: "EndpointInfo") -> str:
    return {True: "sagechain", False: "others", None: "unknown"}[info.ours]
