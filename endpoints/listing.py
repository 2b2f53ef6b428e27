"""List endpoints: whether sagechain deployed them, and what they have cost so far."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sagechain.llms.errors import ConnectionFailed, EndpointNotFound, LLMError, TimedOut
from sagechain.llms.sagemaker import FAMILY_TAG, TOOL_TAG, WIRE_TAG

from .aws import Account
from .billing import Bill, bill
from .plan import EXPIRES_TAG
from .pricing import Price

LOST = (ConnectionFailed, TimedOut)  # errors that are not of one endpoint


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
    """Several types are separated by `, `. None: it has no instances (serverless, inference components), or they are not
    known."""
    age: float
    """Seconds since its creation was requested."""
    cost_so_far: float | None
    """US dollars, from its age (until it failed) and the price of its instances; None: not known."""
    expires_at: float | None
    """When its time to live ends, in seconds since the epoch; None: never."""
    ours: bool | None
    """Whether sagechain deployed it; None: its tags cannot be read."""
    bill: Bill
    """Its instances by type, and their prices."""
    reason: str | None = None
    """Why it failed."""
    region: str | None = None
    """Its region, if that is not boto3's own."""
    problems: tuple[str, ...] = ()
    """What could not be read, and which figures are not known, with the reason."""

    @property
    def instance_count(self) -> int:
        """The number of its instances, of all types."""
        return sum(self.bill.instances.values())

    @property
    def price(self) -> Price | None:
        """The price of one instance, with its date; None if there are several types, or none."""
        return self.bill.prices[0] if len(self.bill.prices) == 1 else None

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

    What cannot be read of an endpoint is among its `problems`.

    Args:
        region: default: boto3's own.

    Raises:
        ValueError: no region is set.
        LLMError: AWS refused the list, or cannot be reached.
    """
    account = Account(region)
    rows = account.rows("list_endpoints", "Endpoints", SortBy="CreationTime", SortOrder="Ascending")
    return [info for row in rows for info in _listed(account, row)]


def endpoint_info(
    account: Account, description: Mapping[str, Any], tags: Mapping[str, str] | None, problems: tuple[str, ...] = ()
) -> EndpointInfo:
    """One endpoint.

    Args:
        description: SageMaker's description of it, or its row in a list.
        tags: None if they cannot be read.
        problems: what else could not be read.
    """
    now, known_tags = datetime.now(UTC), tags or {}
    its_bill, unread = _bill(account, description, now, is_ours=TOOL_TAG in known_tags)
    return EndpointInfo(
        name=description["EndpointName"],
        status=description["EndpointStatus"],
        family=known_tags.get(FAMILY_TAG),
        wire=known_tags.get(WIRE_TAG),
        instance_type=", ".join(its_bill.instances) or None,
        age=max((now - description["CreationTime"]).total_seconds(), 0.0),
        cost_so_far=its_bill.usd_so_far,
        expires_at=expires_at(known_tags),
        ours=None if tags is None else TOOL_TAG in tags,
        bill=its_bill,
        reason=description.get("FailureReason"),
        region=None if account.is_default_region else account.region,
        problems=(*problems, *unread, *its_bill.unknown),
    )


def expires_at(tags: Mapping[str, str]) -> float | None:
    """When a time to live ends, by the tags of a resource, in seconds since the epoch; None without such a tag."""
    try:
        return datetime.fromisoformat(tags[EXPIRES_TAG]).timestamp()
    except (KeyError, ValueError):
        return None


def _listed(account: Account, row: Mapping[str, Any]) -> Iterator[EndpointInfo]:
    """The endpoint of a row; nothing if it is gone since the row was read."""
    name, problems = row["EndpointName"], []
    description: Mapping[str, Any] = row
    tags: dict[str, str] | None = None
    try:
        description = account.send(name, "describe_endpoint", EndpointName=name)
    except EndpointNotFound:
        return
    except LOST:
        raise
    except LLMError as error:
        problems.append(_problem("it cannot be described", error))
    try:
        tags = account.tags(name, row["EndpointArn"])
    except EndpointNotFound:
        return
    except LOST:
        raise
    except LLMError as error:
        problems.append(_problem("its tags cannot be read", error))
    yield endpoint_info(account, description, tags, tuple(problems))


def _bill(
    account: Account, description: Mapping[str, Any], now: datetime, *, is_ours: bool
) -> tuple[Bill, tuple[str, ...]]:
    """The bill, and why there is none."""
    config = description.get("EndpointConfigName")
    if config is None:  # it is only a row of a list
        return Bill({}), ()
    try:
        configuration = account.send(description["EndpointName"], "describe_endpoint_config", EndpointConfigName=config)
    except EndpointNotFound:
        return Bill({}), ("its configuration is deleted, so its instances are not known",)
    except LLMError as error:
        return Bill({}), (_problem("its configuration cannot be read", error),)
    return bill(description, configuration, region=account.region, now=now, is_ours=is_ours), ()


def _problem(what: str, error: LLMError) -> str:
    return f"{what}: {error.message}"
