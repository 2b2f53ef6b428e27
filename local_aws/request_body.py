"""The body of a request as it arrives: not more of it than its operation accepts, and not more slowly than a client sends.

The limit is known before the first byte is read. A body that declares more is refused unread; one that does not declare
its length is counted.
"""

import asyncio
import time
from collections.abc import Callable

from starlette.types import Message, Receive

from .errors import AwsError

IDLE_SECONDS = 20.0  # between two pieces of a body
MIN_BYTES_PER_SECOND = 1_024  # on average, after the first `IDLE_SECONDS`


class RequestBody:
    """What a request receives.

    Args:
        receive: the server's.

    Attributes:
        is_complete: whether its end has been received.
    """

    def __init__(self, receive: Receive) -> None:
        self.is_complete = False
        self._receive = receive
        self._received, self._limit = 0, 0
        self._too_large: Callable[[], AwsError]
        self._started = time.monotonic()

    def set_limit(self, limit: int, declared: str | None, too_large: Callable[[], AwsError]) -> None:
        """Set the number of bytes that are accepted.

        Args:
            declared: the request's `Content-Length`.
            too_large: makes the error for more.

        Raises:
            AwsError: more are declared.
        """
        self._limit, self._too_large = limit, too_large
        if declared is not None and int(declared) > limit:
            raise too_large()

    async def receive(self) -> Message:
        """The next message. Raises AwsError: too large, or too slow."""
        if self.is_complete:
            return await self._receive()
        total = IDLE_SECONDS + self._received / MIN_BYTES_PER_SECOND
        seconds = min(IDLE_SECONDS, self._started + total - time.monotonic())
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive()
        except TimeoutError:
            raise AwsError(
                "RequestTimeout",
                "Your socket connection to the server was not read from or written to within the timeout period. "
                "Idle connections will be closed.",
                408,
            ) from None
        self._received += len(message.get("body", b""))
        if self._received > self._limit:
            raise self._too_large()
        self.is_complete = not message.get("more_body", False)
        return message
