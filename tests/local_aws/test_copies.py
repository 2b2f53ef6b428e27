"""Copies of objects in the local runtime's S3, conditions, and hostile XML, by a stock boto3 client and plain HTTP."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from tests.local_aws.conftest import NOW, Cloud
from tests.local_aws.test_objects import MEGABYTE, refused, send


@pytest.fixture
def s3(cloud: Cloud) -> Any:
    cloud.s3.create_bucket(Bucket="models")
    cloud.s3.create_bucket(Bucket="copies")
    return cloud.s3


@pytest.mark.parametrize("key", ["a", "ä/ b+c%2F", "a?versionId=1"])
def test_an_object_is_copied_with_its_metadata(s3: Any, key: str) -> None:
    s3.put_object(Bucket="models", Key=key, Body=b"abc", ContentType="text/plain", Metadata={"family": "plain"})
    copied = s3.copy_object(Bucket="copies", Key="b", CopySource={"Bucket": "models", "Key": key})
    got = s3.get_object(Bucket="copies", Key="b")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"abc", "text/plain", {"family": "plain"})
    assert copied["CopyObjectResult"]["ETag"] == got["ETag"] == f'"{hashlib.md5(b"abc").hexdigest()}"'
    assert copied["CopyObjectResult"]["LastModified"].timestamp() == NOW


def test_a_copy_can_replace_the_metadata_and_then_be_in_place(s3: Any) -> None:
    s3.put_object(Bucket="models", Key="a", Body=b"abc", Metadata={"old": "1"})
    source = {"Bucket": "models", "Key": "a"}
    assert refused(lambda: s3.copy_object(Bucket="models", Key="a", CopySource=source)) == ("InvalidRequest", 400)
    s3.copy_object(Bucket="models", Key="a", CopySource=source, Metadata={"new": "2"}, MetadataDirective="REPLACE")
    got = s3.get_object(Bucket="models", Key="a")
    assert (got["Body"].read(), got["Metadata"]) == (b"abc", {"new": "2"})


def test_a_copy_needs_its_source_and_its_conditions(s3: Any) -> None:
    s3.put_object(Bucket="models", Key="a", Body=b"abc")

    def copy(source: str, **conditions: Any) -> Any:
        return s3.copy_object(Bucket="copies", Key="b", CopySource=source, **conditions)

    assert refused(lambda: copy("models/nothing")) == ("NoSuchKey", 404)
    assert refused(lambda: copy("nowhere/a")) == ("NoSuchBucket", 404)
    assert refused(lambda: copy("models")) == ("InvalidArgument", 400)
    assert refused(lambda: copy("models/a", CopySourceIfMatch='"x"')) == ("PreconditionFailed", 412)
    assert refused(lambda: copy("models/a", CopySourceIfNoneMatch=hashlib.md5(b"abc").hexdigest()))[1] == 412
    copy("models/a", CopySourceIfMatch=hashlib.md5(b"abc").hexdigest())


def test_a_large_object_is_copied_in_parts(s3: Any) -> None:
    data = bytes(range(256)) * (11 * MEGABYTE // 256)
    s3.put_object(Bucket="models", Key="a", Body=data)
    settings = TransferConfig(multipart_threshold=8 * MEGABYTE, multipart_chunksize=5 * MEGABYTE)
    s3.copy({"Bucket": "models", "Key": "a"}, "copies", "b", Config=settings)
    assert s3.get_object(Bucket="copies", Key="b")["Body"].read() == data
    assert s3.head_object(Bucket="copies", Key="b")["ETag"].endswith('-3"')


def test_a_reader_that_has_the_object_is_sent_nothing(s3: Any) -> None:
    etag = s3.put_object(Bucket="models", Key="a", Body=b"abc")["ETag"]
    then = datetime.fromtimestamp(NOW, UTC)
    for condition in ({"IfNoneMatch": etag}, {"IfModifiedSince": then}):
        for read in (s3.get_object, s3.head_object):
            with pytest.raises(ClientError) as caught:
                read(Bucket="models", Key="a", **condition)
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 304
    earlier = datetime.fromtimestamp(NOW - 60, UTC)
    assert s3.get_object(Bucket="models", Key="a", IfModifiedSince=earlier)["Body"].read() == b"abc"
    assert refused(lambda: s3.get_object(Bucket="models", Key="a", IfUnmodifiedSince=earlier))[1] == 412


ENTITIES = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        ENTITIES + b"<Delete><Object><Key>&b;</Key></Object></Delete>",
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Delete><Object><Key>a</Key></Object></Delete>',
        b"<Delete>" + b"<Object><Key>a</Key></Object>" * 1001 + b"</Delete>",
        b"<Delete></Delete>",
        b"<Delete><Object></Object></Delete>",
        b'<?xml version="1.0" encoding="no-such"?><Delete><Object><Key>a</Key></Object></Delete>',
        b"<a>" * 100_000,
        b"",
        b"\xff\xfe",
    ],
)
def test_xml_that_s3_would_not_read_is_refused(cloud: Cloud, s3: Any, body: bytes) -> None:
    status, answer = send(cloud, "POST", "/models?delete", body)
    assert (status, b"<Code>MalformedXML</Code>" in answer) == (400, True)


@pytest.mark.parametrize("number", ["x", "9" * 5000, "-1", ""])
def test_a_part_number_that_is_none_is_refused(cloud: Cloud, s3: Any, number: str) -> None:
    upload = s3.create_multipart_upload(Bucket="models", Key="a")["UploadId"]
    part = f"<Part><PartNumber>{number}</PartNumber><ETag>x</ETag></Part>"
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()
    assert send(cloud, "POST", f"/models/a?uploadId={upload}", body)[0] == 400
    assert send(cloud, "PUT", f"/models/a?uploadId={upload}&partNumber={number}", b"x")[0] == 400
