"""A request to one of AWS's services, understood and not yet carried out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp

from .refusals import Refused
from .sagemaker.failures import Failure


@dataclass(frozen=True)
class Call:
    """What a request asks of which service.

    Args:
        operation: AWS's name; empty where there is none.
        resource: the ARN of what it is about, for a message.
        body: as far as it has been read.
        carry_out: gives the response.
        refusal: the response that a refusal is, in the service's own form.
    """

    operation: str
    resource: str
    body: bytes
    carry_out: Callable[[Failure], Awaitable[ASGIApp]]
    refusal: Callable[[Refused], Response]
