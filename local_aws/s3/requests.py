"""A request to S3: which operation it is for, by its method, its path and its query.

    /BUCKET/KEY, or /KEY at BUCKET.localhost

Everything that is not listed here (versions, access lists, copies …) is answered with `NotImplemented`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from ..errors import AwsError
from ..failures import Failure
from ..requests import AwsRequest
from .xml import error_document

# By method, what the path names, and the query parameter that distinguishes the operation.
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
_DISTINGUISHING = {parameter for _, _, parameter in _OPERATIONS if parameter}
_OTHER_PARAMETERS = re.compile(
    r"prefix|delimiter|max-keys|start-after|continuation-token|encoding-type|fetch-owner|x-id|partNumber|X-Amz-.*"
)


class S3Request(AwsRequest):
    """A request to S3; its body is read by its handler.

    Args:
        handlers: what carries out each operation.

    Attributes:
        bucket: the bucket's name; empty where the path names none.
        key: the object's key; empty where the path names none.
        query: the query parameters.
    """

    def __init__(self, handlers: "Mapping[str, Handler]", http: Request) -> None:
        self._handlers, self.http = handlers, http
        self.query: Mapping[str, str] = http.query_params
        path = unquote_to_bytes(http.scope["raw_path"]).decode("utf-8", "surrogateescape").removeprefix("/")
        host = http.headers.get("Host", "").partition(":")[0]
        if host.endswith(".localhost"):
            self.bucket, self.key = host.removesuffix(".localhost"), path
        else:
            self.bucket, _, self.key = path.partition("/")
        self.operation = self._operation()

    def resource(self) -> str:
        """The ARN of the object, or of the bucket."""
        return "arn:aws:s3:::" + "/".join(part for part in (self.bucket, self.key) if part)

    async def response(self, failure: Failure) -> Response:
        """Carry out the operation."""
        if not _is_unicode(self.bucket + self.key):
            raise AwsError("InvalidURI", "Couldn't parse the specified URI: it is not UTF-8.")
        if not self.operation:
            known = ", ".join(sorted(_OPERATIONS.values()))
            request = f"{self.http.method} {self.http.url.path}?{self.http.url.query}".removesuffix("?")
            raise AwsError("NotImplemented", f"The local runtime has no operation for {request}; it has {known}.", 501)
        return await self._handlers[self.operation](self)

    def error_response(self, error: AwsError) -> Response:
        """The error in S3's XML."""
        return error_document(error)

    def _operation(self) -> str:
        """AWS's name of the operation; empty if it is not one of those above."""
        subject = "key" if self.key else "bucket" if self.bucket else "service"
        distinguishing = _DISTINGUISHING & self.query.keys()
        others = self.query.keys() - distinguishing
        is_unknown = len(distinguishing) > 1 or not all(map(_OTHER_PARAMETERS.fullmatch, others))
        if is_unknown or "x-amz-copy-source" in self.http.headers:
            return ""
        return _OPERATIONS.get((self.http.method, subject, "".join(distinguishing)), "")


Handler = Callable[[S3Request], Awaitable[Response]]


def _is_unicode(text: str) -> bool:
    """Whether the text has no bytes that could not be decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
