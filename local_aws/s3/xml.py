"""S3's XML: what is listed, what a client lists, and what is refused."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from xml.etree import ElementTree

from starlette.responses import Response

from ..account import ACCOUNT
from ..refusals import Refused
from .listing import Page

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
OWNER = {"ID": ACCOUNT, "DisplayName": "local"}


def xml(root: str, content: Mapping[str, Any], status: int = 200) -> Response:
    """A document as a reply: a mapping is an element's children, a list several elements of one name."""
    element = ElementTree.Element(root, {"xmlns": NAMESPACE} if status == 200 else {})
    _fill(element, content)
    return Response(ElementTree.tostring(element, "utf-8", xml_declaration=True), status, media_type="application/xml")


def refusal_in_xml(refused: Refused) -> Response:
    """A refusal in the form of S3."""
    said = {"Code": refused.code, "Message": refused.message, "RequestId": uuid4().hex}
    return xml("Error", said, refused.status)


def list_of_buckets(buckets: Mapping[str, float]) -> Response:
    """What ListBuckets gives."""
    listed = [{"Name": name, "CreationDate": _time(made)} for name, made in buckets.items()]
    return xml("ListAllMyBucketsResult", {"Owner": OWNER, "Buckets": {"Bucket": listed}})


def list_of_objects(page: Page, bucket: str, asked: Mapping[str, str]) -> Response:
    """What ListObjectsV2 gives; keys are quoted for a URL where the client asks for it."""

    def shown(text: str) -> str:
        return quote(text, safe="/") if asked.get("encoding-type") == "url" else text

    echoed = {"Prefix": "prefix", "Delimiter": "delimiter", "StartAfter": "start-after"}
    content: dict[str, Any] = {"Name": bucket, "KeyCount": len(page.found), "MaxKeys": page.most}
    content |= {name: shown(asked[given]) for name, given in echoed.items() if given in asked}
    content["EncodingType"] = asked.get("encoding-type")
    content["ContinuationToken"] = asked.get("continuation-token")
    content["NextContinuationToken"] = page.next_token
    content["IsTruncated"] = "true" if page.next_token else "false"
    content["Contents"] = [
        {
            "Key": shown(one.key),
            "LastModified": _time(one.modified),
            "ETag": f'"{one.etag}"',
            "Size": one.size,
            "StorageClass": "STANDARD",
        }
        for one in page.found
        if not isinstance(one, str)
    ]
    content["CommonPrefixes"] = [{"Prefix": shown(one)} for one in page.found if isinstance(one, str)]
    return xml("ListBucketResult", {name: value for name, value in content.items() if value is not None})


def keys_to_delete(body: bytes) -> tuple[list[str], bool]:
    """The keys in a DeleteObjects request, and whether only failures are to be told. Raises Refused: `MalformedXML`."""
    root = _parsed(body)
    return [one.findtext("{*}Key", "") for one in root.iterfind("{*}Object")], root.findtext("{*}Quiet") == "true"


def parts_listed(body: bytes) -> list[tuple[int, str]]:
    """The numbers and ETags in a CompleteMultipartUpload request. Raises Refused: `MalformedXML`."""
    parts = [
        (one.findtext("{*}PartNumber", ""), one.findtext("{*}ETag", "")) for one in _parsed(body).iterfind("{*}Part")
    ]
    if any(not number.isdecimal() for number, _ in parts):
        raise _malformed()
    return [(int(number), etag.strip('"')) for number, etag in parts]


def _parsed(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise _malformed() from error


def _malformed() -> Refused:
    return Refused("MalformedXML", "The XML you provided was not well-formed or did not validate against our schema")


def _fill(element: ElementTree.Element, content: Any) -> None:
    if not isinstance(content, Mapping):
        element.text = str(content)
        return
    for name, value in content.items():
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for one in several:
            _fill(ElementTree.SubElement(element, name), one)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
