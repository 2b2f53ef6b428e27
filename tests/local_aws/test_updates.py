"""Updates of deployed endpoints, and what a request can aim at inside an endpoint, by a stock boto3 client."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local_aws.conftest import HF, ROLE, TGI, Cloud


def configure(cloud: Cloud, name: str, image: str, *variants: str) -> None:
    """A model and a configuration of one name."""
    cloud.sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": image}, ExecutionRoleArn=ROLE)
    common = {"ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.g5.2xlarge"}
    cloud.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{"VariantName": variant, **common} for variant in variants]
    )


def answer(cloud: Cloud, **options: Any) -> Any:
    body = json.dumps({"inputs": "Hi", "parameters": {"max_new_tokens": 1}})
    return cloud.invoking.invoke_endpoint(EndpointName="mine", Body=body, **options)


@pytest.fixture
def mine(cloud: Cloud, smollm2: Any) -> Cloud:
    configure(cloud, "mine", TGI, "blue", "green")
    cloud.sagemaker.create_endpoint(EndpointName="mine", EndpointConfigName="mine")
    cloud.runtime.advance(1)
    return cloud


def test_an_update_replaces_the_configuration_while_the_endpoint_answers(mine: Cloud) -> None:
    configure(mine, "next", HF, "only")
    arn = mine.sagemaker.update_endpoint(EndpointName="mine", EndpointConfigName="next")["EndpointArn"]
    assert arn.endswith(":endpoint/mine")
    described = mine.sagemaker.describe_endpoint(EndpointName="mine")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("Updating", "mine")
    answer(mine)
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        mine.sagemaker.update_endpoint(EndpointName="mine", EndpointConfigName="next")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        mine.sagemaker.delete_endpoint(EndpointName="mine")
    mine.runtime.advance(1)
    described = mine.sagemaker.describe_endpoint(EndpointName="mine")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "next")
    assert [variant["VariantName"] for variant in described["ProductionVariants"]] == ["only"]
    reply = answer(mine)
    assert reply["InvokedProductionVariant"] == "only"
    assert json.loads(reply["Body"].read())[0]["generated_text"].startswith(
        "Hi"
    )  # the other image puts the prompt first
    mine.sagemaker.delete_endpoint(EndpointName="mine")


def test_an_update_that_fails_leaves_the_endpoint_as_it_was(mine: Cloud) -> None:
    configure(mine, "broken", "000000000000.dkr.ecr.us-east-1.amazonaws.com/unknown:1", "only")
    mine.sagemaker.update_endpoint(EndpointName="mine", EndpointConfigName="broken")
    mine.runtime.advance(1)
    described = mine.sagemaker.describe_endpoint(EndpointName="mine")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "mine")
    assert "does not know which wire" in described["FailureReason"]
    assert answer(mine)["InvokedProductionVariant"] == "blue"


def test_weights_and_capacities_of_variants_are_updated(mine: Cloud) -> None:
    desired = [{"VariantName": "green", "DesiredWeight": 3.0, "DesiredInstanceCount": 2}]
    mine.sagemaker.update_endpoint_weights_and_capacities(EndpointName="mine", DesiredWeightsAndCapacities=desired)
    assert mine.status("mine") == "Updating"
    mine.runtime.advance(1)
    variants = mine.sagemaker.describe_endpoint(EndpointName="mine")["ProductionVariants"]
    assert [(one["VariantName"], one["CurrentWeight"], one["CurrentInstanceCount"]) for one in variants] == [
        ("blue", 1.0, 1),
        ("green", 3.0, 2),
    ]
    unknown = [{"VariantName": "red", "DesiredWeight": 1.0}]
    with pytest.raises(ClientError, match=r'"red" is/are not present within endpoint configuration "mine"'):
        mine.sagemaker.update_endpoint_weights_and_capacities(EndpointName="mine", DesiredWeightsAndCapacities=unknown)


def test_updates_need_an_endpoint_and_a_configuration(mine: Cloud) -> None:
    with pytest.raises(ClientError, match="Could not find endpoint configuration"):
        mine.sagemaker.update_endpoint(EndpointName="mine", EndpointConfigName="nothing")
    with pytest.raises(ClientError, match="Could not find endpoint "):
        mine.sagemaker.update_endpoint(EndpointName="nothing", EndpointConfigName="mine")


@pytest.mark.parametrize(
    ("operation", "target", "message"),
    [
        (
            "invoke_endpoint",
            {"TargetVariant": "red"},
            "Variant red of endpoint mine of account 000000000000 not found.",
        ),
        ("invoke_endpoint_with_response_stream", {"TargetVariant": "red"}, "Variant red of endpoint mine of account"),
        ("invoke_endpoint", {"InferenceComponentName": "part"}, "Inference Component Name header is not allowed"),
        ("invoke_endpoint_with_response_stream", {"InferenceComponentName": "part"}, "header is not allowed for endp"),
        ("invoke_endpoint", {"TargetModel": "a.tar.gz"}, "mine is not a multi-model endpoint and does not support"),
    ],
)
def test_what_an_endpoint_does_not_have_is_refused(
    mine: Cloud, operation: str, target: dict[str, str], message: str
) -> None:
    with pytest.raises(ClientError, match=message) as caught:
        getattr(mine.invoking, operation)(EndpointName="mine", Body=b"{}", **target)
    response = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationError", 400)


def test_a_variant_that_exists_answers(mine: Cloud) -> None:
    assert answer(mine, TargetVariant="green")["InvokedProductionVariant"] == "green"
    assert answer(mine)["InvokedProductionVariant"] == "blue"


def test_a_multi_model_endpoint_has_the_models_of_its_prefix(cloud: Cloud) -> None:
    cloud.s3.create_bucket(Bucket="models")
    cloud.create("mine", wait=False, ModelDataUrl="s3://models/all/", Mode="MultiModel")
    cloud.runtime.advance(1)
    if cloud.status("mine") == "InService":
        with pytest.raises(ClientError, match="Failed to download model data"):
            answer(cloud, TargetModel="absent.tar.gz")


def test_every_reply_has_a_request_id(mine: Cloud) -> None:
    replies = [answer(mine), mine.sagemaker.list_models(), mine.s3.list_buckets(), mine.sts.get_caller_identity()]
    ids = [reply["ResponseMetadata"]["RequestId"] for reply in replies]
    refused: list[Callable[[], Any]] = [
        lambda: answer(mine, TargetVariant="red"),
        lambda: mine.sagemaker.describe_model(ModelName="nothing"),
        lambda: mine.s3.get_object(Bucket="nothing", Key="a"),
        mine.sts.get_session_token,
    ]
    for refuse in refused:
        with pytest.raises(ClientError) as caught:
            refuse()
        ids.append(caught.value.response["ResponseMetadata"]["RequestId"])
    assert len(set(ids)) == len(ids) == 8
    with pytest.raises(ClientError) as caught:
        mine.s3.get_object(Bucket="nothing", Key="a")
    assert caught.value.response["ResponseMetadata"]["HostId"]
