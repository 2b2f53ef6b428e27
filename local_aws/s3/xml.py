"""S3's XML: the documents of requests and responses."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from xml.etree import ElementTree

from starlette.responses import Response

from ..account import ACCOUNT
from ..errors import AwsError
from .listing import Page

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
OWNER = {"ID": ACCOUNT, "DisplayName": "local"}


def document(root: str, content: Mapping[str, Any], status: int = 200) -> Response:
    """A response: a mapping becomes an element's children, a list several elements of one name, None nothing."""
    element = ElementTree.Element(root, {"xmlns": NAMESPACE} if status == 200 else {})
    _fill(element, content)
    return Response(ElementTree.tostring(element, "utf-8", xml_declaration=True), status, media_type="application/xml")


def error_document(error: AwsError) -> Response:
    """An error."""
    fields = {"Code": error.code, "Message": error.message, "RequestId": uuid4().hex}
    return document("Error", fields, error.status)


def bucket_list(buckets: Mapping[str, float]) -> Response:
    """The response to ListBuckets."""
    rows = [{"Name": name, "CreationDate": _time(created)} for name, created in buckets.items()]
    return document("ListAllMyBucketsResult", {"Owner": OWNER, "Buckets": {"Bucket": rows}})


def object_list(page: Page, bucket: str, query: Mapping[str, str]) -> Response:
    """The response to ListObjectsV2; keys are quoted for a URL where the client requests it."""

    def encode(text: str | None) -> str | None:
        return quote(text, safe="/") if text is not None and query.get("encoding-type") == "url" else text

    rows = [
        {
            "Key": encode(entry.key),
            "LastModified": _time(entry.modified),
            "ETag": f'"{entry.etag}"',
            "Size": entry.size,
            "StorageClass": "STANDARD",
        }
        for entry in page.entries
        if not isinstance(entry, str)
    ]
    content = {
        "Name": bucket,
        "Prefix": encode(query.get("prefix")),
        "Delimiter": encode(query.get("delimiter")),
        "StartAfter": encode(query.get("start-after")),
        "EncodingType": query.get("encoding-type"),
        "ContinuationToken": query.get("continuation-token"),
        "NextContinuationToken": page.next_token,
        "IsTruncated": "true" if page.next_token else "false",
        "KeyCount": len(page.entries),
        "MaxKeys": page.size,
        "Contents": rows,
        "CommonPrefixes": [{"Prefix": encode(entry)} for entry in page.entries if isinstance(entry, str)],
    }
    return document("ListBucketResult", content)


def read_keys(body: bytes) -> tuple[list[str], bool]:
    """The keys in a DeleteObjects request, and whether the response is to be quiet. Raises AwsError: `MalformedXML`."""
    root = _parse(body)
    return [one.findtext("{*}Key", "") for one in root.iterfind("{*}Object")], root.findtext("{*}Quiet") == "true"


def read_parts(body: bytes) -> list[tuple[int, str]]:
    """The numbers and ETags in a CompleteMultipartUpload request. Raises AwsError: `MalformedXML`."""
    parts = [
        (part.findtext("{*}PartNumber", ""), part.findtext("{*}ETag", "")) for part in _parse(body).iterfind("{*}Part")
    ]
    if any(not number.isdecimal() for number, _ in parts):
        raise _malformed()
    return [(int(number), etag.strip('"')) for number, etag in parts]


def _parse(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise _malformed() from error


def _malformed() -> AwsError:
    return AwsError("MalformedXML", "The XML you provided was not well-formed or did not validate against our schema")


def _fill(element: ElementTree.Element, content: Any) -> None:
    if not isinstance(content, Mapping):
        element.text = str(content)
        return
    for name, value in content.items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for one in values:
            if one is not None:
                _fill(ElementTree.SubElement(element, name), one)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
