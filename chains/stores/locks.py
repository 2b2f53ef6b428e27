"""One turn of a thread at a time, among all processes that use a store: how one is waited for, and given back.

    with turns.held("ada"):            # waits while any other process, thread or task has it
        ...

A turn is taken without waiting, by a lock file or a database's lock (`sqlite_store.py`, `postgres_store.py`), which whoever
waits asks for again and again: so nobody who waits holds a thread of Python's, a connection or the event loop, and Ctrl-C
and a cancel end the waiting at once.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial

LOOK_SECONDS = 0.02  # how often who waits looks whether the thread is free


class ThreadTurns(ABC):
    """The turns of all threads of a store."""

    def __init__(self) -> None:
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="thread-turns")

    @abstractmethod
    def take(self, thread: str) -> bool:
        """Take a thread's one turn, if it is free; a process that dies gives it back."""

    @abstractmethod
    def end(self, thread: str) -> None:
        """Give a thread's turn back, if it is still there to give."""

    @contextmanager
    def held(self, thread: str) -> Iterator[None]:
        """A turn of a thread, once nobody else has one."""
        while not self.take(thread):
            time.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            self.end(thread)

    @asynccontextmanager
    async def aheld(self, thread: str) -> AsyncIterator[None]:
        """As `held`."""
        while not await self._ataken(thread):
            await asyncio.sleep(LOOK_SECONDS)
        try:
            yield
        finally:
            # Shielded: a cancel must not leave the turn taken.
            await asyncio.shield(asyncio.wrap_future(self._asking.submit(self.end, thread)))

    async def _ataken(self, thread: str) -> bool:
        taking = self._asking.submit(self.take, thread)
        try:
            return await asyncio.wrap_future(taking)
        except asyncio.CancelledError:
            # The asking goes on, and nobody else would give back what it gets.
            taking.add_done_callback(partial(self._given_back, thread))
            raise

    def _given_back(self, thread: str, taking: "Future[bool]") -> None:
        if not taking.cancelled() and taking.exception() is None and taking.result():
            self.end(thread)
