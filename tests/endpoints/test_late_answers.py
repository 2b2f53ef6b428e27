"""Late descriptions, and resources of others that vanish or cannot be read, end no deployment, deletion, list or reap."""

import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from sagechain.endpoints import delete, deploy, deployed, list_endpoints, reap
from sagechain.llms import errors
from sagechain.local_aws import LocalRuntime

from tests.endpoints.account import QUICK, ROLE, there
from tests.endpoints.replies import delayed, replace_replies

ALL = ["endpoint mine", "configuration mine", "model mine"]
VARIANT = {"VariantName": "one", "ModelName": "theirs-model", "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}


def not_found() -> dict[str, Any]:
    message = 'Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:endpoint/mine".'
    raise ClientError({"Error": {"Code": "ValidationException", "Message": message},
                       "ResponseMetadata": {"HTTPStatusCode": 400}}, "DescribeEndpoint")  # fmt: skip


@pytest.mark.parametrize("status", ["Failed", "InService", "OutOfService", "UpdateRollbackFailed"])
def test_a_description_of_an_earlier_state_does_not_end_a_tear_down(
    status: str, aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy("mine", **QUICK)
    earlier = boto3.client("sagemaker").describe_endpoint(EndpointName="mine") | {"EndpointStatus": status}
    replace_replies(monkeypatch, "DescribeEndpoint", delayed(4, lambda: earlier))
    assert delete("mine", poll_seconds=0.02) == ALL
    assert there() == set()


def test_an_endpoint_that_failed_is_deleted(aws: LocalRuntime) -> None:
    aws.fail("CreateEndpoint", "no-capacity")
    aws.fail("DeleteEndpoint", "slow-delete")
    with pytest.raises(errors.DeploymentFailed):
        deploy("mine", **QUICK)
    assert there() == set()


def test_an_update_that_a_description_does_not_show_is_waited_for(
    aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy("mine", **QUICK)
    remaining = iter(range(2))

    def refuse(send: Callable[[], dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
        if next(remaining, None) is None:
            return send()
        raise ClientError({"Error": {"Code": "ValidationException", "Message": 'Cannot update in-progress endpoint "a".'},
                           "ResponseMetadata": {"HTTPStatusCode": 400}}, "DeleteEndpoint")  # fmt: skip

    replace_replies(monkeypatch, "DeleteEndpoint", refuse)
    assert delete("mine", poll_seconds=0.02) == ALL


def test_an_endpoint_that_is_not_described_yet_is_waited_for(
    aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = iter([None, not_found, not_found])  # the first one is of the search for the name

    def reply(send: Callable[[], dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
        earlier = next(replies, None)
        return earlier() if earlier else send()

    replace_replies(monkeypatch, "DescribeEndpoint", reply)
    with deployed("mine", **QUICK) as endpoint:
        assert endpoint.status == "InService"
    assert there() == set()


def test_a_model_that_is_not_described_yet_is_deleted_after_a_failure(
    aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws.fail("CreateEndpointConfig", "access-denied")
    replace_replies(monkeypatch, "DescribeModel", delayed(3, not_found))
    with pytest.raises(errors.NotPermitted):
        deploy("mine", **QUICK)
    assert there() == set()


@pytest.mark.parametrize("operation", ["DescribeEndpoint", "DescribeEndpointConfig"])
def test_a_resource_of_others_that_vanishes_does_not_end_a_forced_deletion(
    operation: str, aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = boto3.client("sagemaker")
    client.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": QUICK["image"]})
    client.create_endpoint_config(EndpointConfigName="gone", ProductionVariants=[VARIANT | {"ModelName": "m"}])
    client.create_endpoint(EndpointName="gone", EndpointConfigName="gone")

    def reply(send: Callable[[], dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
        return not_found() if "gone" in parameters.values() else send()

    replace_replies(monkeypatch, operation, reply)
    assert delete("theirs", force=True, poll_seconds=0.02) == [
        "endpoint theirs", "configuration theirs-config", "model theirs-model",
    ]  # fmt: skip


def test_what_others_may_use_is_kept_when_it_cannot_be_found_out(
    aws: LocalRuntime, capsys: pytest.CaptureFixture[str]
) -> None:
    aws.fail("ListEndpointConfigs", "access-denied")
    assert delete("theirs", force=True, poll_seconds=0.02) == ["endpoint theirs"]
    assert "keeping its configuration and models, since others may use them" in capsys.readouterr().err


def test_an_endpoint_whose_configuration_is_deleted_is_deleted_by_force(aws: LocalRuntime) -> None:
    boto3.client("sagemaker").delete_endpoint_config(EndpointConfigName="theirs-config")
    assert delete("theirs", force=True, poll_seconds=0.02) == ["endpoint theirs"]


def test_a_throttled_page_is_requested_again(aws: LocalRuntime) -> None:
    aws.fail("ListEndpoints", "throttled", 4)
    assert [each.name for each in list_endpoints()] == ["theirs"]


@pytest.mark.parametrize("failing", [("ListTags", 1), ("ListModels", None), ("ListEndpointConfigs", None)])
def test_reap_deletes_what_it_can_read_and_then_names_the_rest(
    failing: tuple[str, int | None], aws: LocalRuntime
) -> None:
    deploy("mine", **QUICK, ttl="1m")
    aws.fail(failing[0], "access-denied", failing[1])
    with pytest.raises(errors.LeftBehind, match=rf"sagemaker:{failing[0]}"):
        reap(now=time.time() + 61, poll_seconds=0.02)
    aws.recover()
    assert there() == (set() if failing[0] != "ListTags" else {*ALL})


def test_a_configurations_tags_do_not_decide_over_an_endpoint_whose_tags_cannot_be_read(aws: LocalRuntime) -> None:
    boto3.client("sagemaker").delete_endpoint(EndpointName="theirs")
    deploy("mine", **QUICK, ttl="1m")
    client = boto3.client("sagemaker")
    arn = client.describe_endpoint(EndpointName="mine")["EndpointArn"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "sagechain:expires-at", "Value": "2100-01-01T00:00:00Z"}])
    for operation in ("ListTags", "ListEndpoints"):
        aws.fail(operation, "access-denied", 1)
        with pytest.raises(errors.LeftBehind):
            reap(now=time.time() + 3_600, poll_seconds=0.02)
        assert there() >= {*ALL}
    boto3.client("sagemaker").create_endpoint(EndpointName="theirs", EndpointConfigName="theirs-config")
