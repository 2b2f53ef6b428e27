"""Requests to services that the local runtime does not have, as stock boto3 clients send them in each protocol."""

from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.local_aws.conftest import Cloud


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        ("iam", "list_roles", {}, "InvalidAction"),
        ("ec2", "describe_instances", {}, "InvalidAction"),
        ("autoscaling", "describe_auto_scaling_groups", {}, "InvalidAction"),
        ("ecr", "describe_repositories", {}, "UnknownOperationException"),
        ("logs", "describe_log_groups", {}, "UnknownOperationException"),
        ("cloudwatch", "list_metrics", {}, "UnknownOperationException"),
        ("resourcegroupstaggingapi", "get_resources", {}, "UnknownOperationException"),
        ("application-autoscaling", "describe_scalable_targets", {"ServiceNamespace": "sagemaker"}, "Unknown"),
        ("service-quotas", "list_services", {}, "UnknownOperationException"),
        ("pricing", "describe_services", {}, "UnknownOperationException"),
        ("dynamodb", "list_tables", {}, "UnknownOperationException"),
        ("bedrock-runtime", "invoke_model", {"modelId": "m", "body": b"{}"}, "UnknownOperationException"),
        ("scheduler", "list_schedules", {}, "UnknownOperationException"),
        ("lambda", "list_functions", {}, "UnknownOperationException"),
        ("route53", "list_hosted_zones", {}, "UnknownOperationException"),
        ("cloudfront", "list_distributions", {}, "UnknownOperationException"),
        ("sagemaker-featurestore-runtime", "get_record", None, "UnknownOperationException"),
    ],
)
def test_a_service_that_is_absent_is_named_in_its_protocol(
    cloud: Cloud, service: str, operation: str, parameters: dict[str, Any] | None, code: str
) -> None:
    if parameters is None:
        parameters = {"FeatureGroupName": "f", "RecordIdentifierValueAsString": "1"}
    settings = Config(retries={"total_max_attempts": 1})
    client = boto3.client(service, endpoint_url=cloud.runtime.url, config=settings)
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**parameters)
    error = caught.value.response["Error"]
    assert error["Code"].startswith(code)
    signed_for = client.meta.service_model.signing_name
    assert f" of {signed_for}; it has SageMaker, its runtime, S3 and STS." in error["Message"]
