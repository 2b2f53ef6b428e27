"""The runtime's one address, for what AWS has four of: SageMaker's control plane and runtime, S3, and STS.

Every request is recognised by its head, checked (`access.py`) and read here, once; its service then carries it out. A
signature names the service that it is meant for; a request without one is recognised by its form:

    POST /            X-Amz-Target: SageMaker.OPERATION     the control plane      sagemaker/requests.py
    POST /            Action=OPERATION                      STS                    sts.py
    /endpoints/…, /invocations, /ping                       the runtime            inference/server.py
    anything else                                           S3                     s3/requests.py

What is for any other service is refused in that service's protocol (`other_services.py`).
"""

import re
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from .access import Access, Signer, signer_of
from .connection import Connection
from .errors import AwsError
from .failures import Failures
from .inference.server import CLIENT_LEFT, RUNTIME_PATH, InferenceRequest, InferenceServer
from .other_services import OtherServiceRequest, other_service
from .request_body import RequestBody
from .requests import AwsRequest
from .s3.requests import S3Request
from .s3.service import S3Service
from .sagemaker.control_plane import ControlPlane
from .sagemaker.requests import TARGET_PREFIX, ControlPlaneRequest
from .sts import StsRequest

MAX_LOGGED_REQUESTS = 1000
MAX_LOGGED_BYTES = 64 * 1024**2  # of their bodies
MAX_SHOWN_PATH = 200  # characters of a path in a line of the log


@dataclass(frozen=True)
class LoggedRequest:
    """A request that reached the runtime.

    Args:
        body: empty for S3, where it may be a model, and for a request that was refused unread.
        operation: AWS's name; empty for the container's own paths.
    """

    method: str
    path: str
    body: bytes
    operation: str = ""


class RequestLog:
    """The latest requests, with at most `MAX_LOGGED_BYTES` of bodies: the oldest are dropped.

    Args:
        size: the number of requests; 0 stores none.
    """

    def __init__(self, size: int = MAX_LOGGED_REQUESTS) -> None:
        self.requests: deque[LoggedRequest] = deque(maxlen=size)
        self._bytes = 0

    def add(self, request: LoggedRequest) -> None:
        """Store one more."""
        if self.requests.maxlen == 0:
            return
        if len(self.requests) == self.requests.maxlen:
            self._drop_oldest()
        self.requests.append(request)
        self._bytes += len(request.body)
        while self._bytes > MAX_LOGGED_BYTES:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._bytes -= len(self.requests.popleft().body)


class Gateway:
    """The ASGI application.

    Args:
        failures: what goes wrong with the next requests.
        log: where requests are stored.
        print_line: called with one line for each request.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        inference: InferenceServer,
        s3: S3Service,
        *,
        failures: Failures,
        access: Access,
        log: RequestLog,
        print_line: Callable[[str], None] | None,
    ) -> None:
        self._control_plane, self._inference, self._s3 = control_plane, inference, s3
        self._failures, self._access = failures, access
        self._log, self._print_line = log, print_line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.monotonic()
        body = RequestBody(receive)
        http = Request(scope, body.receive)
        signer = signer_of(http)
        request = self._recognise(http, signer)
        status = CLIENT_LEFT
        with suppress(ClientDisconnect):  # the client left while it was still sending
            response = await self._response(request, signer, body)
            response.headers.update(request.id_headers())
            status = response.status_code
            await response(scope, receive, send)
        if self._print_line:
            self._print_line(_line(request, status, time.monotonic() - started))

    def _recognise(self, http: Request, signer: Signer) -> AwsRequest:
        """The request to a service, from its head."""
        region, service, target = signer.region, signer.service, http.headers.get("X-Amz-Target", "")
        if service in ("", "sagemaker") and target.startswith(TARGET_PREFIX):
            return ControlPlaneRequest(self._control_plane, http, region)
        if service == "sts" or (not service and _is_form(http)):
            return StsRequest(http, region)
        path = RUNTIME_PATH.fullmatch(http.scope["path"])
        if other := other_service(http, service, is_runtime_path=path is not None):
            return OtherServiceRequest(http, region, other)
        if service != "s3" and path:
            return InferenceRequest(self._inference, http, path, region)
        return S3Request(self._s3.operations, http, region)

    async def _response(self, request: AwsRequest, signer: Signer, body: RequestBody) -> Response:
        """The response to a request; it is not read if the connection has been reset."""
        http = request.http
        try:
            self._access.check(request, signer)
            body.set_limit(request.max_body_bytes, http.headers.get("Content-Length"), request.too_large)
            await request.read()
        except AwsError as error:
            self._log_request(request)
            return _refusal(request, error, body)
        self._log_request(request)
        failure = self._failures.next(request.operation)
        if failure.connection == "before":
            await Connection(http).reset()
            return Response(status_code=CLIENT_LEFT)
        try:
            if failure.is_immediate:
                failure.raise_error(resource=request.resource())
            response = await request.response(failure)
        except AwsError as error:
            return _refusal(request, error, body)
        except RecursionError:
            return _refusal(request, AwsError("SerializationException", "the body is nested too deeply"), body)
        if failure.connection == "after":
            await response(http.scope, http.receive, _send_nowhere)
            await Connection(http).reset()
            return Response(status_code=CLIENT_LEFT)
        return response

    def _log_request(self, request: AwsRequest) -> None:
        http = request.http
        self._log.add(LoggedRequest(http.method, http.scope["path"], request.body, request.operation))


async def _send_nowhere(message: Message) -> None:
    """The end of a response that is lost."""


def _refusal(request: AwsRequest, error: AwsError, body: RequestBody) -> Response:
    """The response to a refused request. What is left of its body is discarded, by `connection.py`.

    The connection ends where its client may never send the body: it waits for "100 Continue", or sends too slowly.
    """
    response = request.error_response(error)
    if not body.is_complete and ("Expect" in request.http.headers or error.code == "RequestTimeout"):
        response.headers["Connection"] = "close"
    return response


def _line(request: AwsRequest, status: int, seconds: float) -> str:
    """A request in one line, without its query, which may contain a signature."""
    path = request.http.scope["raw_path"].decode("ascii", "backslashreplace")
    shown = path if len(path) <= MAX_SHOWN_PATH else f"{path[:MAX_SHOWN_PATH]}…"
    operation = request.operation if re.fullmatch(r"\w{1,64}", request.operation, re.ASCII) else "-"
    return f"{request.http.method} {shown} {operation} {status} {seconds:.3f} s"


def _is_form(http: Request) -> bool:
    is_form = http.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    return is_form and (http.method, http.scope["path"]) == ("POST", "/")
