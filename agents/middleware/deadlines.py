"""Wait for a call so long and no longer. A sync call is made in a thread, since nothing else ends the wait for it."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


class OutOfTime(Exception):
    """The call took longer than it may. Sync, it still runs in its thread, and its result is dropped."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """The call's result, or what it raises.

    Raises:
        OutOfTime: it took longer.
    """
    result = in_thread(call)
    if not wait([result], max(0.0, seconds)).done:
        raise OutOfTime(f"longer than {seconds:.3g} s")
    return result.result()


async def awithin(seconds: float, call: Awaitable[T]) -> T:
    """As `within`; the call is cancelled."""
    try:
        async with asyncio.timeout(max(0.0, seconds)) as limit:
            return await call
    except TimeoutError as error:
        if limit.expired():
            raise OutOfTime(f"longer than {seconds:.3g} s") from error
        raise


def in_thread(call: Callable[[], T]) -> Future[T]:
    """A sync call, begun in a thread of its own. asyncio's threads keep a process from ending until they end; not this."""
    context, result = contextvars.copy_context(), Future[T]()
    result.set_running_or_notify_cancel()  # from here on nobody can cancel it

    def run() -> None:
        try:
            result.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised where the result is read
            result.set_exception(error)

    threading.Thread(target=run, daemon=True, name="sagechain-deadline").start()
    return result
