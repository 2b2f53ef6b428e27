"""Requests to services that the runtime does not have (IAM, CloudWatch …): refused in the protocol of that service.

A client then reports which service is missing, instead of an error of S3's, or of its own parser.

Source: the protocols in botocore's service models, and their form in the AWS SDKs' specification (Smithy).
"""

import json
import re
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response

from .errors import AwsError
from .failures import Failure
from .requests import AwsRequest

MAX_BODY_BYTES = 4 * 1024**2
KNOWN_SERVICES = "SageMaker, its runtime, S3 and STS"
REST_XML_SERVICES = ("cloudfront", "route53")

_RPC_PATH = re.compile(r"/service/([^/]+)/operation/([^/]+)")


def other_service(http: Request, signed_for: str, *, is_runtime_path: bool) -> str:
    """The service that a request is for, if it is one that the runtime does not have."""
    if signed_for in ("s3", "sts") or (signed_for == "sagemaker" and is_runtime_path):
        return ""
    if signed_for:
        return signed_for
    if rpc := _RPC_PATH.fullmatch(http.scope["path"]):
        return rpc[1]
    return http.headers.get("X-Amz-Target", "").partition(".")[0]


class OtherServiceRequest(AwsRequest):
    """A request that is refused.

    Args:
        service: as signatures name it, or the request itself.
    """

    max_body_bytes = MAX_BODY_BYTES

    def __init__(self, http: Request, region: str, service: str) -> None:
        super().__init__(http, region)
        self._service = service
        rpc = _RPC_PATH.fullmatch(http.scope["path"])
        self.operation = rpc[2] if rpc else http.headers.get("X-Amz-Target", "").rpartition(".")[2]

    async def read(self) -> None:
        """Read the body; a form names its operation."""
        await super().read()
        if self._is_form:
            self.operation = parse_qs(self.body.decode("utf-8", "replace")).get("Action", [""])[0]

    def resource(self) -> str:
        """None is known."""
        return "*"

    async def response(self, failure: Failure) -> Response:
        """Refuse it."""
        code = "InvalidAction" if self._is_form else "UnknownOperationException"
        request = self.operation or f"{self.http.method} {self.http.scope['path']}"
        raise AwsError(code, f"The local runtime has no {request} of {self._service}; it has {KNOWN_SERVICES}.")

    def error_response(self, error: AwsError) -> Response:
        """The error in the protocol that the request is in."""
        headers = {"x-amzn-ErrorType": error.code}
        if self.http.headers.get("smithy-protocol") == "rpc-v2-cbor":
            body = _cbor({"__type": error.code, "message": error.message})
            return Response(body, error.status, {"smithy-protocol": "rpc-v2-cbor"}, "application/cbor")
        if self._is_form or self._service in REST_XML_SERVICES:
            return Response(self._xml(error), error.status, media_type="text/xml")
        fields = {"__type": error.code, "message": error.message, "Message": error.message}
        return Response(json.dumps(fields), error.status, headers, "application/json")

    @property
    def _is_form(self) -> bool:
        return self.http.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")

    def _xml(self, error: AwsError) -> str:
        detail = f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
        if self._service == "ec2":
            return (
                f"<Response><Errors><Error>{detail}</Error></Errors><RequestID>{self.request_id}</RequestID></Response>"
            )
        request_id = f"<RequestId>{self.request_id}</RequestId>"
        return f"<ErrorResponse><Error><Type>Sender</Type>{detail}</Error>{request_id}</ErrorResponse>"


def _cbor(fields: dict[str, str]) -> bytes:
    """A map of texts in CBOR (RFC 8949)."""
    return bytes([0xA0 + len(fields)]) + b"".join(_cbor_text(text) for field in fields.items() for text in field)


def _cbor_text(text: str) -> bytes:
    data = text.encode()
    return b"\x7a" + len(data).to_bytes(4, "big") + data  # a text with a length of four bytes
