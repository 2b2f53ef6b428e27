"""STS's `GetCallerIdentity`: the caller's account and user.

Source: AWS STS's API reference.
"""

from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from starlette.responses import Response

from .account import ACCOUNT, USER
from .errors import AwsError
from .failures import Failure
from .requests import AwsRequest

MAX_BODY_BYTES = 64 * 1024
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class StsRequest(AwsRequest):
    """A form with an `Action`."""

    max_body_bytes = MAX_BODY_BYTES
    denied_code = "AccessDenied"
    unknown_key_code = "InvalidClientTokenId"
    operation = ""

    async def read(self) -> None:
        """Read the form, which names the operation."""
        await super().read()
        self.operation = parse_qs(self.body.decode("utf-8", "replace")).get("Action", [""])[0]

    def resource(self) -> str:
        """No operation here has a resource."""
        return "*"

    async def response(self, failure: Failure) -> Response:
        """The local user."""
        if self.operation != "GetCallerIdentity":
            raise AwsError("InvalidAction", f"Could not find operation {self.operation}; known: GetCallerIdentity")
        return _xml_response(
            f"<GetCallerIdentityResponse xmlns='{NAMESPACE}'><GetCallerIdentityResult>"
            f"<Arn>{USER}</Arn><UserId>LOCAL</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
            f"<ResponseMetadata><RequestId>{self.request_id}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
        )

    def error_response(self, error: AwsError) -> Response:
        """The error in STS's XML."""
        detail = f"<Type>Sender</Type><Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
        text = f"<ErrorResponse><Error>{detail}</Error><RequestId>{self.request_id}</RequestId></ErrorResponse>"
        return _xml_response(text, error.status)


def _xml_response(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="text/xml")
