"""Mixed load on the local runtime: most generations succeed, some meet a failure, some are cancelled; all are checked."""

import asyncio
import random
import threading
from pathlib import Path

import pytest
from sagechain.llms import SageMakerLLM, errors
from sagechain.local_aws import LocalRuntime

PROMPT = "User: What is the capital of France?\nAssistant:"
ANSWER = " The capital of France is Paris"
IN_FLIGHT = 64
KINDS = ("invoke", "stream", "invoke", "stream", "cancelled", "failure")
"""The kinds of generation that a worker runs in turn; each worker begins with another one."""
FAULTS = {
    "denied": errors.AccessDenied,
    "time-limit": errors.TimedOut,
    "not-json": errors.MalformedResponse,
    "short-body": errors.MalformedResponse,
    "stream-closed": errors.StreamInterrupted,
    "bad-checksum": errors.StreamInterrupted,
    "in-band-error": errors.StreamInterrupted,
}
SLACK_BYTES = 60_000_000  # of memory that the interpreter and llama.cpp's prompt cache retain


def check_mixed_load(rounds: int) -> None:
    """Run rounds of 64 generations in flight, after a round of warm-up; every result has to be right.

    Raises:
        AssertionError: a result is wrong, or threads, open files or memory have grown since the warm-up.
    """
    endpoints = {"well": {"model": "local:smollm2", "wire": "tgi"}}
    endpoints |= {fault: {"model": "local:smollm2", "wire": "tgi", "fault": fault} for fault in FAULTS}
    with LocalRuntime(endpoints) as runtime:
        llms = {
            name: SageMakerLLM(
                endpoint_name=name,
                wire="tgi",
                endpoint_url=runtime.url,
                max_new_tokens=6,
                max_concurrency=IN_FLIGHT,
                timeout=600,  # far more than 64 generations at once take, on a busy machine too
            )
            for name in endpoints
        }

        async def measure(rounds: int) -> tuple[int, int, int]:
            await asyncio.gather(*(_work(llms, number, rounds) for number in range(IN_FLIGHT)))
            while runtime.generating:
                await asyncio.sleep(0.01)
            return threading.active_count(), len(list(Path("/proc/self/fd").iterdir())), _resident_bytes()

        async def measure_twice() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
            return await measure(1), await measure(rounds)

        before, after = asyncio.run(measure_twice())
    # Both ends of each connection that the pools keep are in this process.
    assert after[0] <= before[0] + IN_FLIGHT, f"threads: {before[0]} → {after[0]}"
    assert after[1] <= before[1] + 2 * IN_FLIGHT, f"open files: {before[1]} → {after[1]}"
    assert after[2] <= before[2] + SLACK_BYTES, f"bytes: {before[2]} → {after[2]}"


async def _work(llms: dict[str, SageMakerLLM], worker: int, rounds: int) -> None:
    chance = random.Random(worker)
    for number in range(worker, worker + rounds):
        match KINDS[number % len(KINDS)]:
            case "failure":
                await _meet(llms, list(FAULTS)[number % len(FAULTS)])
            case "cancelled":
                await _cancel(llms["well"], chance)
            case "invoke":
                assert await llms["well"].ainvoke(PROMPT) == ANSWER
            case "stream":
                assert "".join([chunk async for chunk in llms["well"].astream(PROMPT)]) == ANSWER


async def _meet(llms: dict[str, SageMakerLLM], fault: str) -> None:
    chunks: list[str] = []

    async def read() -> None:
        async for chunk in llms[fault].astream(PROMPT):
            chunks.append(chunk)

    with pytest.raises(FAULTS[fault]) as caught:
        await read()
    if isinstance(caught.value, errors.StreamInterrupted):
        assert caught.value.partial_text == "".join(chunks)
        assert ANSWER.startswith(caught.value.partial_text)


async def _cancel(llm: SageMakerLLM, chance: random.Random) -> None:
    generation = asyncio.create_task(llm.ainvoke("Once upon a time", max_new_tokens=500))
    await asyncio.sleep(chance.uniform(0, 0.3))
    generation.cancel()
    await asyncio.gather(generation, return_exceptions=True)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096
