"""A role that lacks one permission leaves nothing: it is refused before anything is created, or what it made is deleted."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from sagechain.endpoints import delete, deploy, deployed, list_endpoints
from sagechain.llms import errors
from sagechain.local_aws import LocalRuntime

from tests.endpoints.account import QUICK, changes, there
from tests.endpoints.checkpoints import checkpoint, keys
from tests.endpoints.replies import replace_replies

__all__ = ["checkpoint"]

OPERATIONS = (
    "GetCallerIdentity", "DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel", "DeleteEndpoint",
    "DeleteEndpointConfig", "DeleteModel", "ListTags", "ListModels", "CreateModel", "CreateEndpointConfig",
    "CreateEndpoint", "HeadBucket", "CreateBucket", "PutObject", "HeadObject", "DeleteObject", "ListMultipartUploads",
    "AbortMultipartUpload",
)  # fmt: skip
NEEDED_LATER = {
    "DescribeEndpoint", "DescribeEndpointConfig", "DescribeModel", "DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel",
    "ListTags", "ListModels", "HeadObject", "DeleteObject", "ListMultipartUploads", "AbortMultipartUpload",
}  # fmt: skip


def options(checkpoint: Path) -> dict[str, Any]:
    return {"model_data": checkpoint, "family": "plain", "poll_seconds": 0.02}


def test_the_list_of_operations_is_complete(aws: LocalRuntime, checkpoint: Path) -> None:
    before = len(aws.requests)
    deploy("mine", **options(checkpoint))
    delete("mine", poll_seconds=0.02)
    assert {request.operation for request in list(aws.requests)[before:]} == set(OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_deploying_without_one_permission_creates_nothing_that_stays(
    operation: str, aws: LocalRuntime, checkpoint: Path
) -> None:
    before = changes(aws)
    aws.fail(operation, "access-denied")
    with pytest.raises(errors.AccessDenied):
        deploy("mine", **options(checkpoint))
    aws.recover()
    assert there() == set()
    assert keys() == []
    if operation in NEEDED_LATER:
        created = [each for each in changes(aws)[len(before) :] if not each.startswith(("Delete", "Abort"))]
        assert created == []


@pytest.mark.parametrize("operation", ["ListTags", "HeadObject"])
def test_a_block_undoes_what_it_created_without_reading_tags_or_objects(
    operation: str, aws: LocalRuntime, checkpoint: Path
) -> None:
    aws.fail(operation, "access-denied")
    with deployed("mine", **options(checkpoint)):
        assert there() == {"endpoint mine", "configuration mine", "model mine"}
        assert len(keys()) == 1
    assert there() == set()
    assert keys() == []


def test_a_failed_deployment_is_undone_without_reading_tags(aws: LocalRuntime) -> None:
    aws.fail("ListTags", "access-denied")
    aws.fail("CreateEndpoint", "no-capacity")
    with pytest.raises(errors.DeploymentFailed), deployed("mine", **QUICK):
        pass
    assert there() == set()


def test_an_endpoint_whose_response_was_lost_is_deleted_without_reading_tags(
    aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(send: Callable[[], dict[str, Any]], parameters: dict[str, Any]) -> dict[str, Any]:
        send()
        raise ReadTimeoutError(endpoint_url=aws.url)

    aws.fail("ListTags", "access-denied")
    replace_replies(monkeypatch, "CreateEndpoint", lost)
    with pytest.raises(errors.TimedOut), deployed("mine", **QUICK):
        pass
    assert there() == set()


def test_the_process_that_deployed_deletes_without_reading_tags(aws: LocalRuntime) -> None:
    deploy("mine", **QUICK)
    aws.fail("ListTags", "access-denied")
    assert delete("mine", poll_seconds=0.02) == ["endpoint mine", "configuration mine", "model mine"]
    with pytest.raises(errors.NotPermitted):
        delete("theirs", poll_seconds=0.02)


def test_an_endpoint_of_another_owner_under_the_name_is_not_the_processs_own(aws: LocalRuntime) -> None:
    deploy("mine", **QUICK)
    client = boto3.client("sagemaker")
    client.delete_endpoint(EndpointName="mine")
    client.get_waiter("endpoint_deleted").wait(EndpointName="mine", WaiterConfig={"Delay": 0.02, "MaxAttempts": 3_000})
    client.create_endpoint(EndpointName="mine", EndpointConfigName="theirs-config")
    aws.fail("ListTags", "access-denied")
    with pytest.raises(errors.NotPermitted):
        delete("mine", poll_seconds=0.02)
    aws.recover()
    assert "endpoint mine" in there()


def test_by_force_an_endpoint_is_deleted_without_reading_tags(aws: LocalRuntime) -> None:
    aws.fail("ListTags", "access-denied")
    assert delete("theirs", force=True, poll_seconds=0.02) == [
        "endpoint theirs", "configuration theirs-config", "model theirs-model",
    ]  # fmt: skip


def test_the_missing_permission_is_named(aws: LocalRuntime) -> None:
    aws.fail("DeleteEndpoint", "access-denied")
    with pytest.raises(
        errors.NotPermitted, match=r"On names that start with mine, sagemaker:DeleteEndpoint is needed later\. Noth"
    ):
        deploy("mine", **QUICK)


@pytest.mark.parametrize("operation", ["DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel", "ListTags"])
def test_a_refusal_in_other_words_is_one_too(
    operation: str, aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(send: object, parameters: object) -> dict[str, Any]:
        details = {"Error": {"Code": "AccessDeniedException", "Message": "Denied by your organisation."}}
        raise ClientError(details | {"ResponseMetadata": {"HTTPStatusCode": 400}}, operation)

    replace_replies(monkeypatch, operation, refused)
    before = changes(aws)
    with pytest.raises(errors.AccessDenied):
        deploy("mine", **QUICK)
    assert not any(each.startswith("Create") for each in changes(aws)[len(before) :])


def test_a_name_that_is_taken_is_found_before_anything_is_uploaded(aws: LocalRuntime, checkpoint: Path) -> None:
    with pytest.raises(errors.NameTaken, match=r"theirs: the endpoint theirs exists\. Nothing was created\."):
        deploy("theirs", **options(checkpoint))
    assert keys() == []


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        ("ListTags", "its tags cannot be read: .*sagemaker:ListTags"),
        ("DescribeEndpoint", "it cannot be described: .*sagemaker:DescribeEndpoint"),
        ("DescribeEndpointConfig", "its configuration cannot be read: .*sagemaker:DescribeEndpointConfig"),
    ],
)
def test_a_row_that_cannot_be_read_says_so_and_the_others_are_listed(
    operation: str, problem: str, aws: LocalRuntime
) -> None:
    deploy("mine", **QUICK)
    aws.fail(operation, "access-denied", 1)
    theirs, mine = list_endpoints()
    assert (theirs.name, theirs.status, mine.name, mine.ours, mine.problems) == (
        "theirs",
        "InService",
        "mine",
        True,
        (),
    )
    assert len(theirs.problems) == 1
    assert re.search(problem, theirs.problems[0])
    assert theirs.ours is (None if operation == "ListTags" else False)
    assert (theirs.cost_so_far is None) == (operation != "ListTags")
