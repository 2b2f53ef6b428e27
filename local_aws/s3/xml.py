"""S3's XML: the documents of requests and responses."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from starlette.responses import Response

from ..account import ACCOUNT, DEFAULT_REGION
from ..errors import AwsError
from .listing import Page, encode_token
from .objects import StoredObject

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MAX_DELETED_KEYS = 1000  # in one request
OWNER = {"ID": ACCOUNT, "DisplayName": "local"}


def document(root: str, content: Mapping[str, Any] | str, status: int = 200) -> Response:
    """A response: a mapping becomes an element's children, a list several elements of one name, None nothing."""
    element = ElementTree.Element(root, {"xmlns": NAMESPACE} if status == 200 else {})
    _fill(element, content)
    return Response(ElementTree.tostring(element, "utf-8", xml_declaration=True), status, media_type="application/xml")


def error_document(error: AwsError, request_id: str) -> Response:
    """An error; one for a reader that has the object already has no body."""
    if error.status == 304:
        return Response(status_code=304)
    ids = {"RequestId": request_id, "HostId": host_id(request_id)}
    return document("Error", {"Code": error.code, "Message": error.message, **ids}, error.status)


def host_id(request_id: str) -> str:
    """The second of S3's ids of a request, which follows from the first."""
    return base64.b64encode(hashlib.sha256(request_id.encode()).digest()).decode()


def bucket_list(buckets: Mapping[str, float]) -> Response:
    """The response to ListBuckets."""
    rows = [{"Name": name, "CreationDate": timestamp(created)} for name, created in buckets.items()]
    return document("ListAllMyBucketsResult", {"Owner": OWNER, "Buckets": {"Bucket": rows}})


def bucket_location(region: str) -> Response:
    """The response to GetBucketLocation; empty for the oldest region, as in S3."""
    return document("LocationConstraint", "" if region == DEFAULT_REGION else region)


def object_list(page: Page[StoredObject], bucket: str, query: Mapping[str, str]) -> Response:
    """The response to ListObjects. `NextMarker` is there with a delimiter only, as in S3."""
    encode = encoder(query)
    next_marker = encode(page.last[0]) if page.last and query.get("delimiter") else None
    return _object_list(page, bucket, query, {"Marker": encode(query.get("marker", "")), "NextMarker": next_marker})


def object_list_v2(page: Page[StoredObject], bucket: str, query: Mapping[str, str]) -> Response:
    """The response to ListObjectsV2."""
    fields = {
        "StartAfter": encoder(query)(query.get("start-after")),
        "ContinuationToken": query.get("continuation-token"),
        "NextContinuationToken": encode_token(page.last[0]) if page.last else None,
        "KeyCount": len(page.items) + len(page.prefixes),
    }
    return _object_list(page, bucket, query, fields)


def _object_list(
    page: Page[StoredObject], bucket: str, query: Mapping[str, str], fields: Mapping[str, Any]
) -> Response:
    encode = encoder(query)
    rows = [
        {
            "Key": encode(stored.key),
            "LastModified": timestamp(stored.modified),
            "ETag": f'"{stored.etag}"',
            "Size": stored.size,
            "StorageClass": "STANDARD",
        }
        for stored in page.items
    ]
    content = {
        "Name": bucket,
        "Prefix": encode(query.get("prefix", "")),
        "Delimiter": encode(query.get("delimiter")),
        "EncodingType": query.get("encoding-type"),
        "IsTruncated": "true" if page.last else "false",
        "MaxKeys": page.size,
        **fields,
        "Contents": rows,
        "CommonPrefixes": [{"Prefix": encode(prefix)} for prefix in page.prefixes],
    }
    return document("ListBucketResult", content)


def copy_result(root: str, etag: str, modified: float) -> Response:
    """The response to CopyObject and UploadPartCopy."""
    return document(root, {"ETag": f'"{etag}"', "LastModified": timestamp(modified)})


def encoder(query: Mapping[str, str]) -> Callable[[str | None], str | None]:
    """What keys pass through in a list: they are quoted for a URL where the client requests it."""

    def encode(text: str | None) -> str | None:
        return quote(text, safe="/") if text is not None and query.get("encoding-type") == "url" else text

    return encode


def read_location(body: bytes) -> str:
    """The region in a CreateBucket request; empty if it names none. Raises AwsError: `MalformedXML`."""
    return _parse(body).findtext("{*}LocationConstraint", "") if body else ""


def read_keys(body: bytes) -> tuple[list[str], bool]:
    """The keys in a DeleteObjects request, and whether the response is to be quiet. Raises AwsError: `MalformedXML`."""
    root = _parse(body)
    keys = [one.findtext("{*}Key", "") for one in root.iterfind("{*}Object")]
    if not 1 <= len(keys) <= MAX_DELETED_KEYS or not all(keys):
        raise _malformed()
    return keys, root.findtext("{*}Quiet") == "true"


def read_parts(body: bytes) -> list[tuple[int, str]]:
    """The numbers and ETags in a CompleteMultipartUpload request. Raises AwsError: `MalformedXML`."""
    parts = [
        (part.findtext("{*}PartNumber", ""), part.findtext("{*}ETag", "")) for part in _parse(body).iterfind("{*}Part")
    ]
    if not all(re.fullmatch("[0-9]{1,5}", number) for number, _ in parts):
        raise _malformed()
    return [(int(number), etag.strip('"')) for number, etag in parts]


class _NoEntities(ElementTree.TreeBuilder):
    """A builder that refuses a document type: S3 has none, and its entities can grow without limit."""

    def doctype(self, name: str, public_id: str | None, system_id: str | None) -> None:
        """Refuse it before its entities are read."""
        raise _malformed()


def _parse(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body, ElementTree.XMLParser(target=_NoEntities()))
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # ValueError: an encoding that expat lacks
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


def timestamp(seconds: float) -> str:
    """A time in S3's form, from seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
