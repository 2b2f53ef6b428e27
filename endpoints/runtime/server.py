"""The HTTP side of the local runtime: SageMaker's two runtime paths, and a container's own two.

    POST /endpoints/NAME/invocations                    unary: the container's bytes, or ModelError
    POST /endpoints/NAME/invocations-response-stream    the container's bytes in event-stream frames
    GET  /ping, POST /invocations                       the container contract, without AWS around it

Requests may be signed (SigV4); signatures are not checked. A client that leaves ends the generation.

Source: Amazon SageMaker's API reference, `InvokeEndpoint` and `InvokeEndpointWithResponseStream`.
"""

from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio
from sagechain.endpoints.runtime import event_stream
from sagechain.endpoints.runtime.containers import Container, Reply
from sagechain.llms.errors import LLMError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

ACCOUNT = "000000000000"
ATTRIBUTES_HEADER = "X-Amzn-SageMaker-Custom-Attributes"
VARIANT_HEADER = {"x-Amzn-Invoked-Production-Variant": "AllTraffic"}
CLIENT_LEFT = 499  # nobody reads it
LOGGED_REQUESTS = 1000  # the latest are kept


@dataclass(frozen=True)
class LoggedRequest:
    """A request that reached the runtime."""

    method: str
    path: str
    body: bytes


class RuntimeServer:
    """The containers behind one ASGI application (`.app`), with a log of what came and a count of what runs."""

    def __init__(self, containers: Mapping[str, Container]) -> None:
        self.containers = dict(containers)
        self.requests: deque[LoggedRequest] = deque(maxlen=LOGGED_REQUESTS)
        self.generating = 0
        self.app = Starlette(
            routes=[
                Route("/ping", self._ping, methods=["GET"]),
                Route("/invocations", self._container, methods=["POST"]),
                Route("/endpoints/{name}/invocations", self._invoke, methods=["POST"]),
                Route("/endpoints/{name}/invocations-response-stream", self._invoke_stream, methods=["POST"]),
            ]
        )

    async def _ping(self, request: Request) -> Response:
        return Response(status_code=200)

    async def _container(self, request: Request) -> Response:
        name = request.query_params.get("endpoint") or next(iter(self.containers))
        if name not in self.containers:
            return JSONResponse({"error": f"no endpoint {name!r}; known: {', '.join(self.containers)}"}, 404)
        reply = await self._answered(request, name)
        return Watched(self, _chunks(reply), status_code=reply.status, media_type=reply.content_type)

    async def _invoke(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.containers:
            return _not_found(name)
        reply = await self._answered(request, name)
        if reply.status != 200:
            return await _model_error(reply, name)
        return Watched(self, _chunks(reply), headers={**VARIANT_HEADER, "Content-Type": reply.content_type})

    async def _invoke_stream(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.containers:
            return _not_found(name)
        reply = await self._answered(request, name)
        if reply.status != 200:
            return await _model_error(reply, name)
        headers = {
            **VARIANT_HEADER,
            "Content-Type": event_stream.CONTENT_TYPE,
            "X-Amzn-SageMaker-Content-Type": reply.content_type,
        }
        return Watched(self, _framed(reply), headers=headers)

    async def _answered(self, request: Request, name: str) -> Reply:
        """The container's reply; the work for it ends when the client leaves."""
        body = await request.body()
        self.requests.append(LoggedRequest(request.method, request.url.path, body))
        reply: Reply | None = None
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                while (await request.receive())["type"] != "http.disconnect":
                    continue
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            self.generating += 1
            try:
                reply = await self.containers[name].invoke(body, request.headers.get(ATTRIBUTES_HEADER, ""))
            finally:
                self.generating -= 1
            tasks.cancel_scope.cancel()
        return reply or Reply(CLIENT_LEFT, "text/plain", b"")


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


async def _chunks(reply: Reply) -> AsyncGenerator[bytes, None]:
    if isinstance(reply.body, bytes):
        yield reply.body
        return
    async with aclosing(reply.body) as chunks:
        async for chunk in chunks:
            yield chunk


async def _framed(reply: Reply) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(_chunks(reply)) as chunks:
            async for chunk in chunks:
                yield event_stream.payload_part(chunk)
    except (LLMError, ValueError) as error:
        yield event_stream.model_stream_error(str(error), "StreamBroken")


async def _model_error(reply: Reply, name: str) -> Response:
    message = b"".join([chunk async for chunk in _chunks(reply)]).decode("utf-8", "replace")
    log = f"https://localhost/cloudwatch/home#logEventViewer:group=/aws/sagemaker/Endpoints/{name}"
    kind = "client" if reply.status < 500 else "server"
    body = {
        "Message": f'Received {kind} error ({reply.status}) from primary with message "{message}". '
        f"See {log} in account {ACCOUNT} for more information.",
        "OriginalMessage": message,
        "OriginalStatusCode": reply.status,
        "LogStreamArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/aws/sagemaker/Endpoints/{name}",
    }
    return JSONResponse(body, 424, headers={"x-amzn-ErrorType": "ModelError"})


def _not_found(name: str) -> Response:
    body = {"message": f"Endpoint {name} of account {ACCOUNT} not found."}
    return JSONResponse(body, 400, headers={"x-amzn-ErrorType": "ValidationError"})
