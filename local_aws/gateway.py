"""One address for what AWS has four of: SageMaker's control plane and runtime, S3, and STS.

A request's signature names the service that it is meant for; one without is known by its form:

    POST /            X-Amz-Target: SageMaker.OPERATION     the control plane      control_plane.py
    POST /            Action=OPERATION                      STS                    here
    /endpoints/…, /invocations, /ping                       the runtime            server.py
    anything else                                           S3                     objects_http.py

Every request is logged, fails if it is to (`sagemaker/failures.py`), and is carried out. Signatures are not checked.
"""

import json
import re
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote
from uuid import uuid4
from xml.sax.saxutils import escape

import anyio.to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .account import ACCOUNT, USER, sagemaker_arn
from .inference.faults import Connection
from .inference.server import CLIENT_LEFT, RuntimeServer, refusal_of_runtime
from .refusals import Refused
from .requests import Call
from .s3.http import ObjectsService
from .sagemaker.control_plane import KINDS, ControlPlane
from .sagemaker.failures import Failure, Failures
from .sagemaker.validation import sagemaker

LOGGED_REQUESTS = 1000  # the latest are kept
USUAL_REGION = "us-east-1"  # of a request that is not signed

_INVOKING = {"invocations": "InvokeEndpoint", "invocations-response-stream": "InvokeEndpointWithResponseStream"}
_RUNTIME_PATH = re.compile(r"/ping|/invocations|/endpoints/([^/]+)/(.+)")
_SCOPE = re.compile(r"Credential=[^/,]+/\d+/([^/]+)/([^/]+)/aws4_request")


@dataclass(frozen=True)
class LoggedRequest:
    """A request that reached the runtime.

    Args:
        body: empty for S3, where it may be a model.
        operation: AWS's name of what is asked for; empty for the container's own paths.
    """

    method: str
    path: str
    body: bytes
    operation: str = ""


class Gateway:
    """The ASGI application."""

    def __init__(
        self, control_plane: ControlPlane, runtime: RuntimeServer, objects: ObjectsService, failures: Failures
    ) -> None:
        self._control_plane, self._runtime, self._objects = control_plane, runtime, objects
        self._failures = failures
        self.requests: deque[LoggedRequest] = deque(maxlen=LOGGED_REQUESTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            call = await self._call(request)
            self.requests.append(LoggedRequest(request.method, request.url.path, call.body, call.operation))
            response = await self._answer(call, request)
            await response(scope, _replayed(call.body, receive), send)
        except ClientDisconnect:
            return  # while it was still sending

    async def _answer(self, call: Call, request: Request) -> ASGIApp:
        """The response; nobody reads it if the connection has been reset."""
        failure = self._failures.due(call.operation)
        connection = Connection(request.scope["state"]["transport"])
        if failure.connection == "before":
            await connection.reset()
            return Response(status_code=CLIENT_LEFT)
        try:
            if failure.at_once:
                failure.refuse(resource=call.resource)
            response = await call.carry_out(failure)
        except Refused as refused:
            response = call.refusal(refused)
            await _leave_unread(request, response)
            return response
        if failure.connection == "after":
            await response(request.scope, _replayed(call.body, request.receive), _nowhere)
            await connection.reset()
            return Response(status_code=CLIENT_LEFT)
        return response

    async def _call(self, request: Request) -> Call:
        signed = _SCOPE.search(request.headers.get("Authorization", "") or unquote(request.url.query))
        region, service = signed.groups() if signed else (USUAL_REGION, None)
        target = request.headers.get("X-Amz-Target")
        if target is not None:
            return await self._control_call(request, target.rpartition(".")[2], region)
        if service == "sts" or (service is None and _is_form(request)):
            return await self._sts_call(request)
        if runtime_path := service != "s3" and _RUNTIME_PATH.fullmatch(request.url.path):
            return await self._runtime_call(request, runtime_path, region)
        return self._objects.call(request)

    async def _control_call(self, request: Request, operation: str, region: str) -> Call:
        body = await request.body()

        async def carry_out(failure: Failure) -> Response:
            await anyio.to_thread.run_sync(sagemaker)  # reading it takes a while, the first time
            answer = self._control_plane.call(operation, _json(body), region, failure)
            return _json_response(answer)

        return Call(operation, _resource(body, region), body, carry_out, _refusal_in_json)

    async def _sts_call(self, request: Request) -> Call:
        body = await request.body()
        operation = parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]

        async def carry_out(failure: Failure) -> Response:
            if operation != "GetCallerIdentity":
                raise Refused("InvalidAction", f"Could not find operation {operation}; known: GetCallerIdentity")
            return _sts_response(
                "<GetCallerIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'><GetCallerIdentityResult>"
                f"<Arn>{USER}</Arn><UserId>LOCAL</UserId><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
                f"<ResponseMetadata><RequestId>{uuid4()}</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
            )

        return Call(operation, "*", body, carry_out, _refusal_of_sts)

    async def _runtime_call(self, request: Request, path: re.Match[str], region: str) -> Call:
        body = await request.body()
        name, what = path.groups()

        async def carry_out(failure: Failure) -> ASGIApp:
            return self._runtime.app

        arn = sagemaker_arn("endpoint", name or "", region)
        return Call(_INVOKING.get(what or "", ""), arn, body, carry_out, refusal_of_runtime)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give a body that has been read once more to whoever reads next; after it comes what the client does."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed


async def _nowhere(message: Message) -> None:
    """Where a reply goes that is lost."""


async def _leave_unread(request: Request, response: Response) -> None:
    """See that what was not read of a refused request is not taken for the next one on the connection."""
    if "Expect" in request.headers:  # a client that waits for leave to send its body may never send it
        response.headers["Connection"] = "close"
        return
    with suppress(RuntimeError):  # all of it has been read
        async for _ in request.stream():
            continue


def _is_form(request: Request) -> bool:
    form = request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
    return form and (request.method, request.url.path) == ("POST", "/")


def _json(body: bytes) -> object:
    try:
        return json.loads(body or b"{}")
    except ValueError as error:
        raise Refused("SerializationException", f"the body is not JSON: {error}") from error


def _resource(body: bytes, region: str) -> str:
    """The ARN of what a request to the control plane is about."""
    try:
        asked = _json(body)
    except Refused:
        return "*"
    if not isinstance(asked, dict):
        return "*"
    kinds = sorted(
        KINDS, key=lambda kind: kind.member == "EndpointConfig"
    )  # CreateEndpoint names an EndpointConfig too
    named = (
        sagemaker_arn(kind.arn, str(asked[f"{kind.member}Name"]), region)
        for kind in kinds
        if f"{kind.member}Name" in asked
    )
    return str(asked.get("ResourceArn") or next(named, "*"))


def _json_response(answer: object, status: int = 200, **headers: str) -> Response:
    headers |= {"x-amzn-RequestId": str(uuid4())}
    return Response(json.dumps(answer), status, headers, "application/x-amz-json-1.1")


def _refusal_in_json(refused: Refused) -> Response:
    return _json_response({"__type": refused.code, "message": refused.message}, refused.status)


def _sts_response(text: str, status: int = 200) -> Response:
    return Response(text, status, media_type="text/xml")


def _refusal_of_sts(refused: Refused) -> Response:
    error = f"<Type>Sender</Type><Code>{refused.code}</Code><Message>{escape(refused.message)}</Message>"
    return _sts_response(
        f"<ErrorResponse><Error>{error}</Error><RequestId>{uuid4()}</RequestId></ErrorResponse>", refused.status
    )
