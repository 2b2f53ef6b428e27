"""The plan of a deployment: three requests to SageMaker, complete before the first is sent.

    plan = plan_deployment(DeploymentRequest("parrot", model_data="./parrot/model", role="arn:aws:…"), "us-east-1")
    for request in plan.requests():
        print(request.operation, request.parameters)

Endpoint, configuration and model have one name and the same tags, so each can be recognised as sagechain's on its own.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sagechain.llms.errors import EulaNotAccepted
from sagechain.llms.sagemaker import FAMILY_TAG, TOOL_TAG, WIRE_TAG

from .jumpstart.specs import model_spec
from .own_model import own_container
from .pricing import Price, price_of
from .request import DeploymentRequest
from .upload import archive_address

OWNER_TAG, EXPIRES_TAG, DEPLOYMENT_TAG = "sagechain:owner", "sagechain:expires-at", "sagechain:deployment"
VARIANT = "AllTraffic"
# Instances with local disks, for which SageMaker refuses a volume size: those with a `d` in their family's name, and the
# newer ones with accelerators (sagemaker-python-sdk 2.x, `volume_size_supported`).
LOCAL_DISK = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g5|g6|gr6|g7|p5|p6|trn|inf2)[a-z0-9-]*\.")
STARTUP_SECONDS = (
    1_800  # to fetch and load a model, unless its spec sets a longer time; AWS's default is too short for 40 GB
)


@dataclass(frozen=True)
class Request:
    """One request of boto3's `sagemaker` client."""

    operation: str
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A deployment that can be carried out without further questions."""

    name: str
    region: str
    role: str
    seconds: float
    """Time to live."""
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
    """Whether the container has no access to the network."""
    poll_seconds: float = 15
    """The longest pause between two looks at the endpoint."""
    timeout: float = 3_600
    """Seconds that the endpoint may take to come into service, and to be deleted."""
    identity: str = field(default_factory=lambda: uuid.uuid4().hex)
    """Distinguishes the resources of this deployment from those of another one with the same name."""

    @property
    def price(self) -> Price:
        """The price of its instance."""
        return price_of(self.instance_type, self.region)

    def archive(self, account: str) -> str:
        """The S3 address of the packed checkpoint in the account of that number; empty if there is nothing to upload."""
        return archive_address(self.region, account, self.name, self.identity) if self.checkpoint else ""

    def tags(self, owner: str) -> list[dict[str, str]]:
        """The tags of all three resources; the time to live starts now."""
        expires = datetime.now(UTC) + timedelta(seconds=self.seconds)
        values = {
            TOOL_TAG: "sagechain",
            OWNER_TAG: re.sub(r"[^\w .:/=+@-]", "_", owner)[:256],
            FAMILY_TAG: self.family,
            WIRE_TAG: self.wire,
            EXPIRES_TAG: expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            DEPLOYMENT_TAG: self.identity,
        }
        return [{"Key": key, "Value": value} for key, value in values.items()]

    def requests(self, owner: str = "OWNER", account: str = "ACCOUNT") -> list[Request]:
        """The requests, in order.

        Args:
            owner: the ARN of the identity that deploys.
            account: the account's number.
        """
        tags, name = self.tags(owner), self.name
        archive = self.archive(account)
        uploaded = {"ModelDataUrl": archive} if archive else {}
        model = {
            "ModelName": name,
            "PrimaryContainer": {**self.container, **uploaded},
            "ExecutionRoleArn": self.role,
            "EnableNetworkIsolation": self.is_isolated,
        }
        config = {"EndpointConfigName": name, "ProductionVariants": [self._variant()]}
        endpoint = {"EndpointName": name, "EndpointConfigName": name}
        return [
            Request("create_model", model | {"Tags": tags}),
            Request("create_endpoint_config", config | {"Tags": tags}),
            Request("create_endpoint", endpoint | {"Tags": tags}),
        ]

    def _variant(self) -> dict[str, Any]:
        takes_volume = self.volume_gib and not LOCAL_DISK.match(self.instance_type)
        return {
            "VariantName": VARIANT,
            "ModelName": self.name,
            "InitialInstanceCount": 1,
            "InstanceType": self.instance_type,
            "ModelDataDownloadTimeoutInSeconds": self.download_seconds,
            "ContainerStartupHealthCheckTimeoutInSeconds": self.startup_seconds,
            **({"VolumeSizeInGB": self.volume_gib} if takes_volume else {}),
        }


def plan_deployment(request: DeploymentRequest, region: str) -> Plan:
    """Complete a request. Nothing is sent, except for a JumpStart model outside the catalogue: its public spec is read.

    Raises:
        ValueError: a field that is missing, or that does not match the model.
        EulaNotAccepted: the model has a licence to accept.
    """
    hosting = own_container(request, region) if request.model_id is None else _jumpstart_container(request, region)
    return Plan(
        name=request.name,
        region=region,
        role=request.role_arn,
        seconds=request.seconds,
        poll_seconds=request.poll_seconds,
        timeout=request.timeout,
        **hosting,
    )


def _jumpstart_container(request: DeploymentRequest, region: str) -> dict[str, Any]:
    """The fields of a plan for a JumpStart model."""
    assert request.model_id is not None
    spec = model_spec(request.model_id, region=region, instance_type=request.instance_type)
    if spec.eula is not None and not request.accept_eula:
        raise EulaNotAccepted(request.name, f"{request.model_id} has a licence that must be accepted: {spec.eula}.")
    wire = request.wire or spec.wire
    if wire is None:
        raise ValueError(f"wire: JumpStart does not state the wire of {request.model_id}; give wire, and family")
    container = spec.container(accept_eula=request.accept_eula)
    if request.environment:
        container["Environment"] = {**container.get("Environment", {}), **request.environment}
    return {
        "container": container,
        "instance_type": spec.instance_type,
        "family": request.family or spec.family,
        "wire": wire,
        "volume_gib": spec.volume_gib,
        "download_seconds": spec.download_seconds or STARTUP_SECONDS,
        "startup_seconds": spec.startup_seconds or STARTUP_SECONDS,
        "is_isolated": spec.network_isolation,
    }
