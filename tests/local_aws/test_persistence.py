"""The local runtime's folder: restarts, kills, and two runtimes with one folder."""

import tempfile
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from sagechain.local_aws import LocalRuntime

from tests.local_aws.conftest import ARN, NOW, ROLE, cloud_of
from tests.processes import start


def test_deployments_and_uploads_survive_a_restart(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"folder": tmp_path / "new" / "folder", "deleting_seconds": 5}
    with LocalRuntime({}, clock=lambda: NOW, **settings) as runtime:
        cloud = cloud_of(runtime)
        cloud.create("mine", tags={"owner": "ada"})
        cloud.create("leaving")
        cloud.sagemaker.delete_endpoint(EndpointName="leaving")
        cloud.create("coming", wait=False)
        cloud.s3.create_bucket(Bucket="models")
        cloud.s3.put_object(Bucket="models", Key="a/b", Body=b"abc", Metadata={"x": "y"})
        described = cloud.sagemaker.describe_endpoint(EndpointName="mine")
    with LocalRuntime({}, clock=lambda: NOW + 5, **settings) as runtime:
        cloud = cloud_of(runtime)
        again = cloud.sagemaker.describe_endpoint(EndpointName="mine")
        assert {**again, "ResponseMetadata": None} == {**described, "ResponseMetadata": None}
        assert cloud.sagemaker.list_tags(ResourceArn=f"{ARN}:endpoint/mine")["Tags"] == [
            {"Key": "owner", "Value": "ada"}
        ]
        assert (cloud.status("leaving"), cloud.status("coming")) == ("Deleting", "InService")
        got = cloud.s3.get_object(Bucket="models", Key="a/b")
        assert (got["Body"].read(), got["Metadata"]) == (b"abc", {"x": "y"})
        runtime.advance(3)
        listed = cloud.sagemaker.list_endpoints(SortBy="Name")["Endpoints"]
        assert [endpoint["EndpointName"] for endpoint in listed] == ["mine", "coming"]


def test_the_folder_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with LocalRuntime({}, folder=folder, clock=lambda: NOW) as runtime:
        cloud_of(runtime).create("mine", Environment={"HF_TOKEN": "secret"})
    [record] = (folder / "models").glob("*.json")
    assert [each.stat().st_mode & 0o777 for each in (folder, record)] == [0o700, 0o600]


def test_a_folder_has_one_runtime_at_a_time(tmp_path: Path) -> None:
    with (
        LocalRuntime({}, folder=tmp_path),
        pytest.raises(OSError, match=f"another runtime uses {tmp_path}; stop it"),
        LocalRuntime({}, folder=tmp_path),
    ):
        pass
    with LocalRuntime({}, folder=tmp_path) as runtime:
        assert runtime.endpoints == ()


def test_a_preconfigured_endpoint_cannot_have_the_name_of_a_deployed_one(tmp_path: Path) -> None:
    with LocalRuntime({}, folder=tmp_path, clock=lambda: NOW) as runtime:
        cloud_of(runtime).create("mine")
    second = LocalRuntime({"mine": {"upstream": "http://127.0.0.1:9"}}, folder=tmp_path)
    with pytest.raises(ValueError, match="endpoint 'mine': an endpoint with that name is deployed"), second:
        pass
    with LocalRuntime({}, folder=tmp_path, clock=lambda: NOW + 1) as runtime:
        assert runtime.endpoints == ("mine",)


def test_without_a_folder_no_file_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with LocalRuntime({}, clock=lambda: NOW) as runtime:
        cloud_of(runtime).create("mine")
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.json").write_text("{")
    with pytest.raises(OSError, match=r"mine\.json is not as the runtime wrote it"), LocalRuntime({}, folder=tmp_path):
        pass


SERVE = """
import sys
from sagechain.local_aws import LocalRuntime
LocalRuntime({}, folder=sys.argv[1], creating_seconds=0).serve(lambda runtime: print(runtime.url, flush=True))
"""


def write_until_disconnected(sagemaker: Any, s3: Any, number: int, rounds: int, reached: threading.Event) -> None:
    """Send writes of every kind until the runtime has ended; `reached` is set after `rounds` of them."""
    try:
        s3.create_bucket(Bucket="models")
        for count in range(10_000):
            name = f"m-{number}-{count}"
            sagemaker.create_model(
                ModelName=name,
                PrimaryContainer={"Image": "x", "Environment": {"PADDING": "x" * 900}},
                ExecutionRoleArn=ROLE,
            )
            sagemaker.add_tags(ResourceArn=f"{ARN}:model/{name}", Tags=[{"Key": "round", "Value": str(count)}])
            s3.put_object(Bucket="models", Key=f"{number}", Body=bytes([count % 256]) * 100_000)
            if count % 3 == 0:
                sagemaker.delete_model(ModelName=name)
            if count == rounds:
                reached.set()
    except BotoCoreError:
        return


@pytest.mark.parametrize("rounds", [1, 4, 8])
def test_a_runtime_killed_while_it_writes_leaves_a_folder_that_can_be_read(tmp_path: Path, rounds: int) -> None:
    reached = [threading.Event() for _ in range(2)]
    with start("-c", SERVE, str(tmp_path)) as process:
        url = process.stdout.readline().strip()
        settings = Config(retries={"total_max_attempts": 1})
        clients = [boto3.client(name, endpoint_url=url, config=settings) for name in ("sagemaker", "s3")]
        writers = [
            threading.Thread(target=write_until_disconnected, args=(*clients, number, rounds, event))
            for number, event in enumerate(reached)
        ]
        for writer in writers:
            writer.start()
        assert all(event.wait(60) for event in reached)
        process.kill()
    for writer in writers:
        writer.join()
    with LocalRuntime({}, folder=tmp_path) as runtime:
        cloud = cloud_of(runtime)
        pages = cloud.sagemaker.get_paginator("list_models").paginate()
        models = [model["ModelName"] for page in pages for model in page["Models"]]
        assert models
        for name in models:
            assert cloud.sagemaker.describe_model(ModelName=name)["PrimaryContainer"]["Image"] == "x"
        objects = cloud.s3.list_objects_v2(Bucket="models").get("Contents", [])
        for stored in objects:
            body = cloud.s3.get_object(Bucket="models", Key=stored["Key"])["Body"].read()
            assert (len(body), len(set(body))) == (100_000, 1)
        files = [path for path in (tmp_path / "buckets").rglob("*") if path.is_file()]
        assert len(files) == 2 * len(objects)
    assert not list(tmp_path.rglob("*.unfinished"))
