"""What an instance costs by the hour, with the date and the source of the figure. The figures are `prices.yaml`.

price_of("ml.g5.2xlarge", "us-east-1").usd_per_hour   # 1.515
price_of("ml.x9.large", "us-east-1").usd_per_hour     # None: not known, which is never the same as free
"""

from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sagechain.prompts import read_yaml


class Price(BaseModel):
    """The price of one instance, on demand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_type: str
    region: str
    usd_per_hour: float | None
    """Of one instance, without storage, data and taxes. None: not known."""
    dated: date
    """When the figure was read; of one that is not known, the day of the newest source."""
    is_stale: bool
    """Whether the figure was older than 180 days."""
    note: str = ""
    """What the reader has to know of it: that it is not known, of another region, or old. Empty: nothing."""
    source: str = ""
    """Where the figure comes from."""


def price_of(instance_type: str, region: str, *, on: date | None = None) -> Price:
    """The price of an instance of real-time inference.

    Args:
        instance_type: such as `ml.g5.2xlarge`.
        region: such as `us-east-1`. Of one without prices here the nearest one's is given, and `note` says so.
        on: the day on which it is asked, which decides `is_stale`; today if not given.
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
