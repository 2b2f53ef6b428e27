"""The local runtime's lists of objects, of unfinished uploads and of their parts, as a stock boto3 client pages them."""

from typing import Any
from urllib.parse import quote

import boto3
import pytest
from botocore.exceptions import ClientError
from sagechain.local_aws import LocalRuntime

from tests.local_aws.conftest import NOW, Cloud
from tests.local_aws.test_objects import send

KEYS = ["a", "b/1", "b/2", "b/c/3", "d/4", "é<&>"]


@pytest.fixture
def s3(cloud: Cloud) -> Any:
    cloud.s3.create_bucket(Bucket="models")
    return cloud.s3


@pytest.fixture
def objects(s3: Any) -> Any:
    for key in KEYS:
        s3.put_object(Bucket="models", Key=key, Body=b"x")
    return s3


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(("operation", "start"), [("list_objects", "Marker"), ("list_objects_v2", "StartAfter")])
def test_both_lists_of_objects_page_alike(objects: Any, operation: str, start: str, size: int) -> None:
    def listed(**parameters: str) -> tuple[list[str], list[str]]:
        pages = objects.get_paginator(operation).paginate(
            Bucket="models", PaginationConfig={"PageSize": size}, **parameters
        )
        found = list(pages)
        keys = [one["Key"] for page in found for one in page.get("Contents", [])]
        return keys, [one["Prefix"] for page in found for one in page.get("CommonPrefixes", [])]

    assert listed() == (KEYS, [])
    assert listed(Delimiter="/") == (["a", "é<&>"], ["b/", "d/"])
    assert listed(Prefix="b/", Delimiter="/") == (["b/1", "b/2"], ["b/c/"])
    if size == 1000:
        assert listed(**{start: "b/1"}) == (["b/2", "b/c/3", "d/4", "é<&>"], [])
        assert listed(**{start: "b/1"}, Delimiter="/") == (["é<&>"], ["b/", "d/"])


def test_the_old_list_has_a_marker_only_with_a_delimiter(objects: Any) -> None:
    page = objects.list_objects(Bucket="models", MaxKeys=2)
    assert (page["IsTruncated"], page.get("NextMarker"), page["MaxKeys"]) == (True, None, 2)
    page = objects.list_objects(Bucket="models", MaxKeys=2, Delimiter="/")
    assert (page["IsTruncated"], page["NextMarker"], page["Name"]) == (True, "b/", "models")
    assert objects.list_objects(Bucket="models", MaxKeys=0)["IsTruncated"] is False


@pytest.mark.parametrize("size", ["-1", "x", "9" * 5000, quote("٣"), "2147483648"])
@pytest.mark.parametrize("query", ["max-keys=", "list-type=2&max-keys=", "uploads&max-uploads="])
def test_a_page_size_that_is_no_number_is_refused(cloud: Cloud, s3: Any, query: str, size: str) -> None:
    status, answer = send(cloud, "GET", f"/models?{query}{size}")
    assert (status, b"<Code>InvalidArgument</Code>" in answer) == (400, True)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_unfinished_uploads_are_listed_by_key_and_start_until_they_end(s3: Any, size: int) -> None:
    started = [(key, s3.create_multipart_upload(Bucket="models", Key=key)["UploadId"]) for key in ["b", "a", "b", "c"]]
    in_order = [started[1], started[0], started[2], started[3]]
    s3.create_bucket(Bucket="others")
    s3.create_multipart_upload(Bucket="others", Key="a")

    def listed(**parameters: str) -> list[tuple[str, str]]:
        pages = s3.get_paginator("list_multipart_uploads").paginate(
            Bucket="models", PaginationConfig={"PageSize": size}, **parameters
        )
        return [(one["Key"], one["UploadId"]) for page in pages for one in page.get("Uploads", [])]

    assert listed() == in_order
    assert listed(Prefix="b") == [started[0], started[2]]
    s3.abort_multipart_upload(Bucket="models", Key="b", UploadId=started[0][1])
    assert listed() == [started[1], started[2], started[3]]


def test_an_unfinished_upload_is_listed_with_its_start_by_the_runtimes_clock(s3: Any) -> None:
    for key in ["runs/1/model.tar.gz", "runs/2/model.tar.gz", "other"]:
        s3.create_multipart_upload(Bucket="models", Key=key)
    page = s3.list_multipart_uploads(Bucket="models", Prefix="runs/")
    assert [upload["Initiated"].timestamp() for upload in page["Uploads"]] == [NOW, NOW]
    page = s3.list_multipart_uploads(Bucket="models", Delimiter="/")
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["runs/"]
    assert [one["Key"] for one in page["Uploads"]] == ["other"]
    page = s3.list_multipart_uploads(Bucket="models", KeyMarker="other")
    assert [one["Key"] for one in page["Uploads"]] == ["runs/1/model.tar.gz", "runs/2/model.tar.gz"]
    with pytest.raises(ClientError, match="NoSuchBucket"):
        s3.list_multipart_uploads(Bucket="nowhere")


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_the_parts_of_an_upload_are_listed(s3: Any, size: int) -> None:
    upload = {"Bucket": "models", "Key": "ä b", "UploadId": ""}
    upload["UploadId"] = s3.create_multipart_upload(Bucket="models", Key="ä b")["UploadId"]
    etags = {number: s3.upload_part(**upload, PartNumber=number, Body=b"x" * number)["ETag"] for number in (3, 1, 20)}
    pages = list(s3.get_paginator("list_parts").paginate(**upload, PaginationConfig={"PageSize": size}))
    parts = [(part["PartNumber"], part["Size"], part["ETag"]) for page in pages for part in page["Parts"]]
    assert parts == [(number, number, etags[number]) for number in (1, 3, 20)]


def test_a_bucket_has_the_region_that_it_was_created_in(cloud: Cloud) -> None:
    def client(region: str) -> Any:
        return boto3.client("s3", endpoint_url=cloud.runtime.url, region_name=region)

    def location(bucket: str) -> str | None:
        answer: str | None = cloud.s3.get_bucket_location(Bucket=bucket)["LocationConstraint"]
        return answer

    cloud.s3.create_bucket(Bucket="first")
    client("eu-west-1").create_bucket(Bucket="second", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"})
    client("eu-west-1").create_bucket(Bucket="third")
    assert [location(bucket) for bucket in ("first", "second", "third")] == [None, "ap-south-1", "eu-west-1"]
    assert client("us-west-2").head_bucket(Bucket="second")["BucketRegion"] == "ap-south-1"
    with pytest.raises(ClientError, match="NoSuchBucket"):
        location("nowhere")


def test_a_buckets_region_is_stored(tmp_path: Any) -> None:
    settings = {"CreateBucketConfiguration": {"LocationConstraint": "eu-north-1"}}
    with LocalRuntime({}, folder=tmp_path) as runtime:
        boto3.client("s3", endpoint_url=runtime.url).create_bucket(Bucket="models", **settings)
    with LocalRuntime({}, folder=tmp_path) as runtime:
        answer = boto3.client("s3", endpoint_url=runtime.url).get_bucket_location(Bucket="models")
    assert answer["LocationConstraint"] == "eu-north-1"
