"""Deployments: the requests to AWS, the input refused before them, and the tags of an endpoint."""

import json
import re
import tarfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from sagechain.endpoints import delete, deploy, deployed, list_endpoints, reap
from sagechain.endpoints.plan import plan_deployment
from sagechain.endpoints.request import DeploymentRequest, parse_duration
from sagechain.endpoints.upload import pack
from sagechain.llms import errors, load_chat_model, load_llm
from sagechain.local_aws import LocalRuntime

from tests.endpoints.account import FALCON, FOREIGN, IMAGE, QUICK, ROLE, changes, there
from tests.pretraining.runs import write_run

ENTRY = "huggingface-llm-falcon-7b-instruct-bf16"
LLAMA = "meta-textgeneration-llama-2-7b-f"
REGION = "us-east-1"
MODELS: dict[str, dict[str, Any]] = {
    "catalogue": {"model_id": ENTRY},
    "licence": {"model_id": LLAMA, "accept_eula": True},
    "image": {"image": IMAGE, "instance_type": "ml.g5.2xlarge"},
    "archive": {"model_data": "s3://bucket/model.tar.gz", "instance_type": "ml.m5.xlarge"},
    "prefix": {"model_data": "s3://bucket/model/", "image": IMAGE, "instance_type": "ml.g5.2xlarge"},
}


def tags_of(arn: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in boto3.client("sagemaker").list_tags(ResourceArn=arn)["Tags"]}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CodeParrot with random weights."""
    return write_run(tmp_path_factory.mktemp("run")) / "model"


def test_endpoint_configuration_and_model_carry_one_name_and_the_same_tags(aws: LocalRuntime) -> None:
    info = deploy("mine", **QUICK, ttl="90m")
    client = boto3.client("sagemaker")
    arns = [
        client.describe_endpoint(EndpointName="mine")["EndpointArn"],
        client.describe_endpoint_config(EndpointConfigName="mine")["EndpointConfigArn"],
        client.describe_model(ModelName="mine")["ModelArn"],
    ]
    tags = tags_of(arns[0])
    assert [tags_of(arn) for arn in arns] == [tags] * 3
    assert {name: tags[f"sagechain:{name}"] for name in ("tool", "family", "wire")} == {
        "tool": "sagechain", "family": "falcon", "wire": "tgi",
    }  # fmt: skip
    expires = datetime.fromisoformat(tags["sagechain:expires-at"])
    assert expires.timestamp() == info.expires_at
    assert 5_380 < (expires - datetime.now(UTC)).total_seconds() <= 5_400
    assert tags["sagechain:owner"].startswith("arn:aws:")


@pytest.mark.parametrize("name", MODELS)
def test_every_request_fits_the_services_own_description(name: str) -> None:
    model = ServiceModel(Loader().load_service_model("sagemaker", "service-2"))
    plan = plan_deployment(DeploymentRequest("mine", role=ROLE, **MODELS[name]), REGION)
    for request in plan.requests("arn:aws:sts::000000000000:assumed-role/a b/c", "0" * 12):
        operation = "".join(part.capitalize() for part in request.operation.split("_"))
        shape = model.operation_model(operation).input_shape
        assert shape is not None
        report = ParamValidator().validate(request.parameters, shape)
        assert not report.has_errors(), report.generate_report()
        tags = request.parameters["Tags"]
        member = shape.members["Tags"].member
        for part in ("Key", "Value"):
            pattern = member.members[part].metadata["pattern"].replace(r"\p{L}", "a-zA-Z").replace(r"\p{Z}", " ")
            pattern = pattern.replace(r"\p{N}", "0-9")
            assert all(re.fullmatch(pattern, tag[part]) for tag in tags)


def test_a_licence_has_to_be_accepted_before_any_request(aws: LocalRuntime) -> None:
    before = len(aws.requests)
    with pytest.raises(errors.EulaNotAccepted, match=f"{LLAMA} has a licence that must be accepted: .*llamaEula"):
        deploy("mine", model_id=LLAMA)
    assert len(aws.requests) == before
    with deployed("mine", model_id=LLAMA, accept_eula=True, poll_seconds=0.02) as endpoint:
        container = boto3.client("sagemaker").describe_model(ModelName="mine")["PrimaryContainer"]
        assert (endpoint.family, endpoint.wire) == ("llama2", "tgi")
    assert container["ModelDataSource"]["S3DataSource"]["ModelAccessConfig"] == {"AcceptEula": True}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "a_b"}, "name: 'a_b' is not a name"),
        ({"name": "x" * 64}, "name: '.*63 at most"),
        ({"image": None}, "model_id: no model is given"),
        ({"model_id": ENTRY}, "model_id: it is given, and so is image"),
        ({"instance_type": None}, "instance_type: not given"),
        ({"family": "falcn"}, "Did you mean 'falcon'"),
        ({"wire": "tgi2"}, "Did you mean 'tgi'"),
        ({"role": "someone"}, "role: 'someone' is not the ARN of a role"),
        ({"ttl": "two hours"}, "ttl: 'two hours' is not a duration"),
        ({"ttl": 0}, "ttl: 0 is not a duration"),
        ({"poll_seconds": 0}, "poll_seconds: 0 is out of range"),
        ({"environment": {"TOKENS": 5}}, "environment: 'TOKENS' is int; give name and value as text"),
        ({"timeout": -1}, "timeout: -1 is out of range"),
        ({"image": "me/mine:1", "family": None}, "wire: it cannot be derived from the image 'me/mine:1'"),
        (
            {"image": None, "model_data": "s3://bucket/model.zip"},
            "model_data: 's3://bucket/model.zip' is neither an archive",
        ),
        ({"image": None, "model_data": "nowhere"}, "model_data: 'nowhere' is not a checkpoint: it has no config.json"),
        (
            {"image": None, "model_data": "s3://b/m/", "wire": "messages"},
            "image: not given, and no known image has",
        ),
    ],
)
def test_bad_input_is_refused_before_any_request(given: dict[str, Any], message: str, aws: LocalRuntime) -> None:
    before = len(aws.requests)
    arguments = {"name": "mine", **FALCON, **given}
    with pytest.raises(ValueError, match=message):
        deploy(**{name: value for name, value in arguments.items() if value is not None})
    assert len(aws.requests) == before


def test_a_deletion_with_an_impossible_pause_is_refused_before_any_request(aws: LocalRuntime) -> None:
    before = len(aws.requests)
    for poll_seconds in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=r"poll_seconds: .* is out of range"):
            delete("theirs", force=True, poll_seconds=poll_seconds)
        with pytest.raises(ValueError, match=r"poll_seconds: .* is out of range"):
            reap(poll_seconds=poll_seconds)
    assert len(aws.requests) == before


def test_an_unknown_model_is_refused_and_the_nearest_suggested(aws: LocalRuntime) -> None:
    before = changes(aws)
    with pytest.raises(
        ValueError, match=r"model_id: 'huggingface-llm-falcon-7b-instruct-bf61' .*Did you mean '.*-bf16'"
    ):
        deploy("mine", model_id="huggingface-llm-falcon-7b-instruct-bf61")
    assert changes(aws) == before


def test_the_error_for_a_missing_role_explains_how_to_give_one(
    aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SAGECHAIN_ROLE")
    with pytest.raises(ValueError, match=r"role: not given; .*SAGECHAIN_ROLE \(docs/endpoints\.md"):
        deploy("mine", **FALCON)


def test_a_block_refuses_what_deploy_refuses(aws: LocalRuntime) -> None:
    before = len(aws.requests)
    with pytest.raises(ValueError, match="name: 'a_b' is not a name"), deployed("a_b", **FALCON):
        pass
    assert len(aws.requests) == before


@pytest.mark.parametrize(
    ("ttl", "seconds"), [("45s", 45), ("90m", 5_400), ("2h", 7_200), ("1.5d", 129_600), (60, 60), ("60", 60)]
)
def test_a_duration_is_parsed(ttl: str | int, seconds: float) -> None:
    assert parse_duration(ttl) == seconds


def test_an_endpoints_tags_determine_family_and_wire(aws: LocalRuntime) -> None:
    with deployed("mine", **QUICK) as endpoint:
        model = load_llm(endpoint.uri, max_new_tokens=4)
        assert (model.family, model._identifying_params["wire"]) == ("falcon", "tgi")
        chat = load_chat_model(endpoint.uri, max_new_tokens=4)
        assert chat.invoke("Hello").text == model.invoke("User: Hello\nAssistant:", stop=["\nUser:"]).strip()


def test_the_error_for_an_endpoint_without_tags_names_what_to_add(aws: LocalRuntime) -> None:
    with pytest.raises(ValueError, match=r"family: endpoint 'theirs' has no tag .*Add \?family=…&wire=…"):
        load_llm("sagemaker:theirs")


def test_the_error_for_unreadable_tags_names_what_to_add(aws: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.EndpointNotFound, match=r"nowhere: its tags.*Add \?family=…&wire=…"):
        load_llm("sagemaker:nowhere")
    aws.fail("ListTags", "access-denied")
    with pytest.raises(
        errors.AccessDenied, match=r"not authorized to perform: sagemaker:ListTags .*Add \?family=…&wire=…"
    ):
        load_llm("sagemaker:theirs")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ValueError, match=r"region_name: not set.*Add \?family=…&wire=…"):
        load_llm("sagemaker:theirs")


def test_a_checkpoint_is_packed_uploaded_served_and_deleted_again(aws: LocalRuntime, checkpoint: Path) -> None:
    with deployed("parrot", model_data=checkpoint, poll_seconds=0.02) as endpoint:
        assert (endpoint.family, endpoint.wire, endpoint.instance_type) == ("plain", "hf", "ml.m5.xlarge")
        address = boto3.client("sagemaker").describe_model(ModelName="parrot")["PrimaryContainer"]["ModelDataUrl"]
        bucket, _, key = address.removeprefix("s3://").partition("/")
        assert bucket == "sagemaker-us-east-1-000000000000"
        body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        with tarfile.open(fileobj=BytesIO(body)) as archive:
            assert sorted(archive.getnames()) == sorted(path.name for path in checkpoint.iterdir())
        here = load_llm(f"local:{checkpoint}", max_new_tokens=8, temperature=0)
        there = load_llm(endpoint.uri, max_new_tokens=8, temperature=0)
        assert there.invoke("def add") == here.invoke("def add")
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=bucket)


def test_an_upload_that_is_refused_leaves_nothing(aws: LocalRuntime, checkpoint: Path) -> None:
    aws.fail("PutObject", "access-denied")
    with pytest.raises(errors.AccessDenied):
        deploy("parrot", model_data=checkpoint)
    assert there() == set()
    assert reap() == []


def test_the_list_shows_age_cost_and_remaining_time_of_each(aws: LocalRuntime) -> None:
    deploy("mine", **QUICK, ttl="1h")
    theirs, mine = list_endpoints()
    assert (theirs.name, theirs.ours, theirs.family, theirs.expires_at) == ("theirs", False, None, None)
    assert (theirs.instance_type, theirs.instance_count) == ("ml.g5.xlarge", 2)
    assert (mine.name, mine.status, mine.family, mine.wire, mine.ours) == ("mine", "InService", "falcon", "tgi", True)
    assert mine.price is not None
    assert mine.cost_so_far == pytest.approx(mine.price.usd_per_hour * mine.age / 3_600)  # type: ignore[operator]
    assert theirs.cost_so_far == pytest.approx(2 * theirs.price.usd_per_hour * theirs.age / 3_600)  # type: ignore
    assert 3_580 < (mine.seconds_left() or 0) <= 3_600


def test_an_unknown_price_is_none_and_never_zero(aws: LocalRuntime) -> None:
    deploy("mine", **QUICK | {"instance_type": "ml.p6-b200.48xlarge"})
    mine = list_endpoints()[-1]
    assert mine.cost_so_far is None
    assert mine.price is not None
    assert "not known" in mine.price.note


def test_listing_changes_nothing(aws: LocalRuntime) -> None:
    before = changes(aws)
    list_endpoints()
    assert changes(aws) == before


def test_a_foreign_endpoint_is_deleted_only_by_force_with_its_unshared_resources(aws: LocalRuntime) -> None:
    before = changes(aws)
    with pytest.raises(errors.NotOurs, match=r"theirs: sagechain did not deploy it; nothing was changed\."):
        delete("theirs")
    assert changes(aws) == before
    client = boto3.client("sagemaker")
    variant = {
        "VariantName": "one",
        "ModelName": "theirs-model",
        "InstanceType": "ml.g5.xlarge",
        "InitialInstanceCount": 1,
    }
    client.create_endpoint_config(EndpointConfigName="other", ProductionVariants=[variant])
    assert delete("theirs", force=True, poll_seconds=0.02) == ["endpoint theirs", "configuration theirs-config"]
    assert there(only_ours=False) == {"configuration other", "model theirs-model", "model somebodys"}


def test_ownership_is_that_of_the_endpoint_and_not_of_a_model_with_its_name(aws: LocalRuntime) -> None:
    deploy("mine", **QUICK)
    client = boto3.client("sagemaker")
    client.delete_endpoint(EndpointName="mine")
    client.get_waiter("endpoint_deleted").wait(EndpointName="mine", WaiterConfig={"Delay": 0.02, "MaxAttempts": 3_000})
    client.create_endpoint(EndpointName="mine", EndpointConfigName="theirs-config")
    with pytest.raises(errors.NotOurs):
        delete("mine")
    assert there() == {"endpoint mine", "configuration mine", "model mine"}


def test_an_archive_that_could_not_be_removed_is_removed_by_reap(aws: LocalRuntime, checkpoint: Path) -> None:
    deploy("parrot", model_data=checkpoint, poll_seconds=0.02)
    aws.fail("DeleteObject", "access-denied", 1)
    with pytest.raises(errors.LeftBehind, match="still there: model parrot"):
        delete("parrot", poll_seconds=0.02)
    assert reap(poll_seconds=0.02) == ["model parrot"]
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket="sagemaker-us-east-1-000000000000")


def test_links_in_a_checkpoints_folder_are_packed_as_the_files_they_lead_to(checkpoint: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for path in checkpoint.iterdir():
        (snapshot / path.name).symlink_to(path)
    pack(snapshot, tmp_path / "model.tar.gz")
    with tarfile.open(tmp_path / "model.tar.gz") as archive:
        assert all(entry.isfile() for entry in archive.getmembers())
        assert len(archive.getmembers()) == len(list(checkpoint.iterdir()))


@pytest.mark.parametrize(
    ("instance_type", "is_sized"),
    [("ml.g5.2xlarge", False), ("ml.g4dn.xlarge", False), ("ml.p4d.24xlarge", False), ("ml.p3.2xlarge", True),
     ("ml.m5.xlarge", True), ("ml.m5d.xlarge", False), ("ml.g6e.xlarge", False), ("ml.trn1.2xlarge", False)],
)  # fmt: skip
def test_a_volume_size_is_sent_for_instances_without_a_local_disk(instance_type: str, is_sized: bool) -> None:
    request = DeploymentRequest("mine", role=ROLE, **FALCON | {"instance_type": instance_type})
    plan = replace(plan_deployment(request, REGION), volume_gib=256)
    variant = plan.requests()[1].parameters["ProductionVariants"][0]
    assert ("VolumeSizeInGB" in variant) == is_sized


def test_a_forced_deletion_includes_the_model_that_only_it_used(aws: LocalRuntime) -> None:
    delete("theirs", force=True, poll_seconds=0.02)
    assert there(only_ours=False) == {"model somebodys"}


def test_deleting_an_unknown_name_is_an_error(aws: LocalRuntime) -> None:
    with pytest.raises(errors.EndpointNotFound, match="nowhere: no endpoint, configuration or model has that name"):
        delete("nowhere")


def test_inside_a_block_the_endpoint_may_be_deleted_explicitly(aws: LocalRuntime) -> None:
    with deployed("mine", **QUICK):
        assert delete("mine", poll_seconds=0.02) == ["endpoint mine", "configuration mine", "model mine"]
    assert there() == set()


def test_reap_deletes_expired_endpoints_and_nothing_else(aws: LocalRuntime) -> None:
    deploy("short", **QUICK, ttl="1m")
    deploy("long", **QUICK, ttl="2h")
    assert reap(poll_seconds=0.02) == []
    assert reap(now=time.time() + 61, poll_seconds=0.02) == ["endpoint short", "configuration short", "model short"]
    assert there() == {"endpoint long", "configuration long", "model long"}
    assert there(only_ours=False) >= FOREIGN


def test_a_longer_time_to_live_of_the_endpoint_applies_to_its_configuration_and_model(aws: LocalRuntime) -> None:
    deploy("mine", **QUICK, ttl="1m")
    client = boto3.client("sagemaker")
    arn = client.describe_endpoint(EndpointName="mine")["EndpointArn"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "sagechain:expires-at", "Value": "2100-01-01T00:00:00Z"}])
    assert reap(now=time.time() + 3_600, poll_seconds=0.02) == []


def test_reap_deletes_a_model_without_its_endpoint(aws: LocalRuntime) -> None:
    deploy("mine", **QUICK, ttl="1m")
    boto3.client("sagemaker").delete_endpoint(EndpointName="mine")
    assert set(reap(now=time.time() + 61, poll_seconds=0.02)) >= {"configuration mine", "model mine"}
    assert there() == set()


def test_no_error_contains_a_secret(aws: LocalRuntime) -> None:
    aws.fail("CreateModel", "access-denied")
    with pytest.raises(errors.NotPermitted) as caught:
        deploy("mine", **FALCON)
    assert "made-up-secret" not in json.dumps([str(caught.value), repr(caught.value.__cause__)])
