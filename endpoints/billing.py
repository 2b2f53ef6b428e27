"""What an endpoint bills: its instances by type, variant by variant, and since when. What cannot be known is said so."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .pricing import Price, cost, price_of

VARIANTS = ("ProductionVariants", "ShadowProductionVariants")
UNSCALED = ("Creating", "Failed")  # in these states the number of instances described is not a wanted one
CLOCK_SECONDS = timedelta(seconds=1)  # by which the times of an endpoint and of its first configuration may differ

Description = Mapping[str, Any]


@dataclass(frozen=True)
class Bill:
    """The instances of an endpoint and their cost."""

    instances: Mapping[str, int]
    """The number of running instances by type; all 0 for a failed endpoint."""
    prices: tuple[Price, ...] = ()
    """The price of each type."""
    usd_per_hour: float | None = None
    """What they cost now; None: not known."""
    usd_so_far: float | None = None
    """What the endpoint has cost; None: not known."""
    unknown: tuple[str, ...] = ()
    """Why a figure is not known, beside unknown prices."""


def bill(endpoint: Description, config: Description, *, region: str, now: datetime, is_ours: bool) -> Bill:
    """The bill of an endpoint.

    Args:
        endpoint, config: SageMaker's descriptions of it and of its configuration.
        now: the time until which it bills, unless it failed before.
        is_ours: whether sagechain deployed it; then its first configuration has its name.
    """
    has_failed = endpoint["EndpointStatus"] == "Failed"
    counts, unknown = _instances(endpoint, config, has_failed=has_failed)
    running = dict.fromkeys(counts, 0) if has_failed else counts
    prices = tuple(price_of(each, region) for each in counts)
    end = endpoint["LastModifiedTime"] if has_failed else now
    seconds = max((end - endpoint["CreationTime"]).total_seconds(), 0.0)
    per_hour = None if unknown else _sum(cost(price, 3_600, running[price.instance_type]) for price in prices)
    so_far = None if unknown else _sum(cost(price, seconds, counts[price.instance_type]) for price in prices)
    if _was_updated(endpoint, config, is_ours=is_ours):
        so_far = None
        unknown.append("it was updated, and what it cost with its earlier configuration is not known")
    elif endpoint["EndpointStatus"] not in UNSCALED and _was_scaled(endpoint, config):
        so_far = None
        unknown.append("it was scaled, and what it cost with its earlier number of instances is not known")
    return Bill(running, prices, per_hour, so_far, tuple(unknown))


def _instances(endpoint: Description, config: Description, *, has_failed: bool) -> tuple[dict[str, int], list[str]]:
    """The instances by type, those that it had if it failed; and what is not known about them."""
    # The description of a failed endpoint no longer contains the instances that it had.
    described = {} if has_failed else {each["VariantName"]: each for each in _variants(endpoint)}
    counts: Counter[str] = Counter()
    unknown = []
    names = set()
    for variant in _variants(config):
        name = variant["VariantName"]
        names.add(name)
        current = described.get(name, {})
        if "ServerlessConfig" in variant:
            unknown.append(f"variant {name} is serverless, and billed by its requests")
        elif "InstancePools" in variant or "InstancePools" in current:
            pools = current.get("InstancePools", variant.get("InstancePools", ()))
            if not all("CurrentInstanceCount" in pool for pool in pools):
                unknown.append(f"variant {name} has pools of instances, and which of them run is not known")
            counts.update({pool["InstanceType"]: pool.get("CurrentInstanceCount", 0) for pool in pools})
        elif "InstanceType" in variant:
            count = current.get("CurrentInstanceCount", variant.get("InitialInstanceCount", 0))
            counts.update({variant["InstanceType"]: count})
        else:
            unknown.append(f"variant {name} names no instances")
    if set(described) - names or "PendingDeploymentSummary" in endpoint:
        unknown.append("it is being updated, and which instances run is not known")
    return dict(counts), unknown


def _variants(description: Description) -> Iterable[Description]:
    return [variant for key in VARIANTS for variant in description.get(key) or ()]


def _was_updated(endpoint: Description, config: Description, *, is_ours: bool) -> bool:
    """Whether the configuration is not the one that the endpoint was created with."""
    if is_ours and endpoint["EndpointConfigName"] != endpoint["EndpointName"]:
        return True
    return bool(config["CreationTime"] > endpoint["CreationTime"] + CLOCK_SECONDS)


def _was_scaled(endpoint: Description, config: Description) -> bool:
    """Whether a variant has another number of instances than the endpoint started with."""
    initial = {each["VariantName"]: each.get("InitialInstanceCount") for each in _variants(config)}
    counts = [(each.get("CurrentInstanceCount"), initial.get(each["VariantName"])) for each in _variants(endpoint)]
    return any(None not in (current, first) and current != first for current, first in counts)


def _sum(costs: Iterable[float | None]) -> float | None:
    """None if there is no cost, or one is unknown."""
    listed = list(costs)
    known = [each for each in listed if each is not None]
    return sum(known) if known and len(known) == len(listed) else None
