"""The price of an instance per hour, with date and source. The figures are in `prices.yaml`.

price_of("ml.g5.2xlarge", "us-east-1").usd_per_hour   # 1.515
price_of("ml.x9.large", "us-east-1").usd_per_hour     # None: unknown, which is not free
"""

from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sagechain.prompts import read_yaml


class Price(BaseModel):
    """The price of one instance, on demand."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    instance_type: str
    region: str
    usd_per_hour: float | None
    """For one instance, without storage, data transfer and taxes. None: unknown."""
    dated: date
    """When the figure was read; for an unknown price the day of the newest source."""
    is_stale: bool
    """Whether the figure was older than 180 days."""
    note: str = ""
    """A caveat for the reader: the price is unknown, of another region, or old. Empty: none."""
    source: str = ""
    """The source of the figure."""


def price_of(instance_type: str, region: str, *, on: date | None = None) -> Price:
    """The price of an instance of real-time inference.

    Args:
        instance_type: such as `ml.g5.2xlarge`.
        region: such as `us-east-1`. For a region without prices here, the nearest region's price with a `note`.
        on: the day that `is_stale` refers to; default: today.
    """
    data, today = _data(), on or datetime.now(UTC).date()
    known = data["instances"].get(instance_type)
    source = (
        data["sources"][known["source"]] if known else max(data["sources"].values(), key=lambda each: each["dated"])
    )
    is_stale = (today - source["dated"]).days > data["stale_after_days"]
    return Price(
        instance_type=instance_type,
        region=region,
        usd_per_hour=known["usd_per_hour"] if known else None,
        dated=source["dated"],
        is_stale=is_stale,
        note="; ".join(_notes(instance_type, region, source["dated"], is_known=bool(known), is_stale=is_stale)),
        source=source["text"] if known else "",
    )


def cost(price: Price | None, seconds: float, count: int = 1) -> float | None:
    """US dollars for `count` instances; None if the price is unknown."""
    if price is None or price.usd_per_hour is None:
        return None
    return price.usd_per_hour * count * seconds / 3_600


def format_usd(dollars: float | None) -> str:
    """Dollars for people; `unknown` for None."""
    return "unknown" if dollars is None else f"${dollars:,.2f}"


def _notes(instance_type: str, region: str, dated: date, *, is_known: bool, is_stale: bool) -> list[str]:
    if not is_known:
        return [f"the price of {instance_type} is not known here: https://aws.amazon.com/sagemaker/ai/pricing/"]
    notes = []
    if region not in _data()["regions"]:
        notes.append(f"the price of {_nearest(region)}, as that of {region} is not known here")
    if is_stale:
        notes.append(f"of {dated}, older than {_data()['stale_after_days']} days")
    return notes


def _nearest(region: str) -> str:
    data = _data()
    return str(next((name for start, name in data["nearest"].items() if region.startswith(start)), data["otherwise"]))


def _data() -> dict[str, Any]:
    data: dict[str, Any] = read_yaml(__package__, "prices.yaml")
    return data
