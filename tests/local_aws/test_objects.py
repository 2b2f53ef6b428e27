"""The local runtime's S3, used by a stock boto3 client, and by plain HTTP for requests that boto3 never sends."""

import asyncio
import base64
import os
import zlib
from collections.abc import AsyncIterator, Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from sagechain.local_aws import LocalRuntime
from sagechain.local_aws.s3.objects import Objects, StoredObject
from sagechain.local_aws.s3.upload_body import ChunkedBody

from tests.local_aws.conftest import NOW, Cloud, cloud_of

MEGABYTE = 1024**2
HOSTILE = [
    "..",
    "../../etc/passwd",
    "/",
    "//a",
    "a/../b",
    ".",
    "a" * 1000,
    "ü/日本 😀",
    "a\\..\\b",
    "con",
    "%2e%2e/x",
    "a\n",
]


@pytest.fixture
def s3(cloud: Cloud) -> Any:
    cloud.s3.create_bucket(Bucket="models")
    return cloud.s3


def refused(call: Callable[[], Any]) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call()
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def send(cloud: Cloud, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection(cloud.runtime.url.removeprefix("http://"))
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, data


def test_thirty_megabytes_are_read_back_unchanged(cloud: Cloud, s3: Any, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(os.urandom(30 * MEGABYTE))
    s3.upload_file(str(tmp_path / "sent"), "models", "mine/model.tar.gz", ExtraArgs={"Metadata": {"family": "plain"}})
    s3.download_file("models", "mine/model.tar.gz", str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == (tmp_path / "sent").read_bytes()
    head = s3.head_object(Bucket="models", Key="mine/model.tar.gz")
    assert (head["ContentLength"], head["Metadata"]) == (30 * MEGABYTE, {"family": "plain"})
    assert head["ETag"].endswith('-4"')
    assert cloud.operations().count("UploadPart") == 4
    assert all(request.body == b"" for request in cloud.runtime.requests if request.operation == "UploadPart")


def test_a_small_file_is_sent_in_one_part_and_its_checksum_returned(cloud: Cloud, s3: Any) -> None:
    checksum = base64.b64encode(zlib.crc32(b"abc").to_bytes(4, "big")).decode()
    assert s3.put_object(Bucket="models", Key="a", Body=b"abc", ContentType="text/plain")["ChecksumCRC32"] == checksum
    got = s3.get_object(Bucket="models", Key="a")
    assert (got["Body"].read(), got["ContentType"], got["ChecksumCRC32"]) == (b"abc", "text/plain", checksum)
    s3.put_object(Bucket="models", Key="a", Body=b"other")
    assert s3.get_object(Bucket="models", Key="a")["Body"].read() == b"other"


@pytest.mark.parametrize(
    "wrong",
    [
        {"ChecksumCRC32": "AAAAAA=="},
        {"ChecksumSHA256": base64.b64encode(bytes(32)).decode()},
        {"ContentMD5": base64.b64encode(bytes(16)).decode()},
    ],
)
def test_an_upload_with_a_wrong_checksum_is_refused_and_leaves_nothing(s3: Any, wrong: dict[str, str]) -> None:
    assert refused(lambda: s3.put_object(Bucket="models", Key="a", Body=b"abc", **wrong)) == ("BadDigest", 400)
    assert s3.list_objects_v2(Bucket="models")["KeyCount"] == 0


def chunked(data: bytes, size: int, checksum: str, *, signed: bool = False) -> bytes:
    pieces = [data[i : i + size] for i in range(0, len(data), size)] + [b""]
    signature = b";chunk-signature=" + b"0" * 64 if signed else b""
    framed = b"".join(b"%x%s\r\n%s%s" % (len(one), signature, one, b"\r\n" if one else b"") for one in pieces)
    return framed + f"x-amz-checksum-crc32:{checksum}\r\n\r\n".encode()


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("tail", "status"), [("", 200), ("wrong", 400)])
def test_a_chunked_body_is_decoded_and_compared_with_its_checksum(
    cloud: Cloud, s3: Any, signed: bool, tail: str, status: int
) -> None:
    data = os.urandom(200_000)
    checksum = base64.b64encode(zlib.crc32(data + tail.encode()).to_bytes(4, "big")).decode()
    headers = {
        "Content_Encoding": "aws-chunked",
        "X_Amz_Trailer": "x-amz-checksum-crc32",
        "X_Amz_Decoded_Content_Length": str(len(data)),
        "X_Amz_Content_Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    }
    got = send(cloud, "PUT", "/models/a", chunked(data, 65_536, checksum, signed=signed), **headers)
    assert got[0] == status
    if status == 200:
        stored = s3.get_object(Bucket="models", Key="a")
        assert stored["Body"].read() == data
        assert "ContentEncoding" not in stored


@given(st.binary(max_size=300), st.integers(1, 50), st.integers(1, 40))
def test_chunks_are_read_however_they_arrive(data: bytes, size: int, received: int) -> None:
    raw = chunked(data, size, "AAAA")

    async def stream() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), received):
            yield raw[start : start + received]

    async def read() -> tuple[bytes, dict[str, str]]:
        chunked_body = ChunkedBody(stream())
        return b"".join([part async for part in chunked_body.data()]), chunked_body.trailers

    assert asyncio.run(read()) == (data, {"x-amz-checksum-crc32": "AAAA"})


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"zz\r\n", b"InvalidRequest"), (b"5\r\nab", b"IncompleteBody"), (b"2\r\nabcd\r\n", b"InvalidRequest")],
)
def test_a_body_that_is_not_in_chunks_is_refused(cloud: Cloud, s3: Any, body: bytes, code: bytes) -> None:
    status, response = send(cloud, "PUT", "/models/a", body, Content_Encoding="aws-chunked")
    assert (status, b"<Code>%s</Code>" % code in response) == (400, True)


@pytest.mark.parametrize(
    ("range_header", "expected"),
    [("bytes=1-3", b"bcd"), ("bytes=4-", b"ef"), ("bytes=-2", b"ef"), ("bytes=2-99", b"cdef")],
)
def test_a_range_of_an_object_can_be_read(s3: Any, range_header: str, expected: bytes) -> None:
    s3.put_object(Bucket="models", Key="a", Body=b"abcdef")
    reply = s3.get_object(Bucket="models", Key="a", Range=range_header)
    assert (reply["Body"].read(), reply["ResponseMetadata"]["HTTPStatusCode"]) == (expected, 206)
    assert reply["ContentRange"].endswith("/6")


def test_errors_are_those_of_s3(s3: Any) -> None:
    assert refused(lambda: s3.get_object(Bucket="models", Key="a")) == ("NoSuchKey", 404)
    assert refused(lambda: s3.head_object(Bucket="models", Key="a")) == ("404", 404)
    assert refused(lambda: s3.head_bucket(Bucket="nowhere")) == ("404", 404)
    assert refused(lambda: s3.put_object(Bucket="nowhere", Key="a", Body=b"1")) == ("NoSuchBucket", 404)
    assert refused(lambda: s3.list_objects_v2(Bucket="nowhere")) == ("NoSuchBucket", 404)
    assert refused(lambda: s3.create_bucket(Bucket="a..b")) == ("InvalidBucketName", 400)
    s3.put_object(Bucket="models", Key="a", Body=b"abc")
    assert refused(lambda: s3.delete_bucket(Bucket="models")) == ("BucketNotEmpty", 409)
    assert refused(lambda: s3.get_object(Bucket="models", Key="a", Range="bytes=9-")) == ("InvalidRange", 416)
    assert refused(lambda: s3.get_object(Bucket="models", Key="a", IfMatch='"x"')) == ("PreconditionFailed", 412)
    assert (
        refused(lambda: s3.put_object(Bucket="models", Key="a", Body=b"", IfNoneMatch="*"))[0] == "PreconditionFailed"
    )
    assert refused(lambda: s3.get_object_acl(Bucket="models", Key="a")) == ("NotImplemented", 501)


def test_the_connection_is_usable_after_a_refused_upload(s3: Any) -> None:
    for _ in range(3):
        assert refused(lambda: s3.put_object(Bucket="nowhere", Key="a", Body=b"x" * 100))[0] == "NoSuchBucket"
        s3.put_object(Bucket="models", Key="a", Body=b"abc")


def test_objects_are_listed_by_prefix_and_delimiter_in_pages(s3: Any) -> None:
    keys = ["a", "b/1", "b/2", "b/c/3", "d/4", "é<&>"]
    for key in keys:
        s3.put_object(Bucket="models", Key=key, Body=b"x")
    pages = s3.get_paginator("list_objects_v2")

    def listed(size: int, **parameters: str) -> tuple[list[str], list[str]]:
        found = list(pages.paginate(Bucket="models", PaginationConfig={"PageSize": size}, **parameters))
        assert all(page["KeyCount"] <= size for page in found)
        objects = [one["Key"] for page in found for one in page.get("Contents", [])]
        return objects, [one["Prefix"] for page in found for one in page.get("CommonPrefixes", [])]

    for size in (1, 2, 1000):
        assert listed(size) == (keys, [])
        assert listed(size, Delimiter="/") == (["a", "é<&>"], ["b/", "d/"])
        assert listed(size, Prefix="b/", Delimiter="/") == (["b/1", "b/2"], ["b/c/"])
        assert listed(size, StartAfter="b/2") == (["b/c/3", "d/4", "é<&>"], [])
    gone = s3.delete_objects(Bucket="models", Delete={"Objects": [{"Key": "a"}, {"Key": "é<&>"}, {"Key": "never"}]})
    assert [one["Key"] for one in gone["Deleted"]] == ["a", "é<&>", "never"]
    assert listed(1000) == (["b/1", "b/2", "b/c/3", "d/4"], [])
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["models"]


def test_a_multipart_upload_joins_exactly_the_listed_parts(s3: Any) -> None:
    upload = s3.create_multipart_upload(Bucket="models", Key="a")["UploadId"]
    of = {"Bucket": "models", "Key": "a", "UploadId": upload}
    first = s3.upload_part(**of, PartNumber=1, Body=b"x" * 5 * MEGABYTE)["ETag"]
    second = s3.upload_part(**of, PartNumber=2, Body=b"y")["ETag"]

    def complete(*parts: tuple[int, str]) -> Any:
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        return s3.complete_multipart_upload(**of, MultipartUpload={"Parts": listed})

    assert refused(lambda: complete((2, second), (1, first)))[0] == "InvalidPartOrder"
    assert refused(lambda: complete((1, first), (3, second)))[0] == "InvalidPart"
    assert refused(lambda: complete((1, second)))[0] == "InvalidPart"
    s3.upload_part(**of, PartNumber=3, Body=b"z")
    assert (
        refused(lambda: complete((1, first), (2, second), (3, '"fbade9e36a3f36d3d676c1b808451dd7"')))[0]
        == "EntityTooSmall"
    )
    complete((1, first), (2, second))
    assert s3.head_object(Bucket="models", Key="a")["ContentLength"] == 5 * MEGABYTE + 1
    assert refused(lambda: s3.upload_part(**of, PartNumber=1, Body=b""))[0] == "NoSuchUpload"
    other = s3.create_multipart_upload(Bucket="models", Key="b")["UploadId"]
    s3.abort_multipart_upload(Bucket="models", Key="b", UploadId=other)
    assert refused(lambda: s3.abort_multipart_upload(Bucket="models", Key="b", UploadId=other))[0] == "NoSuchUpload"


def test_a_part_whose_connection_is_reset_is_sent_again(cloud: Cloud, s3: Any, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(os.urandom(12 * MEGABYTE))
    cloud.runtime.fail("UploadPart", "reset", times=1)
    repeating = boto3.client("s3", endpoint_url=cloud.runtime.url)
    one_by_one = TransferConfig(use_threads=False)
    repeating.upload_file(str(tmp_path / "sent"), "models", "a", Config=one_by_one)
    assert s3.get_object(Bucket="models", Key="a")["Body"].read() == (tmp_path / "sent").read_bytes()


def test_a_bucket_may_be_the_first_part_of_the_hosts_name(cloud: Cloud, s3: Any) -> None:
    s3.put_object(Bucket="models", Key="a/b", Body=b"abc")
    assert send(cloud, "GET", "/a/b", Host="models.localhost:8080") == (200, b"abc")


def test_a_bucket_may_have_the_name_of_a_runtime_path(s3: Any) -> None:
    for bucket in ("ping", "invocations", "endpoints"):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="x/invocations", Body=b"abc")
        assert s3.get_object(Bucket=bucket, Key="x/invocations")["Body"].read() == b"abc"


@pytest.mark.parametrize("key", HOSTILE)
def test_any_key_can_be_stored_and_none_leads_out_of_the_folder(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "one" / "two" / "runtime"
    with LocalRuntime({}, folder=folder, clock=lambda: NOW) as runtime:
        cloud = cloud_of(runtime)
        cloud.s3.create_bucket(Bucket="models")
        path = "/models/" + quote(key, safe="")
        assert send(cloud, "PUT", path, b"abc")[0] == 200
        assert send(cloud, "GET", path) == (200, b"abc")
        assert [one["Key"] for one in cloud.s3.list_objects_v2(Bucket="models")["Contents"]] == [key]
        outside = [
            path for path in tmp_path.rglob("*") if path.is_file() and not path.is_relative_to(folder / "buckets")
        ]
        assert outside == [folder / "lock"]
        assert send(cloud, "DELETE", path)[0] == 204
        assert [path for path in (folder / "buckets").rglob("*") if path.is_file()] == []


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=250))
def test_the_file_of_an_object_is_in_its_buckets_folder(tmp_path: Path, key: str) -> None:
    objects = Objects(tmp_path)
    objects.create_bucket("models", "us-east-1")
    path = objects.new_file("models", key)
    assert path.resolve().parent == (tmp_path / "models" / "data").resolve()
    path.write_bytes(b"abc")
    objects.put("models", StoredObject(key, path.name, 3, "etag", 0.0))
    assert Objects(tmp_path).find("models", key) == objects.find("models", key)
    objects.delete("models", key)
    assert not list((tmp_path / "models").rglob("*.*"))


def test_a_key_has_at_most_1024_bytes(cloud: Cloud, s3: Any) -> None:
    assert refused(lambda: s3.put_object(Bucket="models", Key="ü" * 513, Body=b""))[0] == "KeyTooLongError"
