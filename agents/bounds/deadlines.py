"""Wait for a call so long and no longer; sync in a thread, since nothing else ends the wait for a sync call."""

import asyncio
import contextvars
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

T = TypeVar("T")


class OutOfTime(Exception):
    """The call took longer than it may. Sync, it still runs in its thread, and its result is dropped."""


def within(seconds: float, call: Callable[[], T]) -> T:
    """The call's result, or what it raises.

    Raises:
        OutOfTime: it took longer.
    """
    context, outcome = contextvars.copy_context(), queue.SimpleQueue[tuple[bool, object]]()

    def run() -> None:
        try:
            outcome.put((True, context.run(call)))
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            outcome.put((False, error))

    # A daemon, so that a call that hangs does not keep the process from ending.
    threading.Thread(target=run, daemon=True, name="sagechain-deadline").start()
    try:
        is_result, value = outcome.get(timeout=max(0.0, seconds))
    except queue.Empty:
        raise OutOfTime(f"longer than {seconds:.3g} s") from None
    if is_result:
        return cast(T, value)
    raise cast(BaseException, value)


async def awithin(seconds: float, call: Awaitable[T]) -> T:
    """As `within`; the call is cancelled."""
    try:
        async with asyncio.timeout(max(0.0, seconds)) as limit:
            return await call
    except TimeoutError as error:
        if limit.expired():
            raise OutOfTime(f"longer than {seconds:.3g} s") from error
        raise
