"""The state of an endpoint, from the times in its record and the outcome of creating its container.

    Creating ──► InService ──► Deleting ──► gone
        └──────► Failed ─────────┘

An endpoint's record has: `ready`, the earliest time at which it is created; `outcome`, None until its container is
created, then "" or the reason why that failed; and once it is being deleted `deleted`, when that started, and `gone`.
Times are seconds since the epoch.
"""

from collections.abc import Mapping
from typing import Any

from .records import Record


def status_of(endpoint: Record, now: float) -> str:
    """Its EndpointStatus."""
    if "deleted" in endpoint:
        return "Deleting"
    if endpoint["outcome"] is None or now < endpoint["ready"]:
        return "Creating"
    return "Failed" if endpoint["outcome"] else "InService"


def last_modified(endpoint: Record, now: float) -> float:
    """When its status last changed, in seconds since the epoch."""
    if "deleted" in endpoint:
        return float(endpoint["deleted"])
    return float(endpoint["CreationTime"] if status_of(endpoint, now) == "Creating" else endpoint["ready"])


def is_gone(endpoint: Record, now: float) -> bool:
    """Whether its deletion is over."""
    return bool(now >= endpoint.get("gone", float("inf")))


def describe(endpoint: Record, now: float) -> dict[str, Any]:
    """The response to DescribeEndpoint."""
    status = status_of(endpoint, now)
    description = {
        "EndpointName": endpoint["EndpointName"],
        "EndpointArn": endpoint["EndpointArn"],
        "EndpointConfigName": endpoint["EndpointConfigName"],
        "EndpointStatus": status,
        "CreationTime": endpoint["CreationTime"],
        "LastModifiedTime": last_modified(endpoint, now),
    }
    if status == "Failed":
        description["FailureReason"] = endpoint["outcome"]
    if status == "InService":
        variants = endpoint["Variants"]
        description["ProductionVariants"] = [_variant_summary(variant, endpoint["ready"]) for variant in variants]
    return description


def _variant_summary(variant: Mapping[str, Any], ready: float) -> dict[str, Any]:
    image = variant["Container"].get("Image")
    images = [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": ready}] if image else []
    weight, count = variant["InitialVariantWeight"], variant.get("InitialInstanceCount", 1)
    return {
        "VariantName": variant["VariantName"],
        "DeployedImages": images,
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": count,
    }
