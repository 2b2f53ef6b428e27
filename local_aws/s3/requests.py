"""A request to S3: which operation it is for, by its method, its path and its query.

    /BUCKET/KEY, or /KEY at BUCKET.localhost

What `service.py` has no operation for (versions, access lists …) is answered with `NotImplemented`.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from ..errors import AwsError
from ..failures import Failure
from ..requests import AwsRequest
from .copying import SOURCE_HEADER
from .xml import error_document, host_id

MAX_OBJECT_BYTES = 5 * 1024**3  # of an object or a part that is sent in one request, in AWS
MAX_DOCUMENT_BYTES = 4 * 1024**2  # of XML: 10,000 parts with their checksums have 3 MB

# Query parameters that do not distinguish an operation.
_OTHER_PARAMETERS = re.compile(
    r"prefix|delimiter|max-(keys|uploads|parts)|marker|(key|upload-id|part-number)-marker|start-after|continuation-token"
    r"|encoding-type|fetch-owner|x-id|partNumber|X-Amz-.*"
    r"|AWSAccessKeyId|Signature|Expires"
)


class S3Request(AwsRequest):
    """A request to S3; its body is read by its handler.

    Args:
        operations: those of `service.py`.

    Attributes:
        bucket: the bucket's name; empty if the path names none.
        key: the object's key; empty if the path names none.
        query: the query parameters.
    """

    denied_code = "AccessDenied"
    unknown_key_code = "InvalidAccessKeyId"

    def __init__(self, operations: "Operations", http: Request, region: str) -> None:
        super().__init__(http, region)
        self._operations = operations
        self.query: Mapping[str, str] = http.query_params
        path = unquote_to_bytes(http.scope["raw_path"]).decode("utf-8", "surrogateescape").removeprefix("/")
        host = http.headers.get("Host", "").partition(":")[0].lower()
        if host.endswith(".localhost"):
            self.bucket, self.key = host.removesuffix(".localhost"), path
        else:
            self.bucket, _, self.key = path.partition("/")
        self.operation, self._handler = self._operation()
        self.max_body_bytes = MAX_OBJECT_BYTES if self.operation in ("PutObject", "UploadPart") else MAX_DOCUMENT_BYTES

    async def read(self) -> None:
        """Leave the body to the operation, which may stream it."""

    def id_headers(self) -> dict[str, str]:
        """S3's two ids of a request."""
        return {"x-amz-request-id": self.request_id, "x-amz-id-2": host_id(self.request_id)}

    def too_large(self) -> AwsError:
        """S3's error, which differs for objects and for documents."""
        if self.max_body_bytes == MAX_OBJECT_BYTES:
            return AwsError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
        return AwsError("MaxMessageLengthExceeded", "Your request was too big.")

    def resource(self) -> str:
        """The ARN of the object, or of the bucket."""
        return "arn:aws:s3:::" + "/".join(part for part in (self.bucket, self.key) if part)

    async def response(self, failure: Failure) -> Response:
        """Carry out the operation."""
        if not _is_unicode(self.bucket + self.key):
            raise AwsError("InvalidURI", "Couldn't parse the specified URI: it is not UTF-8.")
        if self._handler is None:
            known = ", ".join(sorted(name for name, _ in self._operations.values()))
            request = f"{self.http.method} {self.http.url.path}?{self.http.url.query}".removesuffix("?")
            raise AwsError("NotImplemented", f"The local runtime has no operation for {request}; it has {known}.", 501)
        return await self._handler(self)

    def error_response(self, error: AwsError) -> Response:
        """The error in S3's XML."""
        return error_document(error, self.request_id)

    def _operation(self) -> "tuple[str, Handler | None]":
        """AWS's name of the operation, and its handler; empty and None for an unknown one."""
        subject = "key" if self.key else "bucket" if self.bucket else "service"
        parameters = [name for name in self.query if not _OTHER_PARAMETERS.fullmatch(name)]
        if self.http.method == "PUT" and SOURCE_HEADER in self.http.headers:
            parameters.append(SOURCE_HEADER)
        return self._operations.get((self.http.method, subject, ",".join(parameters)), ("", None))


Handler = Callable[[S3Request], Awaitable[Response]]
Operations = Mapping[tuple[str, str, str], tuple[str, Handler]]
"""The name and the handler of each operation by its method, its subject (`service`, `bucket` or `key`), and what
distinguishes it: a query parameter, and the header that names the source of a copy."""


def _is_unicode(text: str) -> bool:
    """Whether the text has no bytes that could not be decoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
