"""A small checkpoint to deploy, and what is in S3."""

from pathlib import Path

import boto3
import pytest
from sagechain.endpoints.upload import pack

from tests.pretraining.runs import write_run

BUCKET = "sagemaker-us-east-1-000000000000"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CodeParrot with random weights."""
    return write_run(tmp_path_factory.mktemp("run")) / "model"


@pytest.fixture(scope="module")
def archive(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The checkpoint as model.tar.gz."""
    path = tmp_path_factory.mktemp("archive") / "model.tar.gz"
    pack(checkpoint, path)
    return path.read_bytes()


def keys() -> list[str]:
    """The address of every object and of every unfinished upload in S3."""
    s3 = boto3.client("s3")
    found = []
    for bucket in (row["Name"] for row in s3.list_buckets()["Buckets"]):
        found += [f"s3://{bucket}/{row['Key']}" for row in s3.list_objects_v2(Bucket=bucket).get("Contents", ())]
        uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ())
        found += [f"unfinished s3://{bucket}/{row['Key']}" for row in uploads]
    return found
