"""A request to one of AWS's services: what the gateway needs of it, whichever service it is for."""

from abc import ABC, abstractmethod
from typing import ClassVar
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from .errors import AwsError
from .failures import Failure


class AwsRequest(ABC):
    """A request that has been recognised by its head, and not yet read and carried out.

    Args:
        region: that it was signed for.

    Attributes:
        operation: AWS's name; empty for the paths of a container.
        body: empty until it is read, and for S3, which reads its bodies as streams.
        max_body_bytes: that are accepted.
        refuses_forms: whether content types that a web page sends without asking are refused.
        denied_code: the service's error for a request that it does not allow.
        unknown_key_code: its error for an access key that does not exist.
    """

    operation: str
    body: bytes = b""
    max_body_bytes: int
    refuses_forms: ClassVar[bool] = False
    denied_code: ClassVar[str] = "AccessDeniedException"
    unknown_key_code: ClassVar[str] = "UnrecognizedClientException"

    def __init__(self, http: Request, region: str) -> None:
        self.http, self.region = http, region
        self.request_id = str(uuid4())

    async def read(self) -> None:
        """Read the body."""
        self.body = await self.http.body()

    def id_headers(self) -> dict[str, str]:
        """The headers with the request's id that every response has."""
        return {"x-amzn-RequestId": self.request_id}

    def too_large(self) -> AwsError:
        """The error for a body that is too large."""
        return AwsError("RequestEntityTooLargeException", f"The body has more than {self.max_body_bytes} bytes.", 413)

    @abstractmethod
    def resource(self) -> str:
        """The ARN of the request's subject for an error message; `*` without one."""

    @abstractmethod
    async def response(self, failure: Failure) -> Response:
        """Carry the request out, with the failure that is due.

        Raises:
            AwsError: as the service answers it.
        """

    @abstractmethod
    def error_response(self, error: AwsError) -> Response:
        """The error in the form of the service's protocol."""
