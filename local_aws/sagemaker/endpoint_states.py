"""Which state an endpoint is in, from the times in its record and what became of its container.

    Creating ──► InService ──► Deleting ──► gone
        └──────► Failed ─────────┘

A record says when the endpoint is `ready` at the earliest, the `outcome` once its container is made or cannot be (None
before, "" if all is well, else the reason), and once it is being deleted, when that began and when it is `gone`.
"""

from collections.abc import Mapping
from typing import Any

from .records import Record


def status_of(endpoint: Record, now: float) -> str:
    """The status that AWS gives it."""
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
    """Whether it has been deleted by now."""
    return bool(now >= endpoint.get("gone", float("inf")))


def described(endpoint: Record, now: float) -> dict[str, Any]:
    """What DescribeEndpoint says of an endpoint."""
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
        description["ProductionVariants"] = [_summary(variant, endpoint["ready"]) for variant in endpoint["Variants"]]
    return description


def _summary(variant: Mapping[str, Any], since: float) -> dict[str, Any]:
    image = variant["Container"].get("Image")
    images = [{"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": since}] if image else []
    weight, count = variant["InitialVariantWeight"], variant.get("InitialInstanceCount", 1)
    return {
        "VariantName": variant["VariantName"],
        "DeployedImages": images,
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": count,
    }
