"""What is asked of AWS to deploy a model: three requests, made on paper first.

    planned = plan_deployment("parrot", region="us-east-1", model_data="./parrot/model", role="arn:aws:iam::…:role/…")
    for request in planned.requests():
        print(request.operation, request.parameters)

Endpoint, configuration and model carry one name and the same tags, so each is known as ours by itself.
"""

import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sagechain.llms.errors import EulaNotAccepted
from sagechain.llms.sagemaker import FAMILY_TAG, TOOL_TAG, WIRE_TAG
from sagechain.llms.wires import get_wire
from sagechain.prompts import get_family

from .jumpstart.specs import model_spec
from .own_model import own_model
from .pricing import Price, price_of

OWNER, EXPIRES, DEPLOYMENT = "sagechain:owner", "sagechain:expires-at", "sagechain:deployment"
ROLE_VARIABLE = "SAGECHAIN_ROLE"
NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # SageMaker's own pattern of names
ROLE = re.compile(r"arn:aws[a-z\-]*:iam::\d{12}:role/[a-zA-Z_0-9+=,.@\-_/]+")
SPANS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}  # seconds
LONGEST_SPAN = 365 * 86_400  # seconds
VARIANT = "AllTraffic"
# Instances with disks of their own, for which SageMaker refuses a volume's size: those with a `d` in their family's
# name, and the newer ones with accelerators (sagemaker-python-sdk 2.x, `volume_size_supported`).
OWN_DISK = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g5|g6|gr6|g7|p5|p6|trn|inf2)[a-z0-9-]*\.")
STARTUP_SECONDS = 1_800  # to fetch and load a model, where its spec says nothing; AWS's own default is short for 40 GB


@dataclass(frozen=True)
class Request:
    """One call of boto3's `sagemaker` client."""

    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A deployment on paper."""

    name: str
    region: str
    role: str
    seconds: float
    """Its time to live."""
    container: Mapping[str, Any]
    """`PrimaryContainer` of `CreateModel`."""
    instance_type: str
    family: str
    wire: str
    checkpoint: Path | None = None
    """A folder that is packed and uploaded first."""
    volume_gib: int | None = None
    download_seconds: int = STARTUP_SECONDS
    startup_seconds: int = STARTUP_SECONDS
    is_isolated: bool = False
    """Whether its container is cut off from the network."""
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Tells what this deployment made from what another made under the same name."""

    @property
    def price(self) -> Price:
        """What its instance costs."""
        return price_of(self.instance_type, self.region)

    def archive(self, account: str) -> str:
        """Where the packed checkpoint goes, in the account of that number: the bucket of SageMaker's own tools."""
        return f"s3://sagemaker-{self.region}-{account}/sagechain/{self.name}/{self.identity}/model.tar.gz"

    def tags(self, owner: str) -> list[dict[str, str]]:
        """The tags of all three; the time to live begins now."""
        expires = datetime.now(UTC) + timedelta(seconds=self.seconds)
        values = {
            TOOL_TAG: "sagechain",
            OWNER: re.sub(r"[^\w .:/=+@-]", "_", owner)[:256],
            FAMILY_TAG: self.family,
            WIRE_TAG: self.wire,
            EXPIRES: expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            DEPLOYMENT: self.identity,
        }
        return [{"Key": key, "Value": value} for key, value in values.items()]

    def requests(self, owner: str = "OWNER", account: str = "ACCOUNT") -> list[Request]:
        """What is asked, in order.

        Args:
            owner: who deploys, as AWS names them.
            account: the account's number.
        """
        tags, name = self.tags(owner), self.name
        uploaded = {"ModelDataUrl": self.archive(account)} if self.checkpoint else {}
        model = {
            "ModelName": name,
            "PrimaryContainer": {**self.container, **uploaded},
            "ExecutionRoleArn": self.role,
            "EnableNetworkIsolation": self.is_isolated,
        }
        variant = {
            "VariantName": VARIANT,
            "ModelName": name,
            "InitialInstanceCount": 1,
            "InstanceType": self.instance_type,
            "ModelDataDownloadTimeoutInSeconds": self.download_seconds,
            "ContainerStartupHealthCheckTimeoutInSeconds": self.startup_seconds,
            **(
                {"VolumeSizeInGB": self.volume_gib}
                if self.volume_gib and not OWN_DISK.match(self.instance_type)
                else {}
            ),
        }
        return [
            Request("create_model", model | {"Tags": tags}),
            Request(
                "create_endpoint_config", {"EndpointConfigName": name, "ProductionVariants": [variant], "Tags": tags}
            ),
            Request("create_endpoint", {"EndpointName": name, "EndpointConfigName": name, "Tags": tags}),
        ]


def plan_deployment(
    name: str,
    *,
    region: str,
    model_id: str | None = None,
    image: str | None = None,
    model_data: str | Path | None = None,
    role: str | None = None,
    instance_type: str | None = None,
    family: str | None = None,
    wire: str | None = None,
    accept_eula: bool = False,
    ttl: float | str = "2h",
    environment: Mapping[str, str] | None = None,
) -> Plan:
    """Check what was given, and find what was not. AWS is asked for a JumpStart model outside the catalogue only.

    Arguments as for `deploy`.

    Raises:
        ValueError: a field that is missing, unknown or out of range.
        EulaNotAccepted: the model has a licence that is to be accepted.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"name: {name!r} is no endpoint's name; letters, digits and hyphens between them, 63 at most")
    if family is not None:
        get_family(family)
    if wire is not None:
        get_wire(wire)
    common: dict[str, Any] = {"name": name, "region": region, "role": _role(role), "seconds": span(ttl)}
    if model_id is not None:
        if image is not None or model_data is not None:
            raise ValueError("model_id: it is given, and so is image or model_data; give one or the other")
        return Plan(
            **common, **_jumpstart(name, model_id, region, instance_type, family, wire, accept_eula, environment or {})
        )
    if image is None and model_data is None:
        raise ValueError(
            "model_id: no model is given; give model_id (`sagechain endpoints catalogue` lists them), or model_data "
            "(the folder of a checkpoint, or an s3:// address), or an image"
        )
    own = own_model(
        region=region,
        image=image,
        model_data=model_data,
        instance_type=instance_type,
        family=family,
        wire=wire,
        environment=environment or {},
    )
    return Plan(**common, **vars(own))


def span(ttl: float | str) -> float:
    """Seconds of a time to live: a number of them, or `90m`, `2h`, `1d`. Raises ValueError for any other."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(ttl).strip())
    seconds = float(found[1]) * SPANS[found[2] or "s"] if found else 0.0
    if not 0 < seconds <= LONGEST_SPAN:
        raise ValueError(f"ttl: {ttl!r} is no span of time above 0 and up to a year; give seconds, or 90m, 2h, 1d")
    return seconds


def _role(role: str | None) -> str:
    given = role or os.environ.get(ROLE_VARIABLE)
    if not given:
        raise ValueError(
            f"role: none is given; give the ARN of the role that the endpoint runs as, or set {ROLE_VARIABLE} "
            "(docs/endpoints.md says how to make one)"
        )
    if not ROLE.fullmatch(given):
        raise ValueError(f"role: {given!r} is no ARN of a role, such as arn:aws:iam::123456789012:role/NAME")
    return given


def _jumpstart(
    name: str,
    model_id: str,
    region: str,
    instance_type: str | None,
    family: str | None,
    wire: str | None,
    accept_eula: bool,
    environment: Mapping[str, str],
) -> dict[str, Any]:
    """What a plan says of a model of JumpStart."""
    spec = model_spec(model_id, region=region, instance_type=instance_type)
    if spec.eula is not None and not accept_eula:
        raise EulaNotAccepted(name, f"{model_id} comes under a licence that is to be accepted: {spec.eula}.")
    wire = wire or spec.wire
    if wire is None:
        raise ValueError(f"wire: JumpStart does not tell what {model_id} speaks; give wire, and family")
    container = spec.container(accept_eula=accept_eula)
    if environment:
        container["Environment"] = {**container.get("Environment", {}), **environment}
    return {
        "container": container,
        "instance_type": spec.instance_type,
        "family": family or spec.family,
        "wire": wire,
        "volume_gib": spec.volume_gib,
        "download_seconds": spec.download_seconds or STARTUP_SECONDS,
        "startup_seconds": spec.startup_seconds or STARTUP_SECONDS,
        "is_isolated": spec.network_isolation,
    }
