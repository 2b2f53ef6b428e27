"""Which endpoints there are, whose they are, and what they have cost so far."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sagechain.llms.errors import EndpointNotFound
from sagechain.llms.sagemaker import FAMILY_TAG, TOOL_TAG, WIRE_TAG

from .aws import Account
from .plan import EXPIRES
from .pricing import Price, price_of

UNBILLED = ("Failed", "OutOfService")


@dataclass(frozen=True)
class EndpointInfo:
    """An endpoint, as SageMaker tells of it."""

    name: str
    status: str
    """`Creating`, `InService`, `Failed`, `Deleting` …"""
    family: str | None
    wire: str | None
    """From its tags; None where it has none."""
    instance_type: str | None
    """None: it runs without instances of its own (serverless, components)."""
    age: float
    """Seconds since it was asked for."""
    cost_so_far: float | None
    """US dollars, from its age and the price of its instances; None: the price is not known."""
    expires_at: float | None
    """When its time is over, in seconds since the epoch; None: never."""
    ours: bool
    """Whether sagechain deployed it."""
    instance_count: int = 1
    price: Price | None = field(default=None, repr=False)
    """Of one instance for an hour, with its date."""
    reason: str | None = None
    """Why it failed."""
    region: str | None = None
    """Where it is, if not where boto3 looks anyhow."""

    @property
    def uri(self) -> str:
        """For `load_llm` and `load_chat_model`."""
        return f"sagemaker:{self.name}" + (f"?region={self.region}" if self.region else "")

    def seconds_left(self, now: float | None = None) -> float | None:
        """Until its time is over, below 0 after that; None: it has no such time."""
        if self.expires_at is None:
            return None
        return self.expires_at - (datetime.now(UTC).timestamp() if now is None else now)


def list_endpoints(region: str | None = None) -> list[EndpointInfo]:
    """All endpoints of the account, oldest first; changes nothing.

    Args:
        region: boto3's own choice if not given.

    Raises:
        ValueError: no region is set.
        LLMError: AWS refused, or cannot be reached.
    """
    account = Account(region)
    found = []
    for row in account.pages("list_endpoints", "Endpoints", SortBy="CreationTime", SortOrder="Ascending"):
        try:
            found.append(endpoint_info(account, row["EndpointName"]))
        except EndpointNotFound:
            continue  # gone since the page was read
    return found


def endpoint_info(account: Account, name: str) -> EndpointInfo:
    """One endpoint. Raises EndpointNotFound where there is none."""
    described = account.ask(name, "describe_endpoint", EndpointName=name)
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
        cost_so_far=_summed([cost(price, age, count) for price, count in prices]),
        region=None if account.is_usual_region else account.region,
        expires_at=expiry(tags),
        ours=TOOL_TAG in tags,
        reason=described.get("FailureReason"),
    )


def cost(price: Price | None, seconds: float, count: int = 1) -> float | None:
    """US dollars for so many instances for so long; None where the price is not known."""
    if price is None or price.usd_per_hour is None:
        return None
    return price.usd_per_hour * count * seconds / 3_600


def told_usd(dollars: float | None) -> str:
    """Dollars as a person reads them; what is not known is said to be so."""
    return "unknown" if dollars is None else f"${dollars:,.2f}"


def expiry(tags: dict[str, str]) -> float | None:
    """When the time of what has these tags is over, in seconds since the epoch; None where no tag says so."""
    try:
        return datetime.fromisoformat(tags[EXPIRES]).timestamp()
    except (KeyError, ValueError):
        return None


def _summed(costs: list[float | None]) -> float | None:
    """All together; None where there is nothing, or one is not known."""
    known = [each for each in costs if each is not None]
    return sum(known) if known and len(known) == len(costs) else None


def _instances(account: Account, described: dict[str, Any]) -> dict[str, int]:
    """How many instances of which type an endpoint has; one that failed has none that bill."""
    try:
        config = account.ask(
            described["EndpointName"],
            "describe_endpoint_config",
            EndpointConfigName=described["EndpointConfigName"],
        )
    except EndpointNotFound:
        return {}
    running = {
        each["VariantName"]: each.get("CurrentInstanceCount") for each in described.get("ProductionVariants", ())
    }
    found: dict[str, int] = {}
    for variant in config["ProductionVariants"]:
        if "InstanceType" in variant:
            now = running.get(variant["VariantName"])
            count = variant.get("InitialInstanceCount", 0) if now is None else now
            kind = variant["InstanceType"]
            found[kind] = found.get(kind, 0) + (0 if described["EndpointStatus"] in UNBILLED else count)
    return found
