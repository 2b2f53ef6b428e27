"""The failures that an operation of the local runtime can be given, as a stock boto3 client meets them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from sagechain.local_aws import LocalRuntime, list_failures

from tests.local_aws.conftest import ARN, NOW, ROLE, TGI, Cloud, cloud_of

ERRORS = [
    ("throttled", "ListEndpoints", 400, "ThrottlingException", "Rate exceeded"),
    ("throttled", "PutObject", 503, "SlowDown", "Please reduce your request rate."),
    (
        "access-denied",
        "CreateEndpoint",
        400,
        "AccessDeniedException",
        f"User: arn:aws:iam::000000000000:user/local is not authorized to perform: sagemaker:CreateEndpoint on resource: "
        f"{ARN}:endpoint/mine because no identity-based policy allows the sagemaker:CreateEndpoint action",
    ),
    (
        "access-denied",
        "PutObject",
        403,
        "AccessDenied",
        "User: arn:aws:iam::000000000000:user/local is not authorized to perform: s3:PutObject on resource: "
        "arn:aws:s3:::models/a because no identity-based policy allows the s3:PutObject action",
    ),
    (
        "expired-token",
        "GetCallerIdentity",
        400,
        "ExpiredTokenException",
        "The security token included in the request is expired",
    ),
    ("expired-token", "PutObject", 400, "ExpiredToken", "The provided token has expired."),
    ("internal-failure", "CreateModel", 500, "InternalFailure", "The request processing has failed"),
    ("service-unavailable", "CreateModel", 503, "ServiceUnavailable", "The request has failed due to a temporary"),
    ("service-unavailable", "InvokeEndpoint", 503, "ServiceUnavailable", "The request has failed due to a temporary"),
    ("missing-role", "CreateModel", 400, "ValidationException", f"Could not assume role {ROLE}. Please ensure"),
    (
        "quota",
        "CreateEndpoint",
        400,
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.g5.2xlarge for endpoint usage' is 0 Instances, with current utilization of "
        "0 Instances and a request delta of 1 Instances.",
    ),
]
REASONS = {
    "no-capacity": "InsufficientInstanceCapacity",
    "bad-health-check": "did not pass the ping health check",
    "out-of-memory": "ran out of memory",
}
TESTED_BELOW = {"reset", "reply-lost", "stuck", "slow-create", "slow-delete"}  # tested below


def request(cloud: Cloud, operation: str) -> Callable[[], Any]:
    calls: dict[str, Callable[[], Any]] = {
        "ListEndpoints": cloud.sagemaker.list_endpoints,
        "CreateModel": lambda: cloud.sagemaker.create_model(
            ModelName="new", PrimaryContainer={"Image": TGI}, ExecutionRoleArn=ROLE
        ),
        "CreateEndpoint": lambda: cloud.create("mine"),
        "PutObject": lambda: cloud.s3.put_object(Bucket="models", Key="a", Body=b"1"),
        "GetCallerIdentity": cloud.sts.get_caller_identity,
        "InvokeEndpoint": lambda: cloud.invoking.invoke_endpoint(EndpointName="mine", Body=b"{}"),
    }
    return calls[operation]


@pytest.mark.parametrize(("failure", "operation", "status", "code", "message"), ERRORS)
def test_an_error_has_the_services_words(
    cloud: Cloud, failure: str, operation: str, status: int, code: str, message: str
) -> None:
    cloud.s3.create_bucket(Bucket="models")
    cloud.runtime.fail(operation, failure)
    with pytest.raises(ClientError) as caught:
        request(cloud, operation)()
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert response["Error"]["Code"] == code
    assert response["Error"]["Message"].startswith(message)
    assert cloud.operations()[-1] == operation


@pytest.mark.parametrize(("failure", "reason"), REASONS.items())
def test_an_endpoint_can_fail_and_be_deleted(cloud: Cloud, failure: str, reason: str) -> None:
    cloud.runtime.fail("CreateEndpoint", failure)
    cloud.create("mine", wait=False)
    assert cloud.status("mine") == "Creating"
    cloud.runtime.advance(1)
    described = cloud.sagemaker.describe_endpoint(EndpointName="mine")
    assert described["EndpointStatus"] == "Failed"
    assert reason in described["FailureReason"]
    cloud.sagemaker.delete_endpoint(EndpointName="mine")
    cloud.runtime.advance(1)
    assert cloud.sagemaker.list_endpoints()["Endpoints"] == []


def test_a_stuck_endpoint_stays_creating(cloud: Cloud) -> None:
    cloud.runtime.fail("CreateEndpoint", "stuck")
    cloud.create("mine")
    cloud.runtime.advance(86_400)
    assert cloud.status("mine") == "Creating"


def test_a_slow_creation_takes_a_thousand_times_as_long(cloud: Cloud) -> None:
    cloud.runtime.fail("CreateEndpoint", "slow-create")
    cloud.create("mine")
    cloud.runtime.advance(990)
    assert cloud.status("mine") == "Creating"
    cloud.runtime.advance(10)
    assert cloud.status("mine") == "InService"


def test_a_slow_deletion_takes_ten_times_as_long(cloud: Cloud) -> None:
    cloud.create("mine")
    cloud.runtime.fail("DeleteEndpoint", "slow-delete")
    cloud.sagemaker.delete_endpoint(EndpointName="mine")
    cloud.runtime.advance(9)
    assert cloud.status("mine") == "Deleting"
    cloud.runtime.advance(2)
    assert cloud.sagemaker.list_endpoints()["Endpoints"] == []


@pytest.mark.parametrize(("failure", "done"), [("reset", False), ("reply-lost", True)])
def test_a_connection_is_lost_before_or_after_the_operation_is_carried_out(
    cloud: Cloud, failure: str, done: bool
) -> None:
    cloud.runtime.fail("CreateModel", failure, times=1)
    with pytest.raises(ConnectionClosedError):
        request(cloud, "CreateModel")()
    assert cloud.operations() == ["CreateModel"]
    assert bool(cloud.sagemaker.list_models()["Models"]) == done


def test_a_response_can_be_lost_after_the_container_has_answered(container_requests: Any) -> None:
    cloud, count = container_requests
    cloud.runtime.fail("InvokeEndpoint", "reply-lost", times=1)
    with pytest.raises(ConnectionClosedError):
        request(cloud, "InvokeEndpoint")()
    assert count() == 1


@pytest.fixture
def container_requests() -> Iterator[Any]:
    """A runtime whose endpoint has its container elsewhere, and the number of requests that reached the container."""
    with (
        LocalRuntime({}) as behind,
        LocalRuntime({}, upstream=behind.url, clock=lambda: NOW) as runtime,
    ):
        cloud = cloud_of(runtime)
        cloud.create("mine")
        yield cloud, lambda: len(behind.requests)


def test_every_failure_is_in_these_tables() -> None:
    assert {row[0] for row in ERRORS} | set(REASONS) | TESTED_BELOW == set(list_failures())


def outcome(call: Callable[[], Any]) -> str:
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def test_failures_of_one_operation_follow_each_other_as_many_times_as_given(cloud: Cloud) -> None:
    cloud.runtime.fail("ListEndpoints", "throttled", times=2)
    cloud.runtime.fail("ListEndpoints", "internal-failure", times=1)
    list_endpoints = request(cloud, "ListEndpoints")
    assert [outcome(list_endpoints) for _ in range(4)] == [
        "ThrottlingException",
        "ThrottlingException",
        "InternalFailure",
        "done",
    ]
    cloud.runtime.fail("ListEndpoints", "throttled")
    assert outcome(list_endpoints) == outcome(list_endpoints) == "ThrottlingException"
    cloud.runtime.recover()
    assert outcome(list_endpoints) == "done"


def test_a_runtime_can_fail_from_the_start() -> None:
    with LocalRuntime(
        {}, failures=["ListEndpoints=throttled:1", "CreateModel=missing-role"], clock=lambda: NOW
    ) as runtime:
        cloud = cloud_of(runtime)
        list_endpoints = request(cloud, "ListEndpoints")
        assert [outcome(list_endpoints), outcome(list_endpoints)] == ["ThrottlingException", "done"]
        assert outcome(request(cloud, "CreateModel")) == "ValidationException"


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("CreateEndpoint=qota", "Did you mean 'quota'"),
        ("CreateEndpiont=quota", "Did you mean 'CreateEndpoint'"),
        ("DeleteModel=quota", "'quota' can happen to CreateEndpoint, not to DeleteModel"),
        ("quota", "is not OPERATION=FAILURE"),
        ("CreateEndpoint=quota:many", "is not OPERATION=FAILURE"),
        ("CreateEndpoint=quota:0", "times: 0 is below 1"),
    ],
)
def test_a_failure_that_does_not_exist_is_a_value_error(failure: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalRuntime({}, failures=[failure])
