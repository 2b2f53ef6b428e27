"""The runtime's one address, for what AWS has four of: SageMaker's control plane and runtime, S3, and STS.

Every request is recognised and read here, once; its service then carries it out. A signature names the service that it
is meant for; a request without one is recognised by its form:

    POST /            X-Amz-Target: SageMaker.OPERATION     the control plane      sagemaker/requests.py
    POST /            Action=OPERATION                      STS                    sts.py
    /endpoints/…, /invocations, /ping                       the runtime            inference/server.py
    anything else                                           S3                     s3/requests.py

Signatures are not checked.
"""

import re
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .account import DEFAULT_REGION
from .connection import Connection
from .errors import AwsError
from .failures import Failures
from .inference.server import CLIENT_LEFT, RUNTIME_PATH, InferenceRequest, InferenceServer
from .requests import AwsRequest
from .s3.requests import S3Request
from .s3.service import S3Service
from .sagemaker.control_plane import ControlPlane
from .sagemaker.requests import ControlPlaneRequest
from .sts import StsRequest

MAX_LOGGED_REQUESTS = 1000

_SIGNATURE_SCOPE = re.compile(r"Credential=[^/,]+/\d+/([^/]+)/([^/]+)/aws4_request")


@dataclass(frozen=True)
class LoggedRequest:
    """A request that reached the runtime.

    Args:
        body: empty for S3, where it may be a model.
        operation: AWS's name; empty for the container's own paths.
    """

    method: str
    path: str
    body: bytes
    operation: str = ""


class Gateway:
    """The ASGI application.

    Args:
        failures: what goes wrong with the next requests.

    Attributes:
        requests: the latest requests, oldest first.
    """

    def __init__(
        self, control_plane: ControlPlane, inference: InferenceServer, s3: S3Service, failures: Failures
    ) -> None:
        self._control_plane, self._inference, self._s3 = control_plane, inference, s3
        self._failures = failures
        self.requests: deque[LoggedRequest] = deque(maxlen=MAX_LOGGED_REQUESTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        http = Request(scope, receive)
        with suppress(ClientDisconnect):  # the client left while it was still sending
            request = await self._recognise(http)
            self.requests.append(LoggedRequest(http.method, scope["path"], request.body, request.operation))
            response = await self._response(request, http)
            await response(scope, receive, send)

    async def _recognise(self, http: Request) -> AwsRequest:
        signed = _SIGNATURE_SCOPE.search(http.headers.get("Authorization", "") or unquote(http.url.query))
        region, service = signed.groups() if signed else (DEFAULT_REGION, "")
        if target := http.headers.get("X-Amz-Target"):
            return ControlPlaneRequest(self._control_plane, target.rpartition(".")[2], await http.body(), region)
        if service == "sts" or (not service and _is_form(http)):
            return StsRequest(await http.body())
        if service != "s3" and (path := RUNTIME_PATH.fullmatch(http.scope["path"])):
            return InferenceRequest(self._inference, http, path, await http.body(), region)
        return S3Request(self._s3.operations, http, region)

    async def _response(self, request: AwsRequest, http: Request) -> ASGIApp:
        """The response to a request; it is not read if the connection has been reset."""
        failure = self._failures.next(request.operation)
        if failure.connection == "before":
            await Connection(http).reset()
            return Response(status_code=CLIENT_LEFT)
        try:
            if failure.is_immediate:
                failure.raise_error(resource=request.resource())
            response = await request.response(failure)
        except AwsError as error:
            error_response = request.error_response(error)
            await _discard_body(http, error_response)
            return error_response
        if failure.connection == "after":
            await response(http.scope, http.receive, _send_nowhere)
            await Connection(http).reset()
            return Response(status_code=CLIENT_LEFT)
        return response


async def _send_nowhere(message: Message) -> None:
    """The end of a response that is lost."""


async def _discard_body(http: Request, response: Response) -> None:
    """Read the rest of a refused request's body, which would otherwise be taken for the connection's next request."""
    if "Expect" in http.headers:  # a client that waits for "100 Continue" may never send its body
        response.headers["Connection"] = "close"
        return
    with suppress(RuntimeError):  # the stream has been read to its end
        async for _ in http.stream():
            continue


def _is_form(http: Request) -> bool:
    is_form = http.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    return is_form and (http.method, http.scope["path"]) == ("POST", "/")
