"""Wait for a function or an awaitable up to a time limit. A sync function needs a thread for that."""

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


class OutOfTime(Exception):
    """The time limit is over. A sync function still runs in its thread, and its result is dropped."""


def within(seconds: float, function: Callable[[], T]) -> T:
    """The function's result, or the exception that it raises.

    Raises:
        OutOfTime: it took longer.
    """
    result = in_thread(function)
    if not wait([result], max(0.0, seconds)).done:
        raise OutOfTime(f"longer than {seconds:.3g} s")
    return result.result()


async def awithin(seconds: float, awaitable: Awaitable[T]) -> T:
    """As `within`; the awaitable is cancelled."""
    try:
        async with asyncio.timeout(max(0.0, seconds)) as limit:
            return await awaitable
    except TimeoutError as error:
        if limit.expired():
            raise OutOfTime(f"longer than {seconds:.3g} s") from error
        raise


def in_thread(function: Callable[[], T]) -> Future[T]:
    """Run a function in a new daemon thread: a process waits for asyncio's own threads before it ends."""
    context, result = contextvars.copy_context(), Future[T]()
    result.set_running_or_notify_cancel()  # from here on it cannot be cancelled

    def run() -> None:
        try:
            result.set_result(context.run(function))
        except BaseException as error:  # noqa: BLE001 - raised where the result is read
            result.set_exception(error)

    threading.Thread(target=run, daemon=True, name="sagechain-deadline").start()
    return result
