"""The models behind deployed endpoints: uploaded ones, stand-ins, and containers elsewhere."""

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sagechain.llms import LlamaCppLLM, load_llm
from sagechain.local_aws import LocalRuntime

from tests.llms.conftest import gpt2
from tests.local_aws.conftest import HF, NOW, Cloud, cloud_of

__all__ = ["gpt2"]

URL = "s3://models/mine/model.tar.gz"


def until(condition: Callable[[], Any]) -> Any:
    """The condition's value once it is true; another thread changes it."""
    deadline = time.monotonic() + 60
    while not (result := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert result
    return result


def settled(cloud: Cloud, name: str) -> Any:
    """An endpoint's description once its creation is over."""

    def described() -> Any:
        found = cloud.sagemaker.describe_endpoint(EndpointName=name)
        return found["EndpointStatus"] != "Creating" and found

    return until(described)


def upload(cloud: Cloud, archive: bytes, key: str = "mine/model.tar.gz") -> None:
    cloud.s3.create_bucket(Bucket="models")
    cloud.s3.put_object(Bucket="models", Key=key, Body=archive)


def packed(folder: Path) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for path in sorted(folder.iterdir()):
                tar.add(path, path.name)
        return buffer.getvalue()


def ask(cloud: Cloud, name: str, prompt: str = "def add", new: int = 5) -> Any:
    body = {"inputs": prompt, "parameters": {"max_new_tokens": new}}
    return json.loads(cloud.invoking.invoke_endpoint(EndpointName=name, Body=json.dumps(body))["Body"].read())


def test_an_uploaded_checkpoint_answers_as_the_same_model_loaded_here(cloud: Cloud, gpt2: Path) -> None:
    upload(cloud, packed(gpt2))
    cloud.create("mine", image=HF, ModelDataUrl=URL)
    assert settled(cloud, "mine")["EndpointStatus"] == "InService"
    here = load_llm(f"local:{gpt2}", do_sample=False, max_new_tokens=5).invoke("def add")
    assert ask(cloud, "mine") == [{"generated_text": "def add" + here}]
    cloud.s3.delete_object(Bucket="models", Key="mine/model.tar.gz")
    assert ask(cloud, "mine") == [{"generated_text": "def add" + here}]


def test_files_under_a_prefix_are_a_model_too(cloud: Cloud, gpt2: Path) -> None:
    cloud.s3.create_bucket(Bucket="models")
    for path in gpt2.iterdir():
        cloud.s3.upload_file(str(path), "models", f"parrot/{path.name}")
    source = {"S3Uri": "s3://models/parrot/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    cloud.create("mine", image=HF, ModelDataSource={"S3DataSource": source})
    assert settled(cloud, "mine")["EndpointStatus"] == "InService"
    assert ask(cloud, "mine")[0]["generated_text"].startswith("def add")


def test_endpoints_with_one_archive_share_its_folder_until_the_last_is_deleted(gpt2: Path, tmp_path: Path) -> None:
    with LocalRuntime({}, folder=tmp_path, clock=lambda: NOW, creating_seconds=0, deleting_seconds=0) as runtime:
        cloud = cloud_of(runtime)
        upload(cloud, packed(gpt2))
        for name in ("first", "second"):
            cloud.create(name, image=HF, ModelDataUrl=URL)
            settled(cloud, name)
        assert len(list((tmp_path / "model-data").iterdir())) == 1
        cloud.sagemaker.delete_endpoint(EndpointName="first")
        assert ask(cloud, "second")
        cloud.sagemaker.delete_endpoint(EndpointName="second")
        cloud.sagemaker.list_endpoints()
        until(lambda: not list((tmp_path / "model-data").iterdir()))


def test_an_interrupted_deployment_continues_after_a_restart(gpt2: Path, tmp_path: Path) -> None:
    with LocalRuntime({}, folder=tmp_path, clock=lambda: NOW) as runtime:
        cloud = cloud_of(runtime)
        upload(cloud, packed(gpt2))
        cloud.create("mine", image=HF, ModelDataUrl=URL)
    with LocalRuntime({}, folder=tmp_path, clock=lambda: NOW + 1) as runtime:
        cloud = cloud_of(runtime)
        assert settled(cloud, "mine")["EndpointStatus"] == "InService"
        assert ask(cloud, "mine")[0]["generated_text"].startswith("def add")


def hostile(name: str) -> bytes:
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            tar.addfile(tarfile.TarInfo(name))
        return buffer.getvalue()


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (b"no archive", "Failed to extract model data archive"),
        (hostile("model.bin")[:-20], "Failed to extract model data archive"),
        (hostile("../../escaped"), "Failed to extract model data archive"),
        (hostile("model.bin"), "did not pass the ping health check"),
        (None, f'Failed to download model data for container "container_1" from URL: "{URL}"'),
    ],
    # Named, since gzip's bytes contain the time, and processes that collect must find the same names.
    ids=["no archive", "broken", "hostile", "no model", "missing"],
)
def test_an_archive_that_is_missing_broken_or_not_a_model_makes_the_endpoint_fail(
    archive: bytes | None, reason: str, tmp_path: Path
) -> None:
    folder = tmp_path / "parent" / "runtime"
    with LocalRuntime({}, folder=folder, clock=lambda: NOW) as runtime:
        cloud = cloud_of(runtime)
        upload(cloud, archive or b"", "mine/model.tar.gz" if archive else "mine/other.tar.gz")
        cloud.create("mine", image=HF, ModelDataUrl=URL)
        failed = settled(cloud, "mine")
        assert failed["EndpointStatus"] == "Failed"
        assert reason in failed["FailureReason"]
        assert not list(tmp_path.rglob("escaped"))
        cloud.sagemaker.delete_endpoint(EndpointName="mine")


def test_a_model_whose_data_is_elsewhere_has_a_stand_in(cloud: Cloud, llm: LlamaCppLLM) -> None:
    cloud.create("falcon", ModelDataUrl="s3://jumpstart-cache-prod-us-east-1/falcon/model.tar.gz")
    assert ask(cloud, "falcon", "The capital of France is", 1) == [{"generated_text": " Paris"}]


def test_a_tag_determines_the_wire_where_the_image_does_not(cloud: Cloud, llm: LlamaCppLLM) -> None:
    cloud.create("mine", image="mine:latest", tags={"sagechain:wire": "lmi"})
    assert ask(cloud, "mine", "The capital of France is", 1) == {"generated_text": " Paris"}


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({}, ["'mine:latest'", "Create the endpoint with the tag sagechain:wire", "hf, llama2-dialog, llama2-text"]),
        ({"sagechain:wire": "tgl"}, ["The endpoint's tag sagechain:wire is wrong", "Did you mean 'tgi'"]),
    ],
)
def test_an_endpoint_with_an_unknown_wire_fails_with_advice(
    cloud: Cloud, tags: dict[str, str], words: list[str]
) -> None:
    cloud.create("mine", image="mine:latest", tags=tags)
    described = cloud.sagemaker.describe_endpoint(EndpointName="mine")
    assert described["EndpointStatus"] == "Failed"
    assert all(word in described["FailureReason"] for word in words)


@pytest.fixture
def container(llm: LlamaCppLLM) -> Iterator[str]:
    with LocalRuntime({"behind": {"model": "local:smollm2", "wire": "lmi"}}) as runtime:
        yield runtime.url


def test_an_upstream_container_answers_for_all_deployed_endpoints(container: str) -> None:
    with LocalRuntime({}, upstream=container, clock=lambda: NOW) as runtime:
        cloud = cloud_of(runtime)
        cloud.create("mine", image="mine:latest")
        assert ask(cloud, "mine", "The capital of France is", 1) == {"generated_text": " Paris"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"upstream": "localhost:1"}, "is not an http:// or https:// address"),
        ({"stand_in": "smollm2"}, "stand_in: 'smollm2' is not a model on this machine"),
        ({"creating_seconds": -1}, "creating_seconds: -1 is below 0"),
    ],
)
def test_invalid_settings_are_value_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalRuntime({}, **settings)
