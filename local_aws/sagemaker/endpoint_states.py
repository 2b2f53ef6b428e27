"""The state of an endpoint, from the times in its record and the outcome of creating its container.

                 Updating
                    ▲▼
    Creating ──► InService ──► Deleting ──► gone
        └──────► Failed ─────────┘

An endpoint's record has: `ready`, the earliest time at which it is created; `outcome`, None until its container is
created, then "" or the reason why that failed; and once it is being deleted `deleted`, when that started, and `gone`.
An `update` has its `started` and `ready`, an `outcome` of its own, and the fields of the record that it `changes` once
that is ""; if it fails, the endpoint stays as it was.
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
    if endpoint["outcome"]:
        return "Failed"
    return "Updating" if _is_updating(endpoint, now) else "InService"


def current(endpoint: Record, now: float) -> Record:
    """The record with what an update has changed once it is over."""
    update = endpoint.get("update")
    if not update or _is_updating(endpoint, now) or update["outcome"]:
        return endpoint
    return {**endpoint, **update["changes"]}


def _is_updating(endpoint: Record, now: float) -> bool:
    update = endpoint.get("update")
    return update is not None and (update["outcome"] is None or now < update["ready"])


def last_modified(endpoint: Record, now: float) -> float:
    """When its status last changed, in seconds since the epoch."""
    if "deleted" in endpoint:
        return float(endpoint["deleted"])
    if update := endpoint.get("update"):
        return float(update["started"] if _is_updating(endpoint, now) else update["ready"])
    return float(endpoint["CreationTime"] if status_of(endpoint, now) == "Creating" else endpoint["ready"])


def is_gone(endpoint: Record, now: float) -> bool:
    """Whether its deletion is over."""
    return bool(now >= endpoint.get("gone", float("inf")))


def describe(endpoint: Record, now: float) -> dict[str, Any]:
    """The response to DescribeEndpoint."""
    status, failed_update = status_of(endpoint, now), (endpoint.get("update") or {}).get("outcome")
    endpoint = current(endpoint, now)
    description = {
        "EndpointName": endpoint["EndpointName"],
        "EndpointConfigName": endpoint["EndpointConfigName"],
        "EndpointStatus": status,
        "CreationTime": endpoint["CreationTime"],
        "LastModifiedTime": last_modified(endpoint, now),
    }
    if status == "Failed":
        description["FailureReason"] = endpoint["outcome"]
    elif status == "InService" and failed_update:
        description["FailureReason"] = failed_update
    if status in ("InService", "Updating"):
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
