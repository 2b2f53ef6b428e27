"""List endpoints: whether sagechain deployed them, and what they have cost so far."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sagechain.llms.errors import EndpointNotFound
from sagechain.llms.sagemaker import FAMILY_TAG, TOOL_TAG, WIRE_TAG

from .aws import Account
from .plan import EXPIRES_TAG
from .pricing import Price, cost, price_of

UNBILLED = ("Failed", "OutOfService")


@dataclass(frozen=True)
class EndpointInfo:
    """An endpoint as SageMaker describes it."""

    name: str
    status: str
    """`Creating`, `InService`, `Failed`, `Deleting` …"""
    family: str | None
    wire: str | None
    """From its tags; None if it has none."""
    instance_type: str | None
    """None: it has no instances (serverless, inference components)."""
    age: float
    """Seconds since its creation was requested."""
    cost_so_far: float | None
    """US dollars, from its age and the price of its instances; None: the price is not known."""
    expires_at: float | None
    """When its time to live ends, in seconds since the epoch; None: never."""
    ours: bool
    """Whether sagechain deployed it."""
    instance_count: int = 1
    price: Price | None = field(default=None, repr=False)
    """The price of one instance, with its date."""
    reason: str | None = None
    """Why it failed."""
    region: str | None = None
    """Its region, if that is not boto3's own."""

    @property
    def uri(self) -> str:
        """For `load_llm` and `load_chat_model`."""
        return f"sagemaker:{self.name}" + (f"?region={self.region}" if self.region else "")

    def seconds_left(self, now: float | None = None) -> float | None:
        """Seconds until its time to live ends, negative after that; None: it has none."""
        if self.expires_at is None:
            return None
        return self.expires_at - (datetime.now(UTC).timestamp() if now is None else now)


def list_endpoints(region: str | None = None) -> list[EndpointInfo]:
    """All endpoints of the account, oldest first; changes nothing.

    Args:
        region: default: boto3's own.

    Raises:
        ValueError: no region is set.
        LLMError: AWS refused, or cannot be reached.
    """
    account = Account(region)
    endpoints = []
    for row in account.rows("list_endpoints", "Endpoints", SortBy="CreationTime", SortOrder="Ascending"):
        try:
            endpoints.append(endpoint_info(account, row["EndpointName"]))
        except EndpointNotFound:
            continue  # gone since the page was read
    return endpoints


def endpoint_info(account: Account, name: str) -> EndpointInfo:
    """One endpoint. Raises EndpointNotFound if no endpoint has that name."""
    described = account.send(name, "describe_endpoint", EndpointName=name)
    tags = account.tags(name, described["EndpointArn"])
    instances = _instances(account, described)
    instance_type = next(iter(instances), None)
    age = max((datetime.now(UTC) - described["CreationTime"]).total_seconds(), 0.0)
    prices = [(price_of(each, account.region), count) for each, count in instances.items()]
    return EndpointInfo(
        name=name,
        status=described["EndpointStatus"],
        family=tags.get(FAMILY_TAG),
        wire=tags.get(WIRE_TAG),
        instance_type=instance_type,
        instance_count=sum(instances.values()),
        age=age,
        price=prices[0][0] if prices else None,
        cost_so_far=_sum([cost(price, age, count) for price, count in prices]),
        region=None if account.is_default_region else account.region,
        expires_at=expires_at(tags),
        ours=TOOL_TAG in tags,
        reason=described.get("FailureReason"),
    )


def expires_at(tags: dict[str, str]) -> float | None:
    """When a time to live ends, by the tags of a resource, in seconds since the epoch; None without such a tag."""
    try:
        return datetime.fromisoformat(tags[EXPIRES_TAG]).timestamp()
    except (KeyError, ValueError):
        return None


def _sum(costs: list[float | None]) -> float | None:
    """None if the list is empty or a cost is unknown."""
    known = [each for each in costs if each is not None]
    return sum(known) if known and len(known) == len(costs) else None


def _instances(account: Account, described: dict[str, Any]) -> dict[str, int]:
    """The number of instances by type; a failed endpoint has none that bill."""
    try:
        config = account.send(
            described["EndpointName"],
            "describe_endpoint_config",
            EndpointConfigName=described["EndpointConfigName"],
        )
    except EndpointNotFound:
        return {}
    running = {
        each["VariantName"]: each.get("CurrentInstanceCount") for each in described.get("ProductionVariants", ())
    }
    instances: dict[str, int] = {}
    for variant in config["ProductionVariants"]:
        if "InstanceType" in variant:
            current = running.get(variant["VariantName"])
            count = variant.get("InitialInstanceCount", 0) if current is None else current
            instance_type = variant["InstanceType"]
            billed = 0 if described["EndpointStatus"] in UNBILLED else count
            instances[instance_type] = instances.get(instance_type, 0) + billed
    return instances
