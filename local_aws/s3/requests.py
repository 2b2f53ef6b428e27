"""Which of S3's operations a request is: its method, what it is about, and what its query says tell.

    /BUCKET/KEY, or /KEY at BUCKET.localhost

What is not here (versions, access lists, copying …) is refused as `NotImplemented`, never taken for something else.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from ..refusals import Refused

# What a query may say besides what makes another operation of the request.
_HARMLESS = re.compile(
    r"list-type|prefix|delimiter|max-keys|start-after|continuation-token|encoding-type|fetch-owner|x-id|partNumber|"
    r"uploadId|uploads|delete|X-Amz-.*"
)
_OPERATIONS = {
    ("GET", "service", ""): "ListBuckets",
    ("PUT", "bucket", ""): "CreateBucket",
    ("HEAD", "bucket", ""): "HeadBucket",
    ("DELETE", "bucket", ""): "DeleteBucket",
    ("GET", "bucket", "list-type"): "ListObjectsV2",
    ("POST", "bucket", "delete"): "DeleteObjects",
    ("PUT", "key", ""): "PutObject",
    ("GET", "key", ""): "GetObject",
    ("HEAD", "key", ""): "HeadObject",
    ("DELETE", "key", ""): "DeleteObject",
    ("POST", "key", "uploads"): "CreateMultipartUpload",
    ("PUT", "key", "uploadId"): "UploadPart",
    ("POST", "key", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "key", "uploadId"): "AbortMultipartUpload",
}


@dataclass(frozen=True)
class Asked:
    """A request, with the bucket and the key that it names."""

    request: Request
    bucket: str
    key: str

    @property
    def query(self) -> Mapping[str, str]:
        """The query by name."""
        return self.request.query_params


def asked_of(request: Request) -> Asked:
    """The bucket and the key of a request. Raises Refused: `InvalidURI`."""
    try:
        path = unquote_to_bytes(request.scope["raw_path"]).decode().removeprefix("/")
    except UnicodeDecodeError as error:
        raise Refused("InvalidURI", "Couldn't parse the specified URI: it is not UTF-8.") from error
    host = request.headers.get("Host", "").partition(":")[0]
    if host.endswith(".localhost"):
        return Asked(request, host.removesuffix(".localhost"), path)
    bucket, _, key = path.partition("/")
    return Asked(request, bucket, key)


def operation_of(asked: Asked) -> str:
    """The operation that a request is. Raises Refused: `NotImplemented`."""
    about = "key" if asked.key else "bucket" if asked.bucket else "service"
    deciding = next((name for name in ("uploadId", "uploads", "delete", "list-type") if name in asked.query), "")
    operation = _OPERATIONS.get((asked.request.method, about, deciding))
    strange = [name for name in asked.query if not _HARMLESS.fullmatch(name)]
    if operation is None or strange or "x-amz-copy-source" in asked.request.headers:
        what = f"{asked.request.method} {asked.request.url.path} {' '.join(strange)}".rstrip()
        known = ", ".join(sorted(_OPERATIONS.values()))
        raise Refused("NotImplemented", f"The local runtime has no operation for {what}; it has {known}.", 501)
    return operation
