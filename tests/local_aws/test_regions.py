"""Regions of the local runtime: what is deployed belongs to one, what exists from the start to every one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime

from tests.local_aws.conftest import ROLE, TGI


def client(runtime: LocalRuntime, region: str, service: str = "sagemaker") -> Any:
    settings = Config(retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=runtime.url, region_name=region, config=settings)


def deploy(runtime: LocalRuntime, region: str, name: str) -> None:
    sagemaker = client(runtime, region)
    sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": TGI}, ExecutionRoleArn=ROLE)
    variant = {"VariantName": region, "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.g5.xlarge"}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    runtime.advance(60)


def names(runtime: LocalRuntime, region: str) -> set[str]:
    return {one["EndpointName"] for one in client(runtime, region).list_endpoints()["Endpoints"]}


@pytest.fixture
def runtime() -> Iterator[LocalRuntime]:
    models = {"given": {"model": ScriptedLLM(["Paris."] * 9, family="falcon"), "family": "falcon"}}
    with LocalRuntime(models) as running:
        yield running


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "ap-southeast-4"])
def test_an_endpoint_given_at_the_start_answers_in_every_region(runtime: LocalRuntime, region: str) -> None:
    invoking = client(runtime, region, "sagemaker-runtime")
    reply = invoking.invoke_endpoint(EndpointName="given", Body=b'{"inputs": "Hi"}')
    assert reply["Body"].read() == b'[{"generated_text": "Paris."}]'
    sagemaker = client(runtime, region)
    arn = sagemaker.describe_endpoint(EndpointName="given")["EndpointArn"]
    assert arn == f"arn:aws:sagemaker:{region}:000000000000:endpoint/given"
    assert {"Key": "sagechain:family", "Value": "falcon"} in sagemaker.list_tags(ResourceArn=arn)["Tags"]
    assert names(runtime, region) == {"given"}
    with pytest.raises(ClientError, match="Cannot create already existing"):
        deploy(runtime, region, "given")


def test_a_deployed_endpoint_answers_in_its_region_only(runtime: LocalRuntime) -> None:
    deploy(runtime, "eu-west-1", "mine")
    assert names(runtime, "eu-west-1") == {"given", "mine"}
    assert names(runtime, "us-east-1") == {"given"}
    invoking = client(runtime, "us-east-1", "sagemaker-runtime")
    with pytest.raises(ClientError, match="Endpoint mine of account 000000000000 not found"):
        invoking.invoke_endpoint(EndpointName="mine", Body=b"{}")
    for call in ("describe_endpoint", "delete_endpoint"):
        with pytest.raises(ClientError, match="Could not find endpoint"):
            getattr(client(runtime, "us-east-1"), call)(EndpointName="mine")
    with pytest.raises(ClientError, match="Could not find model"):
        client(runtime, "us-east-1").describe_model(ModelName="mine")


def test_one_name_in_two_regions_is_two_endpoints_also_after_a_restart(tmp_path: Path) -> None:
    with LocalRuntime({}, folder=tmp_path) as runtime:
        deploy(runtime, "eu-west-1", "mine")
        deploy(runtime, "us-west-2", "mine")
        client(runtime, "eu-west-1").delete_model(ModelName="mine")
    with LocalRuntime({}, folder=tmp_path) as runtime:
        runtime.advance(60)
        for region in ("eu-west-1", "us-west-2"):
            sagemaker = client(runtime, region)
            # The container is created in the background; the runtime's clock does not wait for it.
            sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="mine", WaiterConfig={"Delay": 0.05})
            found = sagemaker.describe_endpoint(EndpointName="mine")
            assert found["EndpointArn"].split(":")[3] == region
            assert [variant["VariantName"] for variant in found["ProductionVariants"]] == [region]
        assert client(runtime, "eu-west-1").list_models()["Models"] == []
        assert len(client(runtime, "us-west-2").list_models()["Models"]) == 1
        client(runtime, "eu-west-1").delete_endpoint(EndpointName="mine")
        runtime.advance(60)
        assert (names(runtime, "eu-west-1"), names(runtime, "us-west-2")) == (set(), {"mine"})


@pytest.mark.parametrize("region", ["..", "a" * 40, "EU", "", "eu.west"])
def test_a_region_that_is_none_is_refused(runtime: LocalRuntime, region: str) -> None:
    scope = f"AWS4-HMAC-SHA256 Credential=x/20260101/{region}/sagemaker/aws4_request, Signature=0"
    headers = {"Authorization": scope, "X-Amz-Target": "SageMaker.ListModels"}
    assert httpx.post(runtime.url, content=b"{}", headers=headers).status_code in (400, 403)
