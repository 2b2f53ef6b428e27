"""What does sagechain cost over raw boto3, and beside langchain-aws? Many calls at once, one call, first token, cancel.

Method: a scripted endpoint (`scripted_endpoint.py`) in a process of its own answers at set times. Each peer runs in one
too, since importing langchain-aws replaces `boto3.client`; peers alternate, each is warmed up, medians are shown with
the least and the most. The ceiling of each figure is the endpoint's own delay.

Targets: 40 async calls of 0.3 s within 0.45 s; 1,000 calls of 0.1 s, 256 in flight, within 1.2 × raw boto3; one call adds
at most 1 ms; the first token comes at most 2 ms behind the wire; at most 3 of 40 frames are sent after a cancel.

    python benchmarks/endpoints.py
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

BODY = json.dumps({"inputs": "Hi", "parameters": {}, "stream": True}).encode()


def raw_client() -> Any:
    """A stock boto3 client with room for 256 connections."""
    import boto3
    from botocore.config import Config

    return boto3.client("sagemaker-runtime", config=Config(max_pool_connections=256))


def raw_call(client: Any, name: str) -> Any:
    """One call, read and parsed."""
    reply = client.invoke_endpoint(EndpointName=name, Body=BODY, ContentType="application/json")
    return json.loads(reply["Body"].read())


def ours(name: str) -> Any:
    """Our model over an endpoint of the server."""
    from sagechain.llms import SageMakerLLM

    return SageMakerLLM(endpoint_name=name, wire="tgi", max_concurrency=256)


def peers() -> Any:
    """langchain-aws's model over the endpoint of 0.3 s."""
    from langchain_aws.llms import SagemakerEndpoint
    from sagechain.llms import FalconContentHandler

    client = raw_client()
    return SagemakerEndpoint(endpoint_name="wait-300", client=client, content_handler=FalconContentHandler())


def seconds(work: Callable[[], Any]) -> float:
    """The wall time of some work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def many(repeat: int) -> int:
    """How many calls are many."""
    return 1000 if repeat > 1 else 300


def batch_ours(repeat: int) -> list[float]:
    """40 calls of 0.3 s by `abatch`."""
    llm = ours("wait-300")

    async def run() -> list[float]:
        await llm.abatch(["Hi"] * 40)
        times = []
        for _ in range(repeat):
            began = time.perf_counter()
            await llm.abatch(["Hi"] * 40)
            times.append(time.perf_counter() - began)
        return times

    return asyncio.run(run())


def batch_langchain_aws(repeat: int) -> list[float]:
    """The same by langchain-aws, once: it takes its time."""
    llm = peers()
    return [seconds(lambda: asyncio.run(llm.abatch(["Hi"] * (40 if repeat > 1 else 2))))]


def many_ours(repeat: int) -> list[float]:
    """1,000 calls of 0.1 s, 256 in flight, by `batch`."""
    llm = ours("wait-100")
    llm.batch(["Hi"] * 256)
    return [seconds(lambda: llm.batch(["Hi"] * many(repeat))) for _ in range(repeat)]


def many_ours_abatch(repeat: int) -> list[float]:
    """The same by `abatch`."""
    llm = ours("wait-100")
    asyncio.run(llm.abatch(["Hi"] * 256))
    return [seconds(lambda: asyncio.run(llm.abatch(["Hi"] * many(repeat)))) for _ in range(repeat)]


def many_ours_ainvoke(repeat: int) -> list[float]:
    """The same by 1,000 tasks that `ainvoke`: each is a LangChain run of its own."""
    llm = ours("wait-100")

    async def calls(number: int) -> None:
        await asyncio.gather(*(llm.ainvoke("Hi") for _ in range(number)))

    asyncio.run(calls(256))
    return [seconds(lambda: asyncio.run(calls(many(repeat)))) for _ in range(repeat)]


def many_raw(repeat: int) -> list[float]:
    """The same by raw boto3 in 256 threads."""
    client = raw_client()
    with ThreadPoolExecutor(256) as threads:

        def calls(number: int) -> None:
            list(threads.map(lambda _: raw_call(client, "wait-100"), range(number)))

        calls(256)
        return [seconds(lambda: calls(many(repeat))) for _ in range(repeat)]


def one_ours(repeat: int) -> list[float]:
    """Calls of 0 s, one after the other."""
    llm = ours("wait-0")
    for _ in range(50):
        llm.invoke("Hi")
    return [seconds(lambda: llm.invoke("Hi")) for _ in range(100 * repeat)]


def one_raw(repeat: int) -> list[float]:
    """The same by raw boto3."""
    client = raw_client()
    for _ in range(50):
        raw_call(client, "wait-0")
    return [seconds(lambda: raw_call(client, "wait-0")) for _ in range(100 * repeat)]


def first_ours(repeat: int) -> list[float]:
    """From the sending of a token to our `stream` giving it."""
    llm = ours("stream-3-10")
    return [time.monotonic() - float(piece) for _ in range(10 * repeat) for piece in llm.stream("Hi")]


def first_ours_async(repeat: int) -> list[float]:
    """From the sending of a token to our `astream` giving it."""
    llm = ours("stream-3-10")

    async def run() -> list[float]:
        return [time.monotonic() - float(piece) for _ in range(10 * repeat) async for piece in llm.astream("Hi")]

    return asyncio.run(run())


def first_raw(repeat: int) -> list[float]:
    """The same by raw boto3's event stream, parsed."""
    client = raw_client()
    late = []
    for _ in range(10 * repeat):
        reply = client.invoke_endpoint_with_response_stream(EndpointName="stream-3-10", Body=BODY)
        for event in reply["Body"]:
            text = json.loads(event["PayloadPart"]["Bytes"].removeprefix(b"data:"))["token"]["text"]
            late.append(time.monotonic() - float(text))
    return late


def sent_after(leave: Callable[[Any], None]) -> float:
    """Frames that the server sent beyond the two that were read."""
    leave(ours("stream-40-20"))
    time.sleep(1.0)
    with urlopen(f"{os.environ['AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME']}/frames") as reply:
        return float(json.load(reply) - 2)


def cancel_break(repeat: int) -> list[float]:
    """Frames after a `break`."""

    def leave(llm: Any) -> None:
        for number, _ in enumerate(llm.stream("Hi")):
            if number == 1:
                break

    return [sent_after(leave) for _ in range(repeat)]


def cancel_task(repeat: int) -> list[float]:
    """Frames after a cancelled task."""

    async def run(llm: Any) -> None:
        async def read(seen: asyncio.Semaphore) -> None:
            async for _ in llm.astream("Hi"):
                seen.release()

        seen = asyncio.Semaphore(0)
        task = asyncio.create_task(read(seen))
        await seen.acquire()
        await seen.acquire()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return [sent_after(lambda llm: asyncio.run(run(llm))) for _ in range(repeat)]


MEASURES = [
    batch_ours,
    batch_langchain_aws,
    many_raw,
    many_ours,
    many_ours_abatch,
    many_ours_ainvoke,
    one_raw,
    one_ours,
    first_raw,
    first_ours,
    first_ours_async,
    cancel_break,
    cancel_task,
]


def measured(name: str, repeat: int) -> list[float]:
    """A measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", name, "--repeat", str(repeat)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print medians and spreads, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="once each, without judging time")
    parser.add_argument("--measure", help="one measure, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(globals()[options.measure](options.repeat)))
        return
    repeat, rounds = (1, 1) if options.smoke else (options.repeat, 2)
    os.environ |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
    script = str(Path(__file__).with_name("scripted_endpoint.py"))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        os.environ["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] = server.stdout.readline().strip()
        figures: dict[str, list[float]] = {measure.__name__: [] for measure in MEASURES}
        for number in range(rounds):
            for measure in MEASURES:
                if number == 0 or measure is not batch_langchain_aws:
                    figures[measure.__name__] += measured(measure.__name__, repeat)
        server.terminate()
    medians = {}
    for measure in MEASURES:
        values = sorted(figures[measure.__name__])
        medians[measure.__name__] = round(statistics.median(values), 5)
        what = (measure.__doc__ or "").rstrip(".")
        spread = f"({values[0]:.4f} to {values[-1]:.4f}, 95 %: {values[int(0.95 * (len(values) - 1))]:.4f})"
        print(f"{measure.__name__:20} {statistics.median(values):9.4f}  {spread}  {what}")
    versions = {name: version(name) for name in ("boto3", "langchain-aws", "sagechain")}
    print(json.dumps({"python": platform.python_version(), "cores": os.cpu_count(), **versions, "median": medians}))


if __name__ == "__main__":
    main()
