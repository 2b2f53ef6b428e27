"""JumpStart's spec files, read by an unchanged boto3 from a bucket on this machine (`jumpstart_bucket.py`)."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.validate import ParamValidator
from sagechain.endpoints import CatalogueEntry, catalogue
from sagechain.endpoints.jumpstart.models import load_data
from sagechain.endpoints.jumpstart.spec_files import instance_types, trimmed
from sagechain.endpoints.jumpstart.specs import jumpstart_spec, model_spec, resolved
from sagechain.llms import errors

from tests.endpoints.jumpstart_bucket import (
    BUCKET,
    DLC,
    EULA_KEY,
    FALCON,
    FROM_SCRIPT,
    LLAMA,
    LMI,
    PACKAGE,
    REGION,
    SPECS,
    TGI,
    contents,
    falcon,
    served,
)

NOBODY = "http://127.0.0.1:1"
# Fields of a spec file that are not used.
UNREAD = {
    "url": "https://huggingface.co/example",
    "min_sdk_version": "2.189.0",
    "training_supported": False,
    "inference_dependencies": [],
    "metrics": [{"Name": "eval-loss", "Regex": "loss=([0-9.]+)"}],
}


@pytest.fixture(autouse=True)
def bucket(made_up_credentials: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    files = contents(SPECS)
    with served({BUCKET: files, "jumpstart-cache-prod-eu-west-1": files}) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        yield


def test_the_newest_version_is_read_for_its_default_instance() -> None:
    spec = jumpstart_spec(FALCON, region=REGION)
    assert (spec.version, spec.instance_type, spec.image) == ("4.6.16", "ml.g5.2xlarge", TGI)
    assert spec.instance_types == ("ml.g5.2xlarge", "ml.g5.12xlarge")
    assert spec.model_data == f"s3://{BUCKET}/huggingface-llm/falcon/inference-prepack/v2.0.0/"
    assert (spec.family, spec.wire, spec.context) == ("falcon", "tgi", 2048)
    assert spec.environment["ENDPOINT_SERVER_TIMEOUT"] == "3600"
    assert (spec.eula, spec.gated, spec.model_package, spec.deprecated) == (None, False, None, False)
    assert (spec.volume_gib, spec.download_seconds, spec.startup_seconds) == (256, 1200, 900)
    assert spec.network_isolation


@pytest.mark.parametrize(("version", "taken"), [("4.6.9", "4.6.9"), ("4.*", "4.6.16"), ("1.*", "1.0.0")])
def test_a_version_can_be_requested(version: str, taken: str) -> None:
    spec = jumpstart_spec(FALCON, region=REGION, version=version)
    assert (spec.version, spec.deprecated) == (taken, taken == "4.6.9")


def test_versions_are_compared_as_numbers_in_whatever_order_they_are_listed() -> None:
    with served(
        {BUCKET: contents([falcon(version) for version in ("4.10.0", "4.9.2", "4.9.10", "3.99.0")])}
    ) as address:
        client = boto3.client("s3", region_name=REGION, endpoint_url=address)
        taken = [jumpstart_spec(FALCON, region=REGION, version=each, client=client).version for each in ("*", "4.9.*")]
    assert taken == ["4.10.0", "4.9.10"]


def test_an_instance_type_has_its_own_environment_and_model_data() -> None:
    spec = jumpstart_spec(FALCON, region=REGION, instance_type="ml.g5.12xlarge")
    assert (spec.instance_type, spec.environment["SM_NUM_GPUS"]) == ("ml.g5.12xlarge", "4")
    assert spec.environment["HF_MODEL_ID"] == "/opt/ml/model"
    assert spec.model_data == f"s3://{BUCKET}/huggingface-llm/falcon/inference-prepack/four/"


def test_another_region_has_its_own_registry_and_bucket() -> None:
    spec = jumpstart_spec(FALCON, region="eu-west-1")
    assert spec.image == TGI.replace(REGION, "eu-west-1")
    assert str(spec.model_data).startswith("s3://jumpstart-cache-prod-eu-west-1/")


def test_an_older_spec_names_its_image_by_framework_and_version() -> None:
    spec = jumpstart_spec(FALCON, region=REGION, version="1.0.0")
    assert spec.image == f"{DLC}/huggingface-pytorch-tgi-inference:2.0.1-tgi0.9.3-gpu-py39-cu118-ubuntu20.04"
    assert spec.model_data == f"s3://{BUCKET}/huggingface-infer/falcon.tar.gz"


def test_the_environment_determines_the_wire_and_bare_weights_are_used_without_a_script() -> None:
    spec = jumpstart_spec(FALCON, region=REGION, version="3.0.0")
    assert (spec.wire, spec.model_data) == ("messages", f"s3://{BUCKET}/huggingface-llm/falcon/inference/v2.0.0/")


def test_a_gated_model_comes_from_the_gated_bucket_and_has_a_licence() -> None:
    spec = jumpstart_spec(LLAMA, region=REGION, version="4.3.0")
    assert (spec.gated, spec.family, spec.wire, spec.context) == (True, "llama2", "tgi", 4096)
    assert str(spec.model_data).startswith(f"s3://jumpstart-private-cache-prod-{REGION}/")
    assert spec.eula == f"https://{BUCKET}.s3.{REGION}.amazonaws.com/fmhMetadata/eula/llamaEula.txt"


def test_a_model_package_has_no_image_no_environment_and_the_dialog_wire() -> None:
    spec = jumpstart_spec(LLAMA, region=REGION, version="2.0.4")
    assert (spec.model_package, spec.image, spec.model_data, spec.environment) == (PACKAGE, None, None, {})
    assert (spec.family, spec.wire, spec.gated) == ("llama2", "llama2-dialog", False)


@pytest.mark.parametrize(
    ("instance_type", "image", "wire", "chosen"),
    [
        (None, LMI, "lmi", "ml.p4d.24xlarge"),
        ("ml.g5.2xlarge", TGI, "tgi", "ml.g5.2xlarge"),
        ("ml.p4d.24xlarge", LMI, "lmi", "ml.p4d.24xlarge"),
    ],
)
def test_of_several_configurations_the_best_for_the_instance_is_used(
    instance_type: str | None, image: str, wire: str, chosen: str
) -> None:
    spec = jumpstart_spec(LLAMA, region=REGION, instance_type=instance_type)
    assert (spec.version, spec.image, spec.wire, spec.instance_type) == ("4.27.0", image, wire, chosen)
    assert (spec.gated, spec.context) == (True, 4096)  # a configuration does not open what is gated


@pytest.mark.parametrize(
    ("model_id", "wire", "family"),
    [
        ("example-llm-without-a-name", "messages", "messages"),
        ("huggingface-textgeneration1-lightgpt", "hf", "plain"),
        ("huggingface-asr-whisper", None, "plain"),
    ],
)
def test_the_wire_of_any_other_model_follows_from_its_image_and_task(
    model_id: str, wire: str | None, family: str
) -> None:
    spec = jumpstart_spec(model_id, region=REGION)
    assert (spec.wire, spec.family) == (wire, family)


def test_the_format_of_an_older_script_is_not_a_wire() -> None:
    spec = jumpstart_spec(FROM_SCRIPT["model_id"], region=REGION, version="2.0.0")
    assert (spec.wire, spec.family) == (None, "plain")
    assert spec.image == f"{DLC}/huggingface-pytorch-inference:1.10.2-transformers4.17.0-cpu-py38-ubuntu20.04"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model_id": "huggingface-llm-falcon-7b"}, f"Did you mean '{FALCON}'"),
        ({"region": "us-east-11"}, r"region: 'us-east-11' is unknown. Did you mean 'us-east-1'\?"),
        ({"version": "4.6.17"}, r"version: '4.6.17' is unknown. Did you mean '4.6.16'\?"),
        ({"version": "newest"}, "version: 'newest' is unknown"),
        ({"instance_type": "ml.inf2.xlarge", "version": "4.6.16"}, "Supported: ml.g5.2xlarge, ml.g5.12xlarge"),
        ({"model_id": FROM_SCRIPT["model_id"], "version": "1.0.0"}, "only the SageMaker SDK packs them"),
    ],
)
def test_an_error_lists_the_known_values(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        jumpstart_spec(**({"model_id": FALCON, "region": REGION} | arguments))


@pytest.mark.parametrize(
    ("model_id", "error", "words"),
    [
        ("private-llm", errors.AccessDenied, f"s3://{BUCKET}/private.json is not public"),
        ("lost-llm", errors.RequestRejected, f"JumpStart has no s3://{BUCKET}/lost.json"),
        ("broken-llm", errors.MalformedResponse, f"s3://{BUCKET}/broken.json is not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(model_id: str, error: type[errors.LLMError], words: str) -> None:
    with pytest.raises(error, match=words) as refused:
        jumpstart_spec(model_id, region=REGION)
    assert (refused.value.endpoint, refused.value.__cause__ is None) == (model_id, False)


def test_a_missing_bucket_and_an_unreachable_server_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.RequestRejected, match="JumpStart has no s3://jumpstart-cache-prod-us-west-2/"):
        jumpstart_spec(FALCON, region="us-west-2")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", NOBODY)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(errors.ConnectionFailed):
        jumpstart_spec(FALCON, region=REGION)


def test_no_credentials_are_needed_and_a_client_may_be_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    client = boto3.client("s3", region_name=REGION)
    assert jumpstart_spec(FALCON, region=REGION, client=client).version == "4.6.16"
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert jumpstart_spec(FALCON, region=REGION).version == "4.6.16"


@pytest.mark.parametrize("version", ["2.0.4", "4.3.0", "4.27.0"])
def test_create_model_accepts_the_container(version: str) -> None:
    container = jumpstart_spec(LLAMA, region=REGION, version=version).container(accept_eula=True)
    shape = boto3.client("sagemaker", region_name=REGION).meta.service_model.operation_model("CreateModel").input_shape
    request = {
        "ModelName": "llama",
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/r",
        "PrimaryContainer": container,
    }
    assert not ParamValidator().validate(request, shape).has_errors()
    accepted = container.get("ModelDataSource", {}).get("S3DataSource", {}).get("ModelAccessConfig")
    assert accepted == (None if version == "2.0.4" else {"AcceptEula": True})


def test_a_licence_is_accepted_only_explicitly() -> None:
    source = jumpstart_spec(LLAMA, region=REGION, version="4.3.0").container()["ModelDataSource"]["S3DataSource"]
    assert (source["S3DataType"], source["CompressionType"]) == ("S3Prefix", "None")
    assert "ModelAccessConfig" not in source


@pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.model_id)
def test_the_spec_of_a_catalogue_model_equals_that_of_its_file(entry: CatalogueEntry) -> None:
    regions = (REGION, "eu-west-1", "cn-north-1")
    spec = load_data("jumpstart_specs.yaml")["models"][entry.model_id]
    with served({f"jumpstart-cache-prod-{region}": contents([UNREAD | spec]) for region in regions}) as address:
        client = boto3.client("s3", region_name=REGION, endpoint_url=address)
        for region in regions:
            for instance_type in entry.instance_types:
                asked = {"region": region, "instance_type": instance_type}
                theirs = jumpstart_spec(entry.model_id, version=entry.version, client=client, **asked)
                assert model_spec(entry.model_id, **asked) == theirs


def test_a_model_of_the_catalogue_is_known_without_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", NOBODY)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    spec = model_spec(LLAMA, region="eu-west-1")
    prefix = "meta-textgeneration/meta-textgeneration-llama-2-7b-f/artifacts/inference-prepack/v1.1.0/"
    assert (spec.version, spec.instance_type, spec.wire) == ("4.3.0", "ml.g5.2xlarge", "tgi")
    assert spec.eula == "https://jumpstart-cache-prod-eu-west-1.s3.eu-west-1.amazonaws.com/" + EULA_KEY
    assert spec.container(accept_eula=True)["ModelDataSource"]["S3DataSource"] == {
        "S3Uri": f"s3://jumpstart-private-cache-prod-eu-west-1/{prefix}",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
        "ModelAccessConfig": {"AcceptEula": True},
    }
    four = model_spec(LLAMA, region="eu-west-1", instance_type="ml.g5.12xlarge")
    assert (spec.environment["SM_NUM_GPUS"], four.environment["SM_NUM_GPUS"]) == ("1", "4")


def test_any_other_model_is_read_from_jumpstart_s_files() -> None:
    model_id = "example-llm-without-a-name"
    assert model_spec(model_id, region=REGION) == jumpstart_spec(model_id, region=REGION)


@pytest.mark.parametrize(
    ("model_id", "region", "words"),
    [
        ("huggingface-llm-falcon-40b-instruct-bf61", REGION, "Did you mean 'huggingface-llm-falcon-40b-instruct-bf16'"),
        ("example-llm-without-a-nmae", REGION, "Did you mean 'example-llm-without-a-name'"),
        (
            "huggingface-llm-falcon-40b-instruct-bf61",
            "us-west-2",
            "Did you mean 'huggingface-llm-falcon-40b-instruct-bf16'.*JumpStart has no s3://jumpstart-cache-prod-us-west-2/",
        ),
        (LLAMA, "us-east-11", r"region: 'us-east-11' is unknown. Did you mean 'us-east-1'\?"),
    ],
)
def test_the_error_for_an_unknown_id_or_region_suggests_the_nearest(model_id: str, region: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        model_spec(model_id, region=region)


def test_an_unsupported_instance_type_of_a_catalogue_model_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no container for 'ml\.m5\.large' in us-east-1\. Supported: ml\.g5\.2xlarge"):
        model_spec(FALCON, region=REGION, instance_type="ml.m5.large")


@pytest.mark.parametrize(
    "spec",
    [each for each in SPECS if each is not FROM_SCRIPT],
    ids=lambda spec: f"{spec['model_id']}-{spec['version']}",
)
def test_a_trimmed_file_reads_the_same_in_every_layout(spec: dict[str, Any]) -> None:
    kept = trimmed(UNREAD | spec)
    assert not set(kept) & set(UNREAD)
    for instance_type in (None, *instance_types(spec)):
        theirs = resolved(spec, region=REGION, instance_type=instance_type)
        assert resolved(kept, region=REGION, instance_type=instance_type) == theirs
