"""The local runtime's control plane, used by stock boto3 clients as AWS is."""

import json
import re
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from sagechain.llms import LlamaCppLLM
from sagechain.local_aws import LocalRuntime
from sagechain.local_aws.errors import AwsError
from sagechain.local_aws.failures import operations
from sagechain.local_aws.sagemaker.validation import check, service_model

from tests.local_aws.conftest import ARN, NOW, ROLE, TGI, Cloud


def refused(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def post(cloud: Cloud, operation: str, body: bytes) -> tuple[int, Any]:
    connection = HTTPConnection(cloud.runtime.url.removeprefix("http://"))
    connection.request("POST", "/", body, {"X-Amz-Target": f"SageMaker.{operation}"})
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "application/x-amz-json-1.1"
    body = json.loads(response.read())
    connection.close()
    return response.status, body


def test_a_stock_client_deploys_invokes_and_deletes_at_one_address(
    llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LocalRuntime({}) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL", runtime.url)
        client, invoking = boto3.client("sagemaker"), boto3.client("sagemaker-runtime")
        assert boto3.client("sts").get_caller_identity()["Account"] == "000000000000"
        client.create_model(ModelName="mine", PrimaryContainer={"Image": TGI}, ExecutionRoleArn=ROLE)
        variant = {"VariantName": "AllTraffic", "ModelName": "mine", "InitialInstanceCount": 1}
        client.create_endpoint_config(
            EndpointConfigName="mine", ProductionVariants=[{**variant, "InstanceType": "ml.g5.2xlarge"}]
        )
        client.create_endpoint(EndpointName="mine", EndpointConfigName="mine")
        client.get_waiter("endpoint_in_service").wait(EndpointName="mine", WaiterConfig={"Delay": 0.05})
        body = {"inputs": "The capital of France is", "parameters": {"max_new_tokens": 1}}
        reply = invoking.invoke_endpoint(EndpointName="mine", Body=json.dumps(body))
        assert json.loads(reply["Body"].read()) == [{"generated_text": " Paris"}]
        client.delete_endpoint(EndpointName="mine")
        client.get_waiter("endpoint_deleted").wait(EndpointName="mine", WaiterConfig={"Delay": 0.05})
        client.delete_endpoint_config(EndpointConfigName="mine")
        client.delete_model(ModelName="mine")
        sent = [request.operation for request in runtime.requests if request.operation != "DescribeEndpoint"]
    assert sent == [
        "GetCallerIdentity",
        "CreateModel",
        "CreateEndpointConfig",
        "CreateEndpoint",
        "InvokeEndpoint",
        "DeleteEndpoint",
        "DeleteEndpointConfig",
        "DeleteModel",
    ]


def test_an_endpoint_is_creating_then_in_service_then_deleting_then_gone(cloud: Cloud) -> None:
    cloud.create("mine", wait=False)
    assert cloud.status("mine") == "Creating"
    assert refused(lambda: cloud.sagemaker.delete_endpoint(EndpointName="mine")) == (
        "ValidationException",
        f'Cannot update in-progress endpoint "{ARN}:endpoint/mine".',
    )
    cloud.runtime.advance(0.9)
    assert cloud.status("mine") == "Creating"
    cloud.runtime.advance(0.2)
    described = cloud.sagemaker.describe_endpoint(EndpointName="mine")
    assert described["EndpointStatus"] == "InService"
    assert (described["CreationTime"].timestamp(), described["LastModifiedTime"].timestamp()) == (NOW, NOW + 1)
    [variant] = described["ProductionVariants"]
    assert (variant["VariantName"], variant["CurrentInstanceCount"]) == ("AllTraffic", 1)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == TGI
    cloud.sagemaker.delete_endpoint(EndpointName="mine")
    cloud.runtime.advance(0.9)
    assert cloud.status("mine") == "Deleting"
    cloud.runtime.advance(0.2)
    assert refused(lambda: cloud.status("mine")) == (
        "ValidationException",
        f'Could not find endpoint "{ARN}:endpoint/mine".',
    )
    assert cloud.sagemaker.describe_endpoint_config(EndpointConfigName="mine")["EndpointConfigArn"]
    assert cloud.sagemaker.describe_model(ModelName="mine")["PrimaryContainer"] == {"Image": TGI}


def test_an_endpoint_that_is_not_in_service_is_not_found(cloud: Cloud) -> None:
    cloud.create("mine", wait=False)

    def ask() -> Any:
        return cloud.invoking.invoke_endpoint(EndpointName="mine", Body=b"{}")

    assert refused(ask) == ("ValidationError", "Endpoint mine of account 000000000000 not found.")
    cloud.runtime.advance(1)
    assert refused(ask)[0] == "ModelError"
    cloud.sagemaker.delete_endpoint(EndpointName="mine")
    assert refused(ask)[0] == "ValidationError"


def test_an_endpoint_outlives_its_configuration_and_its_model(cloud: Cloud) -> None:
    cloud.create("mine")
    cloud.sagemaker.delete_endpoint_config(EndpointConfigName="mine")
    cloud.sagemaker.delete_model(ModelName="mine")
    assert cloud.sagemaker.describe_endpoint(EndpointName="mine")["ProductionVariants"]
    assert cloud.sagemaker.list_models()["Models"] == cloud.sagemaker.list_endpoint_configs()["EndpointConfigs"] == []


VARIANT = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}


@pytest.mark.parametrize(
    ("operation", "parameters", "message"),
    [
        (
            "create_endpoint",
            {"EndpointName": "my endpoint", "EndpointConfigName": "c"},
            "1 validation error detected: Value 'my endpoint' at 'endpointName' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            "create_endpoint",
            {"EndpointName": "x" * 64, "EndpointConfigName": "-"},
            f"2 validation errors detected: Value '{'x' * 64}' at 'endpointName' failed to satisfy constraint: "
            "Member must have length less than or equal to 63; Value '-' at 'endpointConfigName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        (
            "create_endpoint_config",
            {"EndpointConfigName": "c", "ProductionVariants": [{**VARIANT, "InstanceType": "ml.g5.huge"}]},
            "1 validation error detected: Value 'ml.g5.huge' at 'productionVariants.1.member.instanceType' failed to "
            "satisfy constraint: Member must satisfy enum value set: [ml.t2.medium, ",
        ),
        (
            "create_model",
            {"ModelName": "m", "PrimaryContainer": {"Image": "x"}, "ExecutionRoleArn": "arn:aws:iam::12:role/x-is-bad"},
            "1 validation error detected: Value 'arn:aws:iam::12:role/x-is-bad' at 'executionRoleArn' failed to satisfy",
        ),
        (
            "add_tags",
            {"ResourceArn": f"{ARN}:endpoint/x", "Tags": [{"Key": "a?", "Value": "b"}]},
            "1 validation error detected: Value 'a?' at 'tags.1.member.key' failed to satisfy constraint: ",
        ),
        ("create_model", {"ModelName": "m", "ExecutionRoleArn": ROLE}, "Either PrimaryContainer or Containers"),
        (
            "create_model",
            {"ModelName": "m", "PrimaryContainer": {"Image": "x"}},
            "1 validation error detected: Value null at",
        ),
        (
            "create_endpoint_config",
            {"EndpointConfigName": "c", "ProductionVariants": [VARIANT]},
            f'Could not find model "{ARN}:model/m".',
        ),
        (
            "create_endpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            f'Could not find endpoint configuration "{ARN}:endpoint-config/c".',
        ),
        ("delete_endpoint", {"EndpointName": "e"}, f'Could not find endpoint "{ARN}:endpoint/e".'),
        ("describe_model", {"ModelName": "m"}, f'Could not find model "{ARN}:model/m".'),
        (
            "delete_endpoint_config",
            {"EndpointConfigName": "c"},
            f'Could not find endpoint configuration "{ARN}:endpoint-config/c".',
        ),
        ("list_tags", {"ResourceArn": f"{ARN}:endpoint/e"}, f'Could not find endpoint "{ARN}:endpoint/e".'),
        ("list_tags", {"ResourceArn": f"{ARN}:pipeline/e"}, "ResourceArn: the local runtime has no pipeline"),
        ("list_endpoints", {"NextToken": "made-up"}, "NextToken: 'made-up' was not given by this list"),
    ],
)
def test_invalid_requests_get_awss_errors(
    cloud: Cloud, operation: str, parameters: dict[str, Any], message: str
) -> None:
    code, text = refused(lambda: getattr(cloud.sagemaker, operation)(**parameters))
    assert code == "ValidationException"
    assert text.startswith(message)


def test_a_name_can_be_used_once(cloud: Cloud) -> None:
    cloud.create("mine")
    model = {"ModelName": "mine", "PrimaryContainer": {"Image": TGI}, "ExecutionRoleArn": ROLE}
    existing = "Cannot create already existing"
    assert refused(lambda: cloud.sagemaker.create_model(**model))[1] == f'{existing} model "{ARN}:model/mine".'
    assert refused(lambda: cloud.create_config("mine"))[1].startswith(f"{existing} endpoint configuration")
    again = {"EndpointName": "mine", "EndpointConfigName": "mine"}
    assert refused(lambda: cloud.sagemaker.create_endpoint(**again))[1].startswith(f"{existing} endpoint ")


def test_an_operation_that_the_runtime_lacks_is_named(cloud: Cloud) -> None:
    code, message = refused(
        cloud.sagemaker.list_training_jobs,
    )
    assert code == "UnknownOperationException"
    assert message.startswith("The local runtime has no ListTrainingJobs; it has AddTags, CreateEndpoint, ")


@pytest.mark.parametrize("body", [b"{broken", b"[]", b'{"EndpointName": 3}', b'{"EndpointName": ["x"]}'])
def test_a_body_of_the_wrong_kind_is_a_serialization_exception(cloud: Cloud, body: bytes) -> None:
    status, response = post(cloud, "DescribeEndpoint", body)
    assert (status, response["__type"]) == (400, "SerializationException")


def test_replies_have_the_members_that_botocore_knows(cloud: Cloud) -> None:
    cloud.create("mine", tags={"a": "b"})
    requests: dict[str, Any] = {
        "DescribeModel": {"ModelName": "mine"},
        "DescribeEndpointConfig": {"EndpointConfigName": "mine"},
        "DescribeEndpoint": {"EndpointName": "mine"},
        "ListEndpoints": {},
        "ListEndpointConfigs": {},
        "ListModels": {},
        "ListTags": {"ResourceArn": f"{ARN}:endpoint/mine"},
    }
    for operation, parameters in requests.items():
        _, response = post(cloud, operation, json.dumps(parameters).encode())
        _check_members(service_model().operation_model(operation).output_shape, response)


def _check_members(shape: Any, value: Any) -> None:
    if shape.type_name == "structure":
        assert set(shape.required_members) <= set(value) <= set(shape.members), shape.name
        for name, member in value.items():
            _check_members(shape.members[name], member)
    elif shape.type_name == "list":
        for member in value:
            _check_members(shape.member, member)
    else:
        kinds: dict[str, Any] = {"string": str, "timestamp": float, "float": float, "integer": int, "boolean": bool}
        assert isinstance(value, kinds[shape.type_name]), shape.name


def names(cloud: Cloud, **parameters: Any) -> list[str]:
    pages = cloud.sagemaker.get_paginator("list_endpoints").paginate(**parameters)
    return [endpoint["EndpointName"] for page in pages for endpoint in page["Endpoints"]]


def test_lists_are_filtered_sorted_and_returned_in_pages(cloud: Cloud) -> None:
    order = ["c", "a", "e", "b", "d"]
    for name in order:
        cloud.create(f"x-{name}")
    cloud.create("other", wait=False)
    assert names(cloud) == ["other", *(f"x-{name}" for name in reversed(order))]
    assert names(cloud, NameContains="x-", SortBy="Name", SortOrder="Ascending") == [f"x-{name}" for name in "abcde"]
    assert names(cloud, StatusEquals="Creating") == ["other"]
    assert names(cloud, SortBy="Status", SortOrder="Ascending", MaxResults=4)[0] == "other"
    third = cloud.sagemaker.describe_endpoint(EndpointName="x-e")["CreationTime"]
    assert names(cloud, CreationTimeBefore=third) == ["x-a", "x-c"]
    assert names(cloud, CreationTimeAfter=third) == ["other", "x-d", "x-b"]
    assert names(cloud, LastModifiedTimeAfter=third, NameContains="x") == ["x-d", "x-b", "x-e"]
    assert names(cloud, SortBy="Name", MaxResults=1) == [*(f"x-{name}" for name in "edcba"), "other"]
    assert names(cloud, NameContains="nothing") == []
    models = cloud.sagemaker.get_paginator("list_models").paginate(MaxResults=2, SortBy="Name", SortOrder="Ascending")
    assert [len(page["Models"]) for page in models] == [2, 2, 2]


def test_pages_continue_correctly_though_items_are_added_and_deleted(cloud: Cloud) -> None:
    for name in "abcdef":
        cloud.create(name)
    first = cloud.sagemaker.list_endpoints(SortBy="Name", SortOrder="Ascending", MaxResults=3)
    cloud.sagemaker.delete_endpoint(EndpointName="a")
    cloud.sagemaker.delete_endpoint(EndpointName="c")
    cloud.runtime.advance(1)
    cloud.create("aa")
    rest = cloud.sagemaker.list_endpoints(
        SortBy="Name", SortOrder="Ascending", MaxResults=3, NextToken=first["NextToken"]
    )
    assert [endpoint["EndpointName"] for endpoint in rest["Endpoints"]] == ["d", "e", "f"]
    assert "NextToken" not in rest


def test_endpoints_configurations_and_models_have_tags(cloud: Cloud) -> None:
    cloud.create("mine", tags={"owner": "ada", "tool": "x"})
    for kind in ("endpoint", "endpoint-config", "model"):
        arn = f"{ARN}:{kind}/mine"
        cloud.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "Ada Ü"}, {"Key": "b", "Value": ""}])
        cloud.sagemaker.delete_tags(ResourceArn=arn, TagKeys=["b", "never"])
        tags = {tag["Key"]: tag["Value"] for tag in cloud.sagemaker.list_tags(ResourceArn=arn)["Tags"]}
        assert tags == {"owner": "Ada Ü", **({"tool": "x"} if kind == "endpoint" else {})}
    arn = f"{ARN}:model/mine"
    many = [{"Key": f"k{number}", "Value": "v"} for number in range(50)]
    assert "would have 51 tags" in refused(lambda: cloud.sagemaker.add_tags(ResourceArn=arn, Tags=many))[1]
    twice = [{"Key": "k", "Value": "v"}] * 2
    assert "Duplicate tag keys" in refused(lambda: cloud.sagemaker.add_tags(ResourceArn=arn, Tags=twice))[1]


def test_preconfigured_endpoints_are_listed_without_sagechains_ownership_tag(llm: LlamaCppLLM) -> None:
    models = {
        "falcon": {"model": "local:smollm2", "family": "falcon"},
        "bare": {"model": "local:smollm2", "wire": "hf"},
    }
    with LocalRuntime(models) as runtime:
        client = boto3.client("sagemaker", endpoint_url=runtime.url)
        listed = client.list_endpoints(SortBy="Name")["Endpoints"]
        assert [(one["EndpointName"], one["EndpointStatus"]) for one in listed] == [
            ("falcon", "InService"),
            ("bare", "InService"),
        ]
        tags = [client.list_tags(ResourceArn=one["EndpointArn"])["Tags"] for one in listed]
        assert tags == [[{"Key": "sagechain:family", "Value": "falcon"}], [{"Key": "sagechain:wire", "Value": "hf"}]]
        config = client.describe_endpoint(EndpointName="bare")["EndpointConfigName"]
        [variant] = client.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        assert client.describe_model(ModelName=variant["ModelName"])["ModelName"] == "bare"
        client.delete_endpoint(EndpointName="bare")
        assert runtime.endpoints == ("falcon",)


@given(st.text(max_size=70))
def test_names_are_checked_by_the_service_model(name: str) -> None:
    fits = re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name) and len(name) <= 63
    if fits:
        assert check("DescribeEndpoint", {"EndpointName": name}) == {"EndpointName": name}
    else:
        with pytest.raises(AwsError, match="validation error"):
            check("DescribeEndpoint", {"EndpointName": name})


def test_every_operation_that_can_be_made_to_fail_is_carried_out(cloud: Cloud) -> None:
    for name, action in operations().items():
        if action == f"sagemaker:{name}" and name in service_model().operation_names:
            assert post(cloud, name, b"{}")[1].get("__type") != "UnknownOperationException"
