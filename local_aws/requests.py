"""A request to one of AWS's services: what the gateway needs of it, whichever service it is for."""

from abc import ABC, abstractmethod

from starlette.responses import Response
from starlette.types import ASGIApp

from .errors import AwsError
from .failures import Failure


class AwsRequest(ABC):
    """A request that has been recognised and not yet carried out.

    Attributes:
        operation: AWS's name; empty for the paths of a container.
        body: empty for S3, which reads its bodies as streams.
    """

    operation: str
    body: bytes = b""

    @abstractmethod
    def resource(self) -> str:
        """The ARN of the request's subject for an error message; `*` without one."""

    @abstractmethod
    async def response(self, failure: Failure) -> ASGIApp:
        """Carry the request out, with the failure that is due.

        Raises:
            AwsError: as the service answers it.
        """

    @abstractmethod
    def error_response(self, error: AwsError) -> Response:
        """The error in the form of the service's protocol."""
