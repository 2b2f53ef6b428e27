"""Mixed load on the local runtime: most calls are well, some meet a fault, some are given up; every result is looked at."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sagechain.llms import SageMakerLLM, errors
from sagechain.local_aws import LocalRuntime

PROMPT = "User: What is the capital of France?\nAssistant:"
ANSWER = " The capital of France is Paris"
IN_FLIGHT = 64
FAULTY, GIVEN_UP = 0.05, 0.10  # shares of the calls
FAULTS = {
    "denied": errors.AccessDenied,
    "time-limit": errors.TimedOut,
    "not-json": errors.MalformedResponse,
    "short-body": errors.MalformedResponse,
    "stream-closed": errors.StreamInterrupted,
    "bad-checksum": errors.StreamInterrupted,
    "in-band-error": errors.StreamInterrupted,
}
WARM_UP_SECONDS = 5.0
LEAST_CALLS = (
    200  # of the warm-up, which fills pools, and of what is measured: in the time alone a slow machine makes few
)
KINDS = {"invoke", "stream", "given up", "fault"}
SLACK_BYTES = 60_000_000  # of memory, for what the interpreter and llama.cpp's prompt cache keep


@dataclass(frozen=True)
class Load:
    """What was done."""

    calls: int
    kinds: Counter[str]


def mixed_load(seconds: float) -> Load:
    """Keep 64 calls in flight for so long, or until there were enough, after a warm-up; every result has to be right, and
    at the end threads, open files and memory have to be as after the warm-up."""
    endpoints = {"well": {"model": "local:smollm2", "wire": "tgi"}}
    endpoints |= {fault: {"model": "local:smollm2", "wire": "tgi", "fault": fault} for fault in FAULTS}
    kinds: Counter[str] = Counter()
    with LocalRuntime(endpoints) as runtime:
        llms = {
            name: SageMakerLLM(
                endpoint_name=name,
                wire="tgi",
                endpoint_url=runtime.url,
                max_new_tokens=6,
                max_concurrency=IN_FLIGHT,
                timeout=120,
            )
            for name in endpoints
        }

        async def phase(length: float) -> tuple[int, int, int]:
            until = time.monotonic() + length
            kinds.clear()

            def goes_on() -> bool:
                return time.monotonic() < until or kinds.total() < LEAST_CALLS or set(kinds) != KINDS

            await asyncio.gather(*(_worker(llms, goes_on, random.Random(number), kinds) for number in range(IN_FLIGHT)))
            while runtime.generating:
                await asyncio.sleep(0.05)
            return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), _resident_bytes()

        async def run() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
            return await phase(max(WARM_UP_SECONDS, seconds / 10)), await phase(seconds)

        before, after = asyncio.run(run())
    # Both ends of each connection that the pools keep are in this process.
    assert after[0] <= before[0] + IN_FLIGHT, f"threads: {before[0]} → {after[0]}"
    assert after[1] <= before[1] + 2 * IN_FLIGHT, f"open files: {before[1]} → {after[1]}"
    assert after[2] <= before[2] + SLACK_BYTES, f"bytes: {before[2]} → {after[2]}"
    return Load(kinds.total(), kinds)


async def _worker(
    llms: dict[str, SageMakerLLM], goes_on: Callable[[], bool], chance: random.Random, kinds: Counter[str]
) -> None:
    while goes_on():
        drawn = chance.random()
        if drawn < FAULTY:
            await _meet(llms, chance.choice(list(FAULTS)))
            kinds["fault"] += 1
        elif drawn < FAULTY + GIVEN_UP:
            await _give_up(llms["well"], chance)
            kinds["given up"] += 1
        elif drawn < 0.6:
            assert await llms["well"].ainvoke(PROMPT) == ANSWER
            kinds["invoke"] += 1
        else:
            assert "".join([piece async for piece in llms["well"].astream(PROMPT)]) == ANSWER
            kinds["stream"] += 1


async def _meet(llms: dict[str, SageMakerLLM], fault: str) -> None:
    pieces: list[str] = []

    async def read() -> None:
        async for piece in llms[fault].astream(PROMPT):
            pieces.append(piece)

    with pytest.raises(FAULTS[fault]) as caught:
        await read()
    if isinstance(caught.value, errors.StreamInterrupted):
        assert caught.value.partial_text == "".join(pieces)
        assert ANSWER.startswith(caught.value.partial_text)


async def _give_up(llm: SageMakerLLM, chance: random.Random) -> None:
    call = asyncio.create_task(llm.ainvoke("Once upon a time", max_new_tokens=500))
    await asyncio.sleep(chance.uniform(0, 0.3))
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
