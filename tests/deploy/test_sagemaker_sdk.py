"""The real sagemaker SDK against the local runtime: sagechain uses what the SDK deploys. Run by `make test-deploy`.

The guide's statements about the SDK are tested here too, so that a version that behaves differently is noticed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import boto3
import pytest
from sagechain.endpoints import list_endpoints
from sagechain.llms import SageMakerLLM, errors, load_chat_model, load_llm
from sagechain.local_aws import LocalRuntime
from sagemaker.core.resources import Endpoint, EndpointConfig, InferenceComponent, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant, Tag
from sagemaker.core.utils.utils import SageMakerClient

from tests.endpoints.account import FALCON, IMAGE, ROLE, aws

__all__ = ["aws"]

TAGS = {"sagechain:family": "falcon", "sagechain:wire": "tgi"}
PROMPT = "User: What is the capital of France?\nAssistant:"
GREEDY: dict[str, Any] = {"max_new_tokens": 6, "do_sample": False}

reached: set[str] = set()
"""The addresses that this process has connected to, and the names that it has looked up."""


def _watched(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        reached.add(str(arguments[0]))
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        reached.add(str(arguments[1][0]))


sys.addaudithook(_watched)


@pytest.fixture
def made_up_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests use no account and no SDK settings of this machine."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "SAGECHAIN_", "SAGEMAKER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDMADEUP")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture(autouse=True)
def runtime(aws: LocalRuntime) -> Iterator[LocalRuntime]:
    """The local runtime. The SDK caches its clients, and with them the address that they found first."""
    SageMakerClient.reset()
    yield aws
    SageMakerClient.reset()


def created(name: str = "my-falcon", *, tags: dict[str, str] = TAGS, **where: Any) -> Endpoint:
    """An endpoint in service, deployed with the SDK alone."""
    Model.create(model_name=name, primary_container=ContainerDefinition(image=IMAGE), execution_role_arn=ROLE, **where)
    variant = ProductionVariant(
        variant_name="AllTraffic", model_name=name, instance_type=FALCON["instance_type"], initial_instance_count=1
    )
    EndpointConfig.create(endpoint_config_name=name, production_variants=[variant], **where)
    given = [Tag(key=key, value=value) for key, value in tags.items()]
    endpoint = Endpoint.create(endpoint_name=name, endpoint_config_name=name, tags=given, **where)
    endpoint.wait_for_status("InService", poll=0, timeout=60)
    return endpoint


def test_an_endpoint_answers_the_same_through_sagechain_and_through_the_sdk() -> None:
    endpoint = created()
    body = json.dumps({"inputs": PROMPT, "parameters": {**GREEDY, "return_full_text": False}})
    answer = json.loads(endpoint.invoke(body=body, content_type="application/json").body.read())
    llm = load_llm(endpoint, **GREEDY)
    assert isinstance(llm, SageMakerLLM)
    assert (llm.endpoint_name, llm.family, llm.wire) == ("my-falcon", "falcon", "tgi")
    assert llm.invoke(PROMPT) == answer[0]["generated_text"] != ""
    assert "".join(llm.stream(PROMPT)) == llm.invoke(PROMPT)


def test_a_chat_model_of_an_endpoint_that_the_sdk_found() -> None:
    created()
    chats = [
        load_chat_model(endpoint, **GREEDY)
        for endpoint in (Endpoint.get("my-falcon"), next(Endpoint.get_all(name_contains="falcon")))
    ]
    first, second = (chat.invoke("What is the capital of France?").text for chat in chats)
    assert first == second != ""


def test_without_tags_family_and_wire_are_arguments() -> None:
    endpoint = created(tags={})
    with pytest.raises(ValueError, match="has no tag sagechain:family"):
        load_llm(endpoint)
    assert load_llm(endpoint, family="falcon", wire="tgi", **GREEDY).invoke(PROMPT) != ""


def test_requests_go_to_the_endpoints_own_region() -> None:
    llm = load_llm(created(region="eu-west-1"))
    assert isinstance(llm, SageMakerLLM)
    assert llm.client.meta.region_name == "eu-west-1"


def test_another_session_is_passed_as_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    other = boto3.Session("AKIDOTHER", "made-up-too", region_name="eu-west-1")
    endpoint = created(session=other)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    assert endpoint.refresh().endpoint_status == "InService"
    with pytest.raises(errors.AccessDenied):
        load_llm(endpoint, family="falcon", max_retries=0).invoke(PROMPT)
    client = other.client("sagemaker-runtime")
    assert load_llm(endpoint, family="falcon", client=client, **GREEDY).invoke(PROMPT) != ""


def test_requests_for_an_inference_component_go_to_its_endpoint() -> None:
    arn = Endpoint.get("theirs").endpoint_arn
    component = InferenceComponent(inference_component_name="c", endpoint_name="theirs", endpoint_arn=arn)
    llm = load_llm(component, family="falcon")
    assert isinstance(llm, SageMakerLLM)
    assert (llm.endpoint_name, llm.inference_component_name) == ("theirs", "c")


def test_an_endpoint_without_an_arn_is_refused_until_it_is_refreshed() -> None:
    endpoint = Endpoint(endpoint_name="theirs")
    with pytest.raises(ValueError, match=r"endpoint_arn: Unassigned\(\) of endpoint 'theirs'"):
        load_llm(endpoint, family="falcon")
    assert load_llm(endpoint.refresh(), family="falcon")
    with pytest.raises(ValueError, match="a Model is neither a URI"):
        load_llm(Model.get("somebodys"))


def test_an_endpoint_of_the_sdk_is_listed_as_not_ours_until_the_sdk_deletes_it() -> None:
    endpoint = created()
    assert [(row.name, row.ours, row.family) for row in list_endpoints()] == [
        ("theirs", False, None), ("my-falcon", False, "falcon")
    ]  # fmt: skip
    llm = load_llm(endpoint)
    endpoint.delete()
    endpoint.wait_for_delete(poll=0, timeout=60)
    with pytest.raises(errors.EndpointNotFound):
        llm.invoke(PROMPT)
    assert (Model.get("my-falcon").model_name, EndpointConfig.get("my-falcon").endpoint_config_name) == (
        "my-falcon", "my-falcon"
    )  # fmt: skip  # the SDK's delete leaves both


def test_the_sdk_caches_the_address_that_it_found_first(monkeypatch: pytest.MonkeyPatch) -> None:
    Endpoint.get("theirs")
    with LocalRuntime(models={}) as other:
        monkeypatch.setenv("AWS_ENDPOINT_URL", other.url)
        assert Endpoint.get("theirs").endpoint_name == "theirs"
        assert len(other.requests) == 0
        SageMakerClient.reset()
        with pytest.raises(Exception, match="Could not find endpoint"):
            Endpoint.get("theirs")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", ["jumpstart", "predictor", "huggingface"])
def test_version_3_has_no_jumpstart_model_and_no_predictor(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="was removed in the SageMaker Python SDK v3"):
        import_module(f"sagemaker.{name}")


def test_model_builder_cannot_be_imported_without_a_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    done = subprocess.run([sys.executable, "-c", "import sagemaker.serve"], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("botocore.exceptions.NoRegionError: You must specify a region.\n")


def test_resources_connect_to_the_endpoints_address_only() -> None:
    created().invoke(body=json.dumps({"inputs": "Hi"}), content_type="application/json")
    assert reached <= {"127.0.0.1", "localhost"}
