"""Locks on threads among all processes that use a store, so that a thread runs one turn at a time.

    with locks.lock("ada"):            # waits while another process, Python thread or task has it
        ...

A lock is acquired without blocking, by a lock file or a database's lock (`sqlite.py`, `postgres.py`), and polled while
another has it: so waiting blocks no Python thread, connection or event loop, and Ctrl-C and a cancellation end it. A forked
child has none of its parent's locks.
"""

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from sagechain.llms import renew_in_child

POLL_SECONDS = 0.02


class ThreadLocks(ABC):
    """The locks of all threads of a store."""

    def __init__(self) -> None:
        self._renew()
        renew_in_child(self, lambda locks: locks._renew())

    def _renew(self) -> None:
        """Start without locks; in a forked child without a connection of its parent's too."""
        self._guard = threading.Lock()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="thread-locks")

    @abstractmethod
    def try_acquire(self, thread: str) -> bool:
        """Acquire a thread's lock if it is free; a process that dies releases it."""

    @abstractmethod
    def release(self, thread: str) -> None:
        """Release a thread's lock, if it is still acquired."""

    def forget(self, thread: str) -> None:  # noqa: B027 - most have nothing to delete
        """Delete what the lock of a deleted thread leaves behind."""

    def close(self) -> None:  # noqa: B027 - as `forget`
        """Release all locks."""

    @contextmanager
    def lock(self, thread: str) -> Iterator[None]:
        """A thread's lock; waits until it is free."""
        while not self.try_acquire(thread):
            time.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            self.release(thread)

    @asynccontextmanager
    async def alock(self, thread: str) -> AsyncIterator[None]:
        """As `lock`."""
        while not await self._atry_acquire(thread):
            await asyncio.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            # Shielded: a cancellation must not leave the lock acquired.
            await asyncio.shield(asyncio.wrap_future(self._executor.submit(self.release, thread)))

    async def _atry_acquire(self, thread: str) -> bool:
        acquired = self._executor.submit(self.try_acquire, thread)
        try:
            return await asyncio.wrap_future(acquired)
        except asyncio.CancelledError:
            # The attempt continues in its Python thread, and its lock has no other owner.
            acquired.add_done_callback(partial(self._release_if_acquired, thread))
            raise

    def _release_if_acquired(self, thread: str, acquired: "Future[bool]") -> None:
        if not acquired.cancelled() and acquired.exception() is None and acquired.result():
            self.release(thread)


class ProcessLocks(ThreadLocks):
    """The locks of threads that no other process has."""

    def _renew(self) -> None:
        super()._renew()
        self._acquired = set[str]()

    def try_acquire(self, thread: str) -> bool:
        """Acquire a thread's lock if it is free."""
        with self._guard:
            is_free = thread not in self._acquired
            self._acquired.add(thread)
            return is_free

    def release(self, thread: str) -> None:
        """Release a thread's lock."""
        with self._guard:
            self._acquired.discard(thread)
