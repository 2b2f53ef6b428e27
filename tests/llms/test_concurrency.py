"""The limit on generations in flight: threads and tasks wait for each other, and no wait is a deadlock."""

import asyncio
import gc
import threading

import pytest
from anyio import CapacityLimiter
from sagechain.llms import ConcurrencyLimit


def test_a_thread_waits_until_another_has_released_its_slot() -> None:
    limit, order = ConcurrencyLimit(1), list[str]()

    def second() -> None:
        with limit.slot():
            order.append("second")

    with limit.slot():
        waiting = threading.Thread(target=second)
        waiting.start()
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_tasks_of_several_event_loops_share_the_slots() -> None:
    limit, counting, in_use, most = ConcurrencyLimit(2), threading.Lock(), 0, 0

    async def use_slot() -> None:
        nonlocal in_use, most
        async with limit.aslot():
            with counting:
                in_use += 1
                most = max(most, in_use)
            await asyncio.sleep(0)
            with counting:
                in_use -= 1

    async def use_many() -> None:
        await asyncio.gather(*(use_slot() for _ in range(20)))

    loops = [threading.Thread(target=asyncio.run, args=(use_many(),)) for _ in range(3)]
    for loop in loops:
        loop.start()
    for loop in loops:
        loop.join()
    assert (in_use, most <= 2) == (0, True)


def test_a_thread_that_would_wait_for_itself_gets_an_error() -> None:
    limit = ConcurrencyLimit(1)
    with (
        limit.slot(),
        pytest.raises(RuntimeError, match="this thread would wait for its own open stream"),
        limit.slot(),
    ):
        pass


def test_a_thread_that_would_block_its_own_event_loop_gets_an_error() -> None:
    async def block() -> None:
        limit = ConcurrencyLimit(1)
        async with limit.aslot():
            with pytest.raises(RuntimeError, match="this thread would wait for its own open stream"), limit.slot():
                pass

    asyncio.run(block())


def test_a_wait_can_be_cancelled() -> None:
    limit, cancelled, results = ConcurrencyLimit(1), threading.Event(), list[bool]()

    def wait_for_slot() -> None:
        with limit.slot(cancelled) as has_slot:
            results.append(has_slot)

    with limit.slot():
        waiting = threading.Thread(target=wait_for_slot)
        waiting.start()
        cancelled.set()
        waiting.join()
    assert results == [False]


def test_an_event_loop_retains_nothing_of_limits_that_are_no_longer_used() -> None:
    async def use_limits() -> int:
        for _ in range(50):
            async with ConcurrencyLimit(1).aslot():
                pass
        gc.collect()
        return sum(isinstance(each, CapacityLimiter) for each in gc.get_objects())

    assert asyncio.run(use_limits()) < 50


def test_a_cancelled_task_holds_no_slot() -> None:
    async def cancel_the_waiting_task() -> None:
        limit = ConcurrencyLimit(1)

        async def use_slot() -> None:
            async with limit.aslot():
                pass

        async with limit.aslot():
            waiting = asyncio.create_task(use_slot())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await asyncio.wait_for(use_slot(), timeout=5)

    asyncio.run(cancel_the_waiting_task())
