"""What is deleted in S3: the upload of a deployment and the parts of an interrupted one, and nothing that looks alike."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from sagechain.endpoints import delete, deploy, deployed, reap
from sagechain.endpoints.aws import Account
from sagechain.endpoints.upload import removal_requests, remove
from sagechain.llms import errors
from sagechain.local_aws import LocalRuntime

from tests.endpoints.account import IMAGE, ROLE, there
from tests.endpoints.checkpoints import BUCKET, archive, checkpoint, keys
from tests.processes import start

__all__ = ["archive", "checkpoint"]

QUICK: dict[str, Any] = {"family": "plain", "instance_type": "ml.m5.large", "poll_seconds": 0.02}
IDENTITY = "0123456789abcdef" * 2
DAY = 86_400


def put(address: str, body: bytes, **metadata: str) -> None:
    s3 = boto3.client("s3")
    bucket, _, key = address.removeprefix("s3://").partition("/")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata)


@pytest.mark.parametrize(
    "address",
    [
        "s3://weights/sagechain/parrot/model.tar.gz",
        f"s3://{BUCKET}/sagechain/parrot/model.tar.gz",
        f"s3://{BUCKET}/sagechain/parrot/{IDENTITY}/model.tar.gz",
        f"s3://weights/sagechain/parrot/{IDENTITY}/model.tar.gz",
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_a_users_own_weights_stay_whatever_their_key_looks_like(
    address: str, force: bool, aws: LocalRuntime, archive: bytes
) -> None:
    put(address, archive, **{"sagechain-deployment": IDENTITY})
    deploy("parrot", model_data=address, **QUICK)
    delete("parrot", force=force, poll_seconds=0.02)
    assert there() == set()
    assert keys() == [address]


def test_weights_of_a_foreign_endpoint_stay_when_it_is_deleted_by_force(aws: LocalRuntime, archive: bytes) -> None:
    address = f"s3://{BUCKET}/sagechain/chat/{IDENTITY}/model.tar.gz"
    put(address, archive, **{"sagechain-deployment": IDENTITY})
    client = boto3.client("sagemaker")
    container = {"Image": IMAGE, "ModelDataUrl": address}
    client.create_model(ModelName="chat", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    variant = {"VariantName": "A", "ModelName": "chat", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    client.create_endpoint_config(EndpointConfigName="chat", ProductionVariants=[variant])
    client.create_endpoint(EndpointName="chat", EndpointConfigName="chat")
    client.get_waiter("endpoint_in_service").wait(EndpointName="chat", WaiterConfig={"Delay": 0.02})
    assert delete("chat", force=True, poll_seconds=0.02) == ["endpoint chat", "configuration chat", "model chat"]
    assert keys() == [address]


def test_an_upload_stays_while_another_model_uses_it(
    aws: LocalRuntime, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy("first", model_data=checkpoint, **QUICK)
    address = boto3.client("sagemaker").describe_model(ModelName="first")["PrimaryContainer"]["ModelDataUrl"]
    deploy("second", model_data=address, **QUICK)
    delete("first", poll_seconds=0.02)
    assert keys() == [address]
    assert f"keeping {address}: it is also the data of second" in capsys.readouterr().err
    delete("second", poll_seconds=0.02)
    assert keys() == [address]


def test_an_upload_stays_while_a_multi_model_endpoint_serves_a_folder_above_it(
    aws: LocalRuntime, checkpoint: Path
) -> None:
    deploy("first", model_data=checkpoint, **QUICK)
    (address,) = keys()
    prefix = address.partition("sagechain/")[0] + "sagechain/"
    container = {"Image": IMAGE, "ModelDataUrl": prefix, "Mode": "MultiModel"}
    boto3.client("sagemaker").create_model(ModelName="all", ExecutionRoleArn=ROLE, PrimaryContainer=container)
    delete("first", poll_seconds=0.02)
    assert keys() == [address]


def test_another_object_at_the_address_of_an_upload_stays(aws: LocalRuntime, checkpoint: Path, archive: bytes) -> None:
    with deployed("parrot", model_data=checkpoint, **QUICK):
        (address,) = keys()
        put(address, archive)
    assert keys() == [address]


def test_delete_from_another_process_removes_the_upload(aws: LocalRuntime, checkpoint: Path) -> None:
    script = (
        "import sys; from sagechain.endpoints import deploy; deploy('parrot', model_data=sys.argv[1], family='plain')"
    )
    process = start("-c", script, str(checkpoint))
    process.communicate(timeout=60)
    assert (process.returncode, len(keys())) == (0, 1)
    delete("parrot", poll_seconds=0.02)
    assert keys() == []


def test_in_a_bucket_with_versions_exactly_the_uploaded_version_is_deleted(aws: LocalRuntime) -> None:
    account = Account()
    where = {"Bucket": "b", "Key": "k", "ExpectedBucketOwner": account.number}
    with Stubber(account.s3) as s3:
        s3.add_response("head_object", {"Metadata": {"sagechain-deployment": "x"}, "VersionId": "v7"}, where)
        s3.add_response("delete_object", {}, where | {"VersionId": "v7"})
        assert remove(account, "parrot", "s3://b/k", "x", is_known=False)
        s3.assert_no_pending_responses()


@pytest.mark.parametrize("is_versioned", [True, False])
def test_in_a_bucket_with_versions_trying_to_delete_leaves_no_marker(is_versioned: bool, aws: LocalRuntime) -> None:
    account = Account()
    where = {"Bucket": "b", "Key": "k", "ExpectedBucketOwner": account.number}
    with Stubber(account.s3) as s3:
        s3.add_response("delete_object", {"DeleteMarker": True, "VersionId": "v7" if is_versioned else "null"}, where)
        if is_versioned:
            s3.add_response("delete_object", {}, where | {"VersionId": "v7"})
        removal_requests(account, "s3://b/k")["s3:DeleteObject"]()
        s3.assert_no_pending_responses()


@pytest.fixture
def large(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint that is uploaded in two parts."""
    shutil.copytree(checkpoint, tmp_path / "large")
    (tmp_path / "large" / "more.bin").write_bytes(os.urandom(9_000_000))
    return tmp_path / "large"


def test_parts_of_a_failed_upload_are_removed_even_if_boto3_could_not(aws: LocalRuntime, large: Path) -> None:
    aws.fail("UploadPart", "access-denied")
    aws.fail("AbortMultipartUpload", "internal-failure", 6)  # three for the permission, three for boto3's own
    with pytest.raises(errors.AccessDenied):
        deploy("parrot", model_data=large, **QUICK)
    assert keys() == []


INTERRUPTED = """
import os, sys, botocore.client
real = botocore.client.BaseClient._make_api_call
def call(self, operation, parameters):
    if operation == "UploadPart":
        os.kill(os.getpid(), int(sys.argv[2]))
    return real(self, operation, parameters)
botocore.client.BaseClient._make_api_call = call
from sagechain.endpoints import deploy
deploy("parrot", model_data=sys.argv[1], family="plain")
"""


def interrupt(number: signal.Signals, checkpoint: Path) -> None:
    process = start("-c", INTERRUPTED, str(checkpoint), str(int(number)))
    process.communicate(timeout=60)
    assert process.returncode != 0


def test_parts_of_a_killed_upload_are_removed_by_reap(aws: LocalRuntime, large: Path) -> None:
    interrupt(signal.SIGKILL, large)
    assert [key.split("/")[-1] for key in keys()] == ["model.tar.gz"]
    assert reap(poll_seconds=0.02) == []
    assert keys() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_upload_leaves_no_parts(number: signal.Signals, aws: LocalRuntime, large: Path) -> None:
    interrupt(number, large)
    assert keys() == []
    assert there() == set()


def test_parts_without_a_record_are_removed_by_reap_after_a_day(aws: LocalRuntime) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    ours = f"sagechain/parrot/{IDENTITY}/model.tar.gz"
    for key in (ours, "sagechain/parrot/model.tar.gz", "theirs/model.tar.gz"):
        s3.create_multipart_upload(Bucket=BUCKET, Key=key)
    assert reap() == []
    assert reap(now=time.time() + 2 * DAY) == [f"unfinished upload s3://{BUCKET}/{ours}"]
    assert [each.rpartition(BUCKET)[2] for each in keys()] == ["/sagechain/parrot/model.tar.gz", "/theirs/model.tar.gz"]


def test_reap_without_the_right_to_list_uploads_says_so(aws: LocalRuntime, capsys: pytest.CaptureFixture[str]) -> None:
    aws.fail("ListMultipartUploads", "access-denied")
    assert reap() == []
    assert "Unfinished uploads were not looked for:" in capsys.readouterr().err
