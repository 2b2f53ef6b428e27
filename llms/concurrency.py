"""A limit on generations in flight, shared by threads, event loops and batches.

limit = ConcurrencyLimit(2)
with limit.slot():             # a thread waits here while two others hold a slot
    ...
async with limit.aslot():      # a task waits here without blocking its event loop
    ...
complete_all(generations, limit)
"""

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager, contextmanager
from contextvars import copy_context
from typing import Any, Self
from weakref import WeakKeyDictionary

import anyio
from anyio import CapacityLimiter
from anyio.lowlevel import current_token
from langchain_core.outputs import GenerationChunk

from .forks import renew_in_child
from .generation import RunningGeneration

POLL_SECONDS = 0.005  # between two looks at whether the wait was cancelled, or a slot became free for an event loop


class ConcurrencyLimit:
    """A counting semaphore that raises instead of deadlocking when one thread holds every slot and wants another.

    Args:
        slots: how many may be in use at the same time.

    A forked child starts with all slots free; a copy has its own.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._reset()
        renew_in_child(self, ConcurrencyLimit._reset)

    def _reset(self) -> None:
        self._free = threading.BoundedSemaphore(self.slots)
        self._owners: list[int] = []
        # Tasks of one event loop queue here first, in the order in which they came.
        self._queues: WeakKeyDictionary[Any, CapacityLimiter] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[type[Self], tuple[int]]:
        return type(self), (self.slots,)

    @contextmanager
    def slot(self, cancelled: threading.Event | None = None) -> Iterator[bool]:
        """Hold a slot. Yields False, and holds none, if `cancelled` was set before one was free.

        Raises:
            RuntimeError: this thread holds every slot, so it would wait for itself.
        """
        owner = threading.get_ident()
        while not self._free.acquire(timeout=POLL_SECONDS):
            if cancelled is not None and cancelled.is_set():
                yield False
                return
            if set(self._owners) == {owner}:
                raise RuntimeError(
                    "this thread would wait for its own open stream; read the stream to its end or close it first"
                )
        with self._released_by(owner):
            yield True

    @asynccontextmanager
    async def aslot(self) -> AsyncIterator[None]:
        """As `slot`, without blocking the event loop."""
        event_loop = current_token().native_token
        if event_loop not in self._queues:
            self._queues[event_loop] = CapacityLimiter(self.slots)
        queue, place = self._queues[event_loop], object()
        await queue.acquire_on_behalf_of(place)
        try:
            while not self._free.acquire(blocking=False):
                await anyio.sleep(POLL_SECONDS)
            with self._released_by(threading.get_ident()):
                yield
        finally:
            queue.release_on_behalf_of(place)

    @contextmanager
    def _released_by(self, owner: int) -> Iterator[None]:
        free, owners = self._free, self._owners
        owners.append(owner)
        try:
            yield
        finally:
            if free is self._free:  # not in a child that was forked meanwhile: another thread's lock may be on it
                owners.remove(owner)
                free.release()


def complete_all(generations: Sequence[RunningGeneration], limit: ConcurrencyLimit) -> list[list[GenerationChunk]]:
    """The answers of each generation; `limit` bounds how many run at the same time. The first failure ends the others."""
    cancelled = threading.Event()

    def complete(generation: RunningGeneration) -> list[GenerationChunk]:
        with limit.slot(cancelled) as may_run:
            return generation.answers() if may_run else []

    with ThreadPoolExecutor(min(len(generations), limit.slots)) as threads:
        answers = [threads.submit(copy_context().run, complete, generation) for generation in generations]
        try:
            for answer in wait(answers, return_when=FIRST_EXCEPTION).done:
                answer.result()
            return [answer.result() for answer in answers]
        finally:
            # After a failure, or Ctrl-C, the other answers are not needed.
            cancelled.set()
            threads.shutdown(wait=False, cancel_futures=True)
            for generation in generations:
                generation.close()
