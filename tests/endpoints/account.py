"""A runtime to deploy to, with an endpoint of another owner in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from sagechain.local_aws import LocalRuntime

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-tgi-inference:2.4.0-tgi2.3.1-gpu"
ROLE = "arn:aws:iam::000000000000:role/endpoints"
FALCON: dict[str, Any] = {"image": IMAGE, "instance_type": "ml.g5.2xlarge", "family": "falcon"}
QUICK: dict[str, Any] = FALCON | {"poll_seconds": 0.02}
LONGER_THAN_CREATING = 1_000  # seconds, of the runtime's clock: even an endpoint that is created slowly is ready then
FOREIGN = {"endpoint theirs", "configuration theirs-config", "model theirs-model", "model somebodys"}


@pytest.fixture
def aws(made_up_credentials: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRuntime]:
    """SageMaker on this machine with an endpoint of another owner; boto3 and sagechain find it by the environment."""
    with LocalRuntime(models={}, creating_seconds=0.1, deleting_seconds=0.05) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL", runtime.url)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
        monkeypatch.setenv("SAGECHAIN_ROLE", ROLE)
        monkeypatch.setenv("SAGECHAIN_STATE", str(tmp_path / "state"))
        client = boto3.client("sagemaker")
        for model in ("theirs-model", "somebodys"):
            client.create_model(ModelName=model, PrimaryContainer={"Image": IMAGE}, ExecutionRoleArn=ROLE)
        variant = {"VariantName": "one", "ModelName": "theirs-model", "InstanceType": "ml.g5.xlarge"}
        client.create_endpoint_config(
            EndpointConfigName="theirs-config", ProductionVariants=[variant | {"InitialInstanceCount": 2}]
        )
        client.create_endpoint(EndpointName="theirs", EndpointConfigName="theirs-config")
        client.get_waiter("endpoint_in_service").wait(
            EndpointName="theirs", WaiterConfig={"Delay": 0.02, "MaxAttempts": 3_000}
        )
        yield runtime


def there(only_ours: bool = True) -> set[str]:
    """Every existing endpoint, configuration and model, listed by a stock client."""
    client = boto3.client("sagemaker")
    found = {f"endpoint {row['EndpointName']}" for row in client.list_endpoints()["Endpoints"]}
    found |= {f"configuration {row['EndpointConfigName']}" for row in client.list_endpoint_configs()["EndpointConfigs"]}
    found |= {f"model {row['ModelName']}" for row in client.list_models()["Models"]}
    return found - FOREIGN if only_ours else found


def changes(runtime: LocalRuntime) -> list[str]:
    """The operations that change something."""
    reading = ("Describe", "List", "GetCaller", "Head", "GetObject")
    return [request.operation for request in runtime.requests if not request.operation.startswith(reading)]
