"""SageMaker's runtime: the two operations of an endpoint, and the two paths of a container without AWS around it.

    POST /endpoints/NAME/invocations                    the container's bytes, or ModelError
    POST /endpoints/NAME/invocations-response-stream    the container's bytes in event-stream frames
    GET  /ping, POST /invocations                       as a container answers

A generation ends as soon as its client leaves.

Source: Amazon SageMaker's API reference, `InvokeEndpoint` and `InvokeEndpointWithResponseStream`.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

import anyio
from sagechain.llms.errors import LLMError
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ..account import ACCOUNT, sagemaker_arn
from ..connection import Connection
from ..errors import AwsError
from ..failures import Failure
from ..requests import AwsRequest
from ..sagemaker.model_data import CannotServe
from ..sagemaker.models import Deployments, Endpoint
from . import event_stream
from .broken_responses import FAILURE_TEXT, break_connection, broken_frames
from .containers import Reply, chunks_of, whole_body
from .targets import targeted_variant

RUNTIME_PATH = re.compile(r"/ping|/invocations|/endpoints/([^/]+)/(.+)")
ATTRIBUTES_HEADER = "X-Amzn-SageMaker-Custom-Attributes"
INVOKED_HEADER = "x-Amzn-Invoked-Production-Variant"
CLIENT_LEFT = 499  # the status of a response that is not read any more
MAX_BODY_BYTES = 6_291_456  # of a request, in AWS

_OPERATIONS = {"invocations": "InvokeEndpoint", "invocations-response-stream": "InvokeEndpointWithResponseStream"}


class InferenceServer:
    """The endpoints, and a count of the requests that they are answering.

    Attributes:
        generating: requests that are being answered now.
    """

    def __init__(self, deployments: Deployments) -> None:
        self.deployments = deployments
        self.generating = 0

    @contextmanager
    def count_generation(self) -> Iterator[None]:
        """Count a request for the length of a block."""
        self.generating += 1
        try:
            yield
        finally:
            self.generating -= 1


class InferenceRequest(AwsRequest):
    """A request to an endpoint, or to a container.

    Args:
        path: the match of `RUNTIME_PATH`.
    """

    max_body_bytes = MAX_BODY_BYTES
    refuses_forms = True

    def __init__(self, server: InferenceServer, http: Request, path: re.Match[str], region: str) -> None:
        super().__init__(http, region)
        self._server = server
        self._name: str = path[1] or ""
        self.operation = _OPERATIONS.get(path[2] or "", "")

    def resource(self) -> str:
        """The endpoint's ARN."""
        return sagemaker_arn("endpoint", self._name, self.region)

    def id_headers(self) -> dict[str, str]:
        """The request's id, unless a container answers without SageMaker around it."""
        return super().id_headers() if self._name else {}

    def too_large(self) -> AwsError:
        """SageMaker's error."""
        return AwsError("ValidationError", f"The body has more than {self.max_body_bytes} bytes.", 413)

    def error_response(self, error: AwsError) -> Response:
        """The error in the form of SageMaker's runtime."""
        return _error_response(error.status, error.code, error.message)

    async def response(self, failure: Failure) -> Response:
        """Answer by the path."""
        match self.http.method, self.http.scope["path"]:
            case "GET" | "HEAD", "/ping":
                return Response(status_code=200)
            case "POST", "/invocations":
                return await self._container_response()
            case "POST", _ if self.operation:
                return await self._endpoint_response()
        return Response("Not Found", 404)

    async def _container_response(self) -> Response:
        """What the container of an endpoint answers, without SageMaker around it."""
        names = self._server.deployments.in_service()
        name = self.http.query_params.get("endpoint") or next(iter(names), "")
        if name not in names:
            return JSONResponse({"error": f"no endpoint {name!r} in service; known: {', '.join(names)}"}, 404)
        try:
            endpoint = await self._server.deployments.endpoint(names[name])
        except CannotServe as error:
            return JSONResponse({"error": str(error)}, 500)
        reply = await self._reply(endpoint)
        return ReplyResponse(self._server, chunks_of(reply), reply.status, media_type=reply.content_type)

    async def _endpoint_response(self) -> Response:
        deployments = self._server.deployments
        key = deployments.in_service(self.region).get(self._name)
        if key is None:
            raise AwsError("ValidationError", f"Endpoint {self._name} of account {ACCOUNT} not found.")
        variant = targeted_variant(deployments.record(key), self.http.headers, deployments.has_model)
        try:
            endpoint = await deployments.endpoint(key)
        except CannotServe as error:
            return self._model_error(500, str(error))
        fault = endpoint.next_fault()
        response = self._fault_response(fault) or await self._reply_response(endpoint, fault)
        if response.status_code == 200:
            response.headers[INVOKED_HEADER] = variant
        return response

    def _fault_response(self, fault: Mapping[str, Any]) -> Response | None:
        """The response to a fault that needs no container."""
        if "html" in fault:
            return HTMLResponse(fault["html"], fault["status"])
        if "status" in fault:
            message = fault.get("message", "").replace("{request}", _canonical_request(self.http))
            return _error_response(fault["status"], fault.get("code"), message)
        if "container_status" in fault:
            return self._model_error(fault["container_status"], fault["message"])
        return None

    async def _reply_response(self, endpoint: Endpoint, fault: Mapping[str, Any]) -> Response:
        """The container's reply in SageMaker's form, with the fault in it."""
        if fault.get("connection") == "slow":
            await anyio.sleep(fault["seconds"])
        elif "connection" in fault:
            return await self._broken_connection(endpoint, fault["connection"])
        reply = self._faulty_reply(endpoint, fault) or await self._reply(endpoint)
        if reply.status != 200:
            return self._model_error(reply.status, (await whole_body(reply)).decode("utf-8", "replace"))
        if self.operation == "InvokeEndpoint":
            return ReplyResponse(self._server, chunks_of(reply), headers={"Content-Type": reply.content_type})
        headers = {
            "Content-Type": event_stream.CONTENT_TYPE,
            "X-Amzn-SageMaker-Content-Type": reply.content_type,
        }
        if "stream" in fault:
            frames = broken_frames(chunks_of(reply), fault, endpoint.container, Connection(self.http))
        else:
            frames = _frames(reply)
        return ReplyResponse(self._server, frames, headers=headers)

    def _faulty_reply(self, endpoint: Endpoint, fault: Mapping[str, Any]) -> Reply | None:
        """The reply that a fault puts in the place of the container's."""
        if "body" in fault:
            return Reply(200, "application/json", fault["body"].encode())
        if fault.get("stream") == "in-band-error" and self.operation == "InvokeEndpoint":
            return Reply(200, "application/json", endpoint.container.error_reply(FAILURE_TEXT))
        return None

    async def _broken_connection(self, endpoint: Endpoint, kind: str) -> Response:
        async def body() -> bytes:
            return await whole_body(await self._reply(endpoint))

        await _until_client_leaves(self.http.receive, break_connection(kind, Connection(self.http), body))
        return Response(status_code=CLIENT_LEFT)

    async def _reply(self, endpoint: Endpoint) -> Reply:
        """The container's reply."""
        with self._server.count_generation():
            generation = endpoint.container.invoke(self.body, self.http.headers.get(ATTRIBUTES_HEADER, ""))
            reply: Reply | None = await _until_client_leaves(self.http.receive, generation)
        return reply or Reply(CLIENT_LEFT, "text/plain", b"")

    def _model_error(self, status: int, message: str) -> Response:
        log_group = f"/aws/sagemaker/Endpoints/{self._name}"
        log = f"https://localhost/cloudwatch/home#logEventViewer:group={log_group}"
        kind = "client" if status < 500 else "server"
        body = {
            "Message": f'Received {kind} error ({status}) from primary with message "{message}". '
            f"See {log} in account {ACCOUNT} for more information.",
            "OriginalMessage": message,
            "OriginalStatusCode": status,
            "LogStreamArn": f"arn:aws:logs:{self.region}:{ACCOUNT}:log-group:{log_group}",
        }
        return JSONResponse(body, 424, headers={"x-amzn-ErrorType": "ModelError"})


class ReplyResponse(StreamingResponse):
    """A container's reply, whose generation ends as soon as the client leaves, also while nothing is being sent."""

    def __init__(
        self, server: InferenceServer, chunks: AsyncGenerator[bytes, None], status_code: int = 200, **settings: Any
    ) -> None:
        super().__init__(chunks, status_code, **settings)
        self._server, self._chunks = server, chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        with self._server.count_generation():
            async with aclosing(self._chunks):
                await _until_client_leaves(receive, self.stream_response(send))


async def _until_client_leaves(receive: Receive, work: Awaitable[Any]) -> Any:
    """The result of the work; None if the client has left first, which cancels the work."""
    result = None
    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                continue
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        result = await work
        tasks.cancel_scope.cancel()
    return result


async def _frames(reply: Reply) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(chunks_of(reply)) as chunks:
            async for chunk in chunks:
                yield event_stream.payload_part(chunk)
    except (LLMError, ValueError) as error:
        yield event_stream.model_stream_error(str(error), "StreamBroken")


def _canonical_request(http: Request) -> str:
    """The request as AWS signs it: its path, and the headers that `Authorization` names."""
    signed = re.search(r"SignedHeaders=([^,]*)", http.headers.get("Authorization", ""))
    names = signed[1].split(";") if signed else []
    headers = [f"{name}:{http.headers.get(name, '')}" for name in names]
    return "\n".join([http.method, http.scope["path"], http.url.query, *headers, "", ";".join(names)])


def _error_response(status: int, code: str | None, message: str) -> Response:
    if code is None:
        return Response(status_code=status)
    return JSONResponse({"message": message}, status, headers={"x-amzn-ErrorType": code})
