"""A runtime to deploy to, with a clock that the test moves, and stock boto3 clients for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from sagechain.local_aws import LocalRuntime

TGI = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-tgi-inference:2.4.0-gpu"
HF = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:2.6.0-cpu"
ROLE = "arn:aws:iam::000000000000:role/service-role/deployer"
NOW = 1_800_000_000.0  # seconds since the epoch, by the clock of a runtime in these tests
ARN = "arn:aws:sagemaker:us-east-1:000000000000"


@dataclass(frozen=True)
class Cloud:
    """A runtime and its clients."""

    runtime: LocalRuntime
    sagemaker: Any
    invoking: Any
    s3: Any
    sts: Any

    def create(self, name: str, *, wait: bool = True, image: str = TGI, tags: Any = (), **container: Any) -> None:
        """Deploy: a model, a configuration and an endpoint of one name."""
        primary = {"Image": image, **container}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=primary, ExecutionRoleArn=ROLE)
        self.create_config(name)
        given = {"Tags": [{"Key": key, "Value": value} for key, value in dict(tags).items()]} if tags else {}
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name, **given)
        if wait:
            self.runtime.advance(1)

    def create_config(self, name: str) -> None:
        """An endpoint configuration of the model of that name."""
        variant = {"ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.g5.2xlarge"}
        self.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[{"VariantName": "AllTraffic", **variant}]
        )

    def status(self, name: str) -> str:
        """An endpoint's status."""
        return str(self.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"])

    def operations(self) -> list[str]:
        """The operations of the requests that reached the runtime."""
        return [request.operation for request in self.runtime.requests]


def cloud_of(runtime: LocalRuntime) -> Cloud:
    """The clients of a runtime; they do not repeat what fails."""
    settings = Config(retries={"total_max_attempts": 1})
    services = ("sagemaker", "sagemaker-runtime", "s3", "sts")
    clients = [_session().client(name, endpoint_url=runtime.url, config=settings) for name in services]
    return Cloud(runtime, *clients)


@cache
def _session() -> boto3.Session:
    """One for all tests: it reads the services' descriptions once."""
    return boto3.Session()


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """An empty runtime; creating an endpoint takes a second of its clock, and so does deleting one."""
    with LocalRuntime({}, clock=lambda: NOW, creating_seconds=1, deleting_seconds=1) as runtime:
        yield cloud_of(runtime)
