"""Where credentials, region and names of an endpoint come from, and which are refused before any request."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from sagechain.endpoints import delete, list_endpoints
from sagechain.llms import PromptedChatModel, SageMakerLLM, load_chat_model, load_llm
from sagechain.local_aws import LocalRuntime

ARN = "arn:aws:sagemaker:us-west-2:123456789012:endpoint/my-ep"


def endpoint(uri: str, **parameters: Any) -> SageMakerLLM:
    llm = load_llm(uri, **parameters)
    assert isinstance(llm, SageMakerLLM)
    return llm


def keys_and_region(llm: SageMakerLLM) -> tuple[str, str]:
    return llm.client._request_signer._credentials.access_key, llm.client.meta.region_name


@pytest.fixture
def default_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    boto3.setup_default_session(aws_access_key_id="mine", aws_secret_access_key="s", region_name="eu-west-3")


@pytest.mark.usefixtures("default_session")
def test_boto3s_default_session_gives_keys_and_region() -> None:
    assert keys_and_region(endpoint("sagemaker:ep?family=falcon")) == ("mine", "eu-west-3")
    assert keys_and_region(endpoint("sagemaker:ep?family=falcon&region=us-east-2")) == ("mine", "us-east-2")
    given = {"aws_access_key_id": "given", "aws_secret_access_key": "s"}
    assert keys_and_region(endpoint("sagemaker:ep?family=falcon", **given)) == ("given", "eu-west-3")


@pytest.mark.usefixtures("default_session")
def test_boto3s_default_session_is_that_of_endpoints_and_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalRuntime({"ep": {"model": "local:smollm2", "family": "falcon"}}, access_key="mine") as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL", runtime.url)
        assert [each.name for each in list_endpoints()] == ["ep"]
        assert endpoint("sagemaker:ep").family == "falcon"


@pytest.mark.usefixtures("default_session")
def test_models_are_made_from_the_default_session_in_many_threads() -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(endpoint, ["sagemaker:ep?family=falcon"] * 16))
    assert {keys_and_region(llm) for llm in made} == {("mine", "eu-west-3")}


def test_aws_region_counts_where_boto3_finds_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert endpoint("sagemaker:ep?family=falcon").client.meta.region_name == "us-east-1"
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert endpoint("sagemaker:ep?family=falcon").client.meta.region_name == "eu-west-1"
    monkeypatch.delenv("AWS_REGION")
    for load in (lambda: load_llm("sagemaker:ep?family=falcon"), lambda: load_llm("sagemaker:ep"), list_endpoints):
        with pytest.raises(ValueError, match="AWS_DEFAULT_REGION or AWS_REGION"):
            load()


@pytest.mark.parametrize(
    ("arn", "region"),
    [
        (ARN, "us-west-2"),
        (ARN.replace("us-west-2", "eu-central-1"), "eu-central-1"),
        ("arn:aws-cn:sagemaker:cn-north-1:123456789012:endpoint/my-ep", "cn-north-1"),
        ("arn:aws-us-gov:sagemaker:us-gov-west-1:123456789012:endpoint/my-ep", "us-gov-west-1"),
    ],
)
def test_an_arn_gives_name_and_region(arn: str, region: str) -> None:
    for llm in (
        endpoint(f"sagemaker:{arn}?family=falcon"),
        endpoint(f"sagemaker:{arn}?family=falcon&region={region}"),
        SageMakerLLM(endpoint_name=arn, family="falcon"),
    ):
        assert (llm.endpoint_name, llm.client.meta.region_name) == ("my-ep", region)


@pytest.mark.parametrize(
    ("uri", "parameters", "message"),
    [
        (f"sagemaker:{ARN}?family=falcon&region=eu-west-1", {}, "'us-west-2' of the ARN and 'eu-west-1' of region_name"),
        (f"sagemaker:{ARN}?family=falcon", {"region_name": "eu-west-1"}, "'us-west-2' of the ARN and 'eu-west-1'"),
        ("sagemaker:ep?family=falcon&region=eu-west-1", {"client": "client"}, "region_name and 'us-east-1' of the client"),
        (f"sagemaker:{ARN}?family=falcon", {"client": "client"}, "'us-west-2' of the ARN and 'us-east-1' of the client"),
        (f"sagemaker:{ARN.replace('endpoint', 'model')}", {}, "is not the ARN of an endpoint"),
        ("sagemaker:arn:aws:s3:::bucket", {}, "is not the ARN of an endpoint"),
        (f"sagemaker:{ARN}/variant", {}, "is not the ARN of an endpoint"),
        (f"sagemaker:{ARN}_x", {}, "endpoint_name: 'my-ep_x' is not a name"),
    ],
)  # fmt: skip
def test_an_arn_or_region_that_contradicts_is_refused(uri: str, parameters: dict[str, Any], message: str) -> None:
    if "client" in parameters:
        parameters = {"client": boto3.client("sagemaker-runtime")}
    for load in (load_llm, load_chat_model):
        with pytest.raises(ValueError, match=message):
            load(uri, **parameters)


WRONG = (
    " ep",
    "ep ",
    "//ep",
    "ep/",
    "my_ep",
    "-ep",
    "ep-",
    "a" * 64,
    "a" * 32 + "-" * 32,
    "é",
    "e p",
    "ep\n",
    "ep%2Fx",
    "",
)


@pytest.mark.parametrize("name", WRONG)
def test_a_name_that_sagemaker_cannot_have_is_refused_before_any_request(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not a name|names no endpoint"):
        load_llm(f"sagemaker:{name}?family=falcon")
    with pytest.raises(ValueError, match=r"endpoint_name: .* is not a name"):
        SageMakerLLM(endpoint_name=name)
    for field in ("inference_component_name", "variant_name"):
        given: dict[str, Any] = {field: name}
        with pytest.raises(ValueError, match=f"{field}: .* is not a name"):
            SageMakerLLM(endpoint_name="ep", family="falcon", **given)
    with pytest.raises(ValueError, match=r"name: .* is not a name"):
        delete(name)


@pytest.mark.parametrize("name", ["e", "A", "my-ep", "a--b", "9", "a" * 63])
def test_a_name_that_sagemaker_can_have_is_accepted(name: str) -> None:
    assert endpoint(f"sagemaker:{name}?family=falcon&component={name}&variant={name}").endpoint_name == name


def test_the_words_of_the_constructor_are_good_in_load_too() -> None:
    words: dict[str, Any] = {"region_name": "eu-west-1", "inference_component_name": "c", "variant_name": "v"}
    for llm in (
        endpoint("sagemaker:ep?family=falcon", **words),
        endpoint("sagemaker:ep?family=falcon", region="eu-west-1", component="c", variant="v"),
        SageMakerLLM(endpoint_name="ep", family="falcon", **words),
    ):
        assert llm.client.meta.region_name == "eu-west-1"
        assert (llm.inference_component_name, llm.variant_name) == ("c", "v")
    assert isinstance(load_chat_model("sagemaker:ep?family=falcon", **words), PromptedChatModel)


def test_a_profile_that_does_not_exist_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"boto3 cannot use its settings: .*nowhere"):
        load_llm("sagemaker:ep?family=falcon", credentials_profile_name="nowhere")
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    for load in (lambda: load_llm("sagemaker:ep?family=falcon"), lambda: load_llm("sagemaker:ep"), list_endpoints):
        with pytest.raises(ValueError, match=r"boto3 cannot use its settings: .*nowhere"):
            load()


def test_a_profile_gives_keys_and_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").write_text(
        "[profile work]\nregion = eu-north-1\naws_access_key_id = theirs\naws_secret_access_key = s\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    llm = endpoint("sagemaker:ep?family=falcon", credentials_profile_name="work")
    assert keys_and_region(llm) == ("theirs", "eu-north-1")


@pytest.mark.parametrize("name", ["AWS_RETRY_MODE", "AWS_DEFAULT_REGION"])
def test_a_setting_of_boto3_that_is_not_valid_is_a_value_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "not valid")
    for load in (lambda: load_llm("sagemaker:ep?family=falcon"), list_endpoints):
        with pytest.raises(ValueError, match=r"boto3 cannot use its settings: .*not valid"):
            load()
