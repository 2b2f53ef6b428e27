"""Models by URI, and the errors for URIs that are not valid."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from sagechain.llms import LlamaCppLLM, PromptedChatModel, SageMakerLLM, errors, load_chat_model, load_llm
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON

ARN = "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/my-falcon"


@dataclass(frozen=True)
class Endpoint:
    """The attributes of the sagemaker SDK's own `Endpoint` that are used; tests/deploy has the real one."""

    endpoint_name: Any = "my-falcon"
    endpoint_arn: Any = ARN


def deploy_without_sagechain(name: str, tags: dict[str, str]) -> None:
    """Deploy an endpoint with boto3 alone."""
    client = boto3.client("sagemaker")
    role = "arn:aws:iam::000000000000:role/endpoints"
    client.create_model(ModelName=name, PrimaryContainer={"Image": "tgi-inference"}, ExecutionRoleArn=role)
    variant = {"VariantName": "one", "ModelName": name, "InstanceType": "ml.g5.xlarge", "InitialInstanceCount": 1}
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    given = [{"Key": key, "Value": value} for key, value in tags.items()]
    client.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=given)


def test_an_endpoint_uri_has_every_setting() -> None:
    llm = load_llm(
        "sagemaker:my%2Dfalcon?family=falcon&wire=tgi&region=eu-west-1&component=c&variant=v",
        temperature=0.5,
        timeout=9.0,
        max_retries=0,
        accept_eula=True,
    )
    assert isinstance(llm, SageMakerLLM)
    assert (llm.endpoint_name, llm.family, llm.wire) == ("my-falcon", "falcon", "tgi")
    assert (llm.inference_component_name, llm.variant_name) == ("c", "v")
    assert (llm.temperature, llm.timeout, llm.max_retries, llm.accept_eula) == (0.5, 9.0, 0, True)
    assert llm.client.meta.region_name == "eu-west-1"


@pytest.mark.parametrize(("family", "wire"), [("llama2", "tgi"), ("falcon", "tgi")])
def test_the_wire_follows_from_the_family(family: str, wire: str) -> None:
    llm = load_llm(f"sagemaker:{FALCON}?family={family}")
    assert isinstance(llm, SageMakerLLM)
    assert llm.wire == wire


def test_a_local_uri_names_a_file_and_its_settings(smollm2: Path) -> None:
    llm = load_llm(f"local:{smollm2}?family=chatml&context=128&slots=2", timeout=5, accept_eula=True, client=None)
    assert isinstance(llm, LlamaCppLLM)
    assert (llm.family, llm.context, llm.slots, llm.timeout, llm.capabilities.takes_roles) == (
        "chatml",
        128,
        2,
        5.0,
        False,
    )


def test_a_chat_model_takes_the_same_uris() -> None:
    chat = load_chat_model(f"sagemaker:{FALCON}?family=falcon", max_new_tokens=3)
    assert isinstance(chat, PromptedChatModel)
    assert chat.family == "falcon"


@pytest.mark.parametrize(
    ("uri", "parameters", "message"),
    [
        ("bedrock:claude", {}, "model: 'bedrock:claude' is unknown"),
        ("smollm2", {}, "Did you mean 'local:smollm2'"),
        ("sagemaker:", {}, "names no endpoint"),
        ("local:", {}, "names no file"),
        ("local:/no/such/file", {}, "the file '/no/such/file' does not exist. Embedded models: smollm2"),
        ("sagemaker:x?famly=falcon", {}, "Did you mean 'family'"),
        ("sagemaker:x?family=falcn", {}, "Did you mean 'falcon'"),
        ("sagemaker:x?family=falcon&wire=tgl", {}, "Did you mean 'tgi'"),
        ("local:x?slot=2", {}, "Did you mean 'slots'"),
        ("local:smollm2", {"temprature": 1}, "Did you mean 'temperature'"),
        ("sagemaker:x?family=falcon", {"max_token": 3}, "Did you mean 'max_tokens'"),
        ("sagemaker:x?family=falcon", {"max_tokens": 3, "max_new_tokens": 4}, "are one setting; give one of them"),
        ("sagemaker:x?family=falcon", {"family": "llama2"}, "family: 'falcon' in the URI and 'llama2' as a keyword"),
        ("sagemaker:x?family=falcon&region=eu-west-1", {"region_name": "eu-west-2"}, "region_name: 'eu-west-1' in the"),
        ("local:smollm2", {"wire": "tgi"}, "setting: 'wire' is unknown"),
    ],
)
def test_bad_input_is_a_value_error_that_names_what_is_known(
    uri: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_llm(uri, **parameters)
    with pytest.raises(ValueError, match=message):
        load_chat_model(uri, **parameters)


def test_an_endpoint_of_the_sdk_has_name_and_region_and_keywords_have_the_rest() -> None:
    llm = load_llm(
        Endpoint(),
        family="falcon",
        wire="lmi",
        component="c",
        variant="v",
        context=512,
        temperature=0.5,
        max_retries=0,
    )
    assert isinstance(llm, SageMakerLLM)
    assert (llm.endpoint_name, llm.client.meta.region_name) == ("my-falcon", "eu-west-1")
    assert (llm.family, llm.wire, llm.temperature, llm.max_retries) == ("falcon", "lmi", 0.5, 0)
    assert (llm.inference_component_name, llm.variant_name, llm.context) == ("c", "v", 512)
    chat = load_chat_model(Endpoint(), family="falcon", wire=None)
    assert isinstance(chat, PromptedChatModel)
    assert chat.family == "falcon"


def test_the_tags_of_an_endpoint_of_the_sdk_are_read_in_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalRuntime(models={}, creating_seconds=0) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL", runtime.url)
        with pytest.raises(errors.EndpointNotFound, match=re.escape(ARN)):
            load_llm(Endpoint())
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        deploy_without_sagechain("my-falcon", {"sagechain:family": "falcon", "sagechain:wire": "tgi"})
        llm = load_llm(Endpoint())
    assert isinstance(llm, SageMakerLLM)
    assert (llm.family, llm.wire, llm.client.meta.region_name) == ("falcon", "tgi", "eu-west-1")


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        (3, {}, "model: a int is neither a URI, such as 'sagemaker:ENDPOINT' or 'local:smollm2', nor an"),
        (Path("model.gguf"), {}, "model: a PosixPath is neither a URI"),
        (Endpoint(endpoint_name=""), {}, "model: a Endpoint is neither a URI"),
        (Endpoint(endpoint_arn=None), {}, r"endpoint_arn: None of endpoint 'my-falcon' .* Endpoint.get\('my-falcon'\)"),
        (Endpoint(endpoint_arn=ARN.replace("endpoint", "model")), {}, "is not the ARN of an endpoint"),
        (Endpoint(), {"famly": "falcon"}, "Did you mean 'family'"),
        (Endpoint(), {"family": "falcn"}, "Did you mean 'falcon'"),
        (
            Endpoint(),
            {"family": "falcon", "region": "us-east-1"},
            "region: 'eu-west-1' in the URI and 'us-east-1' as a",
        ),
    ],
)
def test_other_objects_than_an_endpoint_of_the_sdk_are_refused(
    model: Any, parameters: dict[str, Any], message: str
) -> None:
    for load in (load_llm, load_chat_model):
        with pytest.raises(ValueError, match=message):
            load(model, **parameters)
