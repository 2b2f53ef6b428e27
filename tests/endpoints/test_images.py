"""Container images: the address in each region, and the wire of an image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.endpoints.jumpstart.images import container_image, framework_image, wire_of_image

DLC = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


@pytest.mark.parametrize(
    ("container", "gpu", "repository"),
    [
        ("hf", True, "huggingface-pytorch-inference"),
        ("hf", False, "huggingface-pytorch-inference"),
        ("lmi", True, "djl-inference"),
        ("tgi", True, "huggingface-pytorch-tgi-inference"),
    ],
)
def test_an_image_has_the_wire_of_its_container(container: str, gpu: bool, repository: str) -> None:
    image = container_image(container, region="us-east-1", gpu=gpu)
    assert image.startswith(f"{DLC}/{repository}:")
    assert wire_of_image(image) == container
    assert ("-cpu-" in image) is (not gpu)


@pytest.mark.parametrize(
    ("region", "registry"),
    [
        ("eu-west-1", "763104351884.dkr.ecr.eu-west-1.amazonaws.com"),
        ("cn-north-1", "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("af-south-1", "626614931356.dkr.ecr.af-south-1.amazonaws.com"),
    ],
)
def test_each_region_has_its_own_registry(region: str, registry: str) -> None:
    assert container_image("hf", region=region, gpu=True).split("/")[0] == registry


@pytest.mark.parametrize(
    ("container", "region", "gpu", "words"),
    [
        ("tgj", "us-east-1", True, r"container: 'tgj' is unknown. Did you mean 'tgi'\?"),
        ("hf", "us-east-11", True, r"region: 'us-east-11' is unknown. Did you mean 'us-east-1'\?"),
        ("lmi", "us-east-1", False, "container: 'lmi' needs a GPU; use 'hf'"),
    ],
)
def test_a_container_without_an_image_is_refused(container: str, region: str, gpu: bool, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        container_image(container, region=region, gpu=gpu)


@pytest.mark.parametrize(
    ("image", "environment", "wire"),
    [
        (f"{DLC}/huggingface-pytorch-tgi-inference:2.4.0-tgi2.4.0-gpu-py311", {}, "tgi"),
        (f"{DLC}/huggingface-pytorch-tgi-inference:2.4.0", {"MESSAGES_API_ENABLED": "true"}, "messages"),
        (f"{DLC}/djl-inference@sha256:0123", {"MESSAGES_API_ENABLED": "True"}, "messages"),
        (f"{DLC}/djl-inference:0.38.0-lmi29.0.0-cu130", {"MESSAGES_API_ENABLED": "false"}, "lmi"),
        (f"{DLC}/huggingface-pytorch-inference-neuronx:2.1", {"MESSAGES_API_ENABLED": "true"}, "hf"),
        ("localhost:5000/mine/djl-inference:1", {}, "lmi"),
        ("ghcr.io/huggingface/text-generation-inference:3.3.4", {}, "tgi"),
        (f"{DLC}/vllm:0.30.0-gpu-py312", {}, "messages"),
        (f"{DLC}/pytorch-inference:2.6.0", {}, None),
        ("", {}, None),
    ],
)
def test_the_wire_of_an_image(image: str, environment: dict[str, str], wire: str | None) -> None:
    assert wire_of_image(image, environment) == wire


@given(st.text())
def test_any_image_name_has_a_known_wire_or_none(image: str) -> None:
    assert wire_of_image(image) in {"tgi", "lmi", "hf", "messages", None}


def test_an_image_by_framework_and_version() -> None:
    tgi = {"framework": "huggingface-llm", "framework_version": "0.9.3", "py_version": "py39"}
    assert framework_image(tgi, region="us-east-1", gpu=True) == (
        f"{DLC}/huggingface-pytorch-tgi-inference:2.0.1-tgi0.9.3-gpu-py39-cu118-ubuntu20.04"
    )
    pipeline = {
        "framework": "huggingface",
        "framework_version": "1.10.2",
        "huggingface_transformers_version": "4.17.0",
    }
    assert framework_image(pipeline, region="us-east-1", gpu=False) == (
        f"{DLC}/huggingface-pytorch-inference:1.10.2-transformers4.17.0-cpu-py38-ubuntu20.04"
    )
    assert framework_image({"framework": "mxnet", "framework_version": "1"}, region="us-east-1", gpu=True) is None
