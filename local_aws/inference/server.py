"""The HTTP side of the local runtime: SageMaker's two runtime paths, and a container's own two.

    POST /endpoints/NAME/invocations                    unary: the container's bytes, or ModelError
    POST /endpoints/NAME/invocations-response-stream    the container's bytes in event-stream frames
    GET  /ping, POST /invocations                       the container contract, without AWS around it

Requests may be signed (SigV4); signatures are not checked. A client that leaves ends the generation.

Source: Amazon SageMaker's API reference, `InvokeEndpoint` and `InvokeEndpointWithResponseStream`.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio
from sagechain.llms.errors import LLMError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..account import ACCOUNT
from ..refusals import Refused
from ..sagemaker.model_data import CannotServe
from . import event_stream
from .containers import Container, Reply, chunks_of
from .faults import Connection, FaultPlan, break_connection, spoiled

ATTRIBUTES_HEADER = "X-Amzn-SageMaker-Custom-Attributes"
VARIANT_HEADER = {"x-Amzn-Invoked-Production-Variant": "AllTraffic"}
CLIENT_LEFT = 499  # nobody reads it
MOST_BYTES = 6_291_456  # of a request's body, in AWS


@dataclass(frozen=True)
class Endpoint:
    """A container under a name, and the fault that it shows, if any."""

    name: str
    container: Container
    plan: FaultPlan | None = None


class RuntimeServer:
    """The endpoints behind one ASGI application (`.app`), and a count of what runs.

    Args:
        in_service: gives the names of the endpoints that answer now.
        endpoint: gives one of them, made if it has not been; CannotServe if it cannot be.
    """

    def __init__(self, in_service: Callable[[], list[str]], endpoint: Callable[[str], Awaitable[Endpoint]]) -> None:
        self._in_service, self._endpoint = in_service, endpoint
        self.generating = 0
        self.app = Starlette(
            routes=[
                Route("/ping", self._ping, methods=["GET"]),
                Route("/invocations", self._container, methods=["POST"]),
                Route("/endpoints/{name}/invocations", self._invoke, methods=["POST"]),
                Route("/endpoints/{name}/invocations-response-stream", self._invoke, methods=["POST"]),
            ],
            exception_handlers={ClientDisconnect: _left},
        )

    async def _ping(self, request: Request) -> Response:
        return Response(status_code=200)

    async def _container(self, request: Request) -> Response:
        known = self._in_service()
        name = request.query_params.get("endpoint") or next(iter(known), "")
        if name not in known:
            return JSONResponse({"error": f"no endpoint {name!r} in service; known: {', '.join(known)}"}, 404)
        try:
            endpoint = await self._endpoint(name)
        except CannotServe as error:
            return JSONResponse({"error": str(error)}, 500)
        reply = await self._answered(request, endpoint, await request.body())
        return Watched(self, chunks_of(reply), status_code=reply.status, media_type=reply.content_type)

    async def _invoke(self, request: Request) -> Response:
        streamed = request.url.path.endswith("-stream")
        name, body = request.path_params["name"], await request.body()
        if name not in self._in_service():
            return _aws_error(400, "ValidationError", f"Endpoint {name} of account {ACCOUNT} not found.")
        if len(body) > MOST_BYTES:
            return _aws_error(413, "ValidationError", f"The body has {len(body)} bytes, more than {MOST_BYTES}.")
        try:
            endpoint = await self._endpoint(name)
        except CannotServe as error:
            return _model_error(500, str(error), name)
        fault = (endpoint.plan.due() if endpoint.plan else None) or {}
        if "html" in fault:
            return HTMLResponse(fault["html"], fault["status"])
        if "status" in fault:
            message = fault.get("message", "").replace("{request}", _as_signed(request))
            return _aws_error(fault["status"], fault.get("code"), message)
        if "container_status" in fault:
            return _model_error(fault["container_status"], fault["message"], name)
        return await self._replied(request, endpoint, body, fault, streamed=streamed)

    async def _replied(
        self, request: Request, endpoint: Endpoint, body: bytes, fault: Mapping[str, Any], *, streamed: bool
    ) -> Response:
        connection, plan = Connection(request.scope["state"]["transport"]), endpoint.plan
        if fault.get("connection") == "slow" and plan is not None:
            await anyio.sleep(plan.seconds)
        elif "connection" in fault:

            async def whole() -> bytes:
                return b"".join([chunk async for chunk in chunks_of(await self._answered(request, endpoint, body))])

            await self._until_the_client_leaves(request, break_connection(fault["connection"], connection, whole))
            return Response(status_code=CLIENT_LEFT)
        if "body" in fault:
            reply = Reply(200, "application/json", fault["body"].encode())
        elif fault.get("stream") == "in-band-error" and not streamed:
            reply = Reply(200, "application/json", endpoint.container.failed_reply("the model failed"))
        else:
            reply = await self._answered(request, endpoint, body)
        if reply.status != 200:
            message = b"".join([chunk async for chunk in chunks_of(reply)]).decode("utf-8", "replace")
            return _model_error(reply.status, message, endpoint.name)
        if not streamed:
            return Watched(self, chunks_of(reply), headers={**VARIANT_HEADER, "Content-Type": reply.content_type})
        headers = {
            **VARIANT_HEADER,
            "Content-Type": event_stream.CONTENT_TYPE,
            "X-Amzn-SageMaker-Content-Type": reply.content_type,
        }
        if "stream" in fault and plan is not None:
            frames = spoiled(chunks_of(reply), fault, plan, endpoint.container, connection)
        else:
            frames = _framed(reply)
        return Watched(self, frames, headers=headers)

    async def _answered(self, request: Request, endpoint: Endpoint, body: bytes) -> Reply:
        """The container's reply; the work for it ends when the client leaves."""
        self.generating += 1
        try:
            answer = endpoint.container.invoke(body, request.headers.get(ATTRIBUTES_HEADER, ""))
            reply = await self._until_the_client_leaves(request, answer)
        finally:
            self.generating -= 1
        return reply or Reply(CLIENT_LEFT, "text/plain", b"")

    async def _until_the_client_leaves(self, request: Request, work: Awaitable[Any]) -> Any:
        """What the work gives, or None if the client has left before."""
        result = None
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                while (await request.receive())["type"] != "http.disconnect":
                    continue
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            result = await work
            tasks.cancel_scope.cancel()
        return result


class Watched(StreamingResponse):
    """A streamed response that ends its work as soon as the client leaves, also while nothing is being sent."""

    def __init__(self, server: RuntimeServer, body: AsyncGenerator[bytes, None], **settings: Any) -> None:
        super().__init__(body, **settings)
        self._server = server
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, and listen for the client's leaving meanwhile."""
        self._server.generating += 1
        try:
            async with aclosing(self._body), anyio.create_task_group() as tasks:

                async def watch() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        continue
                    tasks.cancel_scope.cancel()

                tasks.start_soon(watch)
                await self.stream_response(send)
                tasks.cancel_scope.cancel()
        finally:
            self._server.generating -= 1


class Protocol(H11Protocol):
    """uvicorn's HTTP, which lets faults reach the connection under it."""

    def connection_made(self, transport: Any) -> None:
        """Note the connection where requests find it."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


async def _framed(reply: Reply) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(chunks_of(reply)) as chunks:
            async for chunk in chunks:
                yield event_stream.payload_part(chunk)
    except (LLMError, ValueError) as error:
        yield event_stream.model_stream_error(str(error), "StreamBroken")


async def _left(request: Request, error: Exception) -> Response:
    """A client that left while it was still sending."""
    return Response(status_code=CLIENT_LEFT)


def _as_signed(request: Request) -> str:
    """The request as AWS signs it: its path, and the headers that `Authorization` names."""
    signed = re.search(r"SignedHeaders=([^,]*)", request.headers.get("Authorization", ""))
    names = signed[1].split(";") if signed else []
    headers = [f"{name}:{request.headers.get(name, '')}" for name in names]
    return "\n".join([request.method, request.url.path, request.url.query, *headers, "", ";".join(names)])


def _model_error(status: int, message: str, name: str) -> Response:
    log = f"https://localhost/cloudwatch/home#logEventViewer:group=/aws/sagemaker/Endpoints/{name}"
    kind = "client" if status < 500 else "server"
    body = {
        "Message": f'Received {kind} error ({status}) from primary with message "{message}". '
        f"See {log} in account {ACCOUNT} for more information.",
        "OriginalMessage": message,
        "OriginalStatusCode": status,
        "LogStreamArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/{name}",
    }
    return JSONResponse(body, 424, headers={"x-amzn-ErrorType": "ModelError"})


def refusal_of_runtime(refused: Refused) -> Response:
    """A refusal in the form of SageMaker's runtime."""
    return _aws_error(refused.status, refused.code, refused.message)


def _aws_error(status: int, code: str | None, message: str) -> Response:
    if code is None:
        return Response(status_code=status)
    return JSONResponse({"message": message}, status, headers={"x-amzn-ErrorType": code})
