"""Any real container behind the runtime's framing: requests are passed on to its `/invocations`, or the path of its URL."""

from collections.abc import AsyncGenerator

import httpx
from sagechain.llms.errors import ModelFailed

from .base import Container, Reply

CONNECT_SECONDS = 10.0


class UpstreamContainer(Container):
    """A container at another address.

    Args:
        url: its address; `/invocations` is added if it has no path.

    Raises:
        ValueError: not an http:// or https:// address.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"upstream: {url!r} is not an http:// or https:// address: {error}") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"upstream: {url!r} is not an http:// or https:// address")
        self.url = str(parsed.copy_with(path="/invocations") if parsed.path in ("", "/") else parsed)
        self._client = httpx.AsyncClient(timeout=httpx.Timeout(None, connect=CONNECT_SECONDS), trust_env=False)

    async def invoke(self, body: bytes, attributes: str) -> Reply:
        """Pass a request on, and the reply back as it comes."""
        headers = {"Content-Type": "application/json"}
        if attributes:
            headers["X-Amzn-SageMaker-Custom-Attributes"] = attributes
        request = self._client.build_request("POST", self.url, content=body, headers=headers)
        try:
            response = await self._client.send(request, stream=True)
        except httpx.TransportError as error:
            return Reply(502, "text/plain", f"the container at {self.url} cannot be reached: {error}".encode())
        return Reply(response.status_code, response.headers.get("Content-Type", "application/json"), _chunks(response))


async def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except httpx.TransportError as error:
        raise ModelFailed(str(response.url), f"the container closed its stream: {error}.") from error
    finally:
        await response.aclose()
