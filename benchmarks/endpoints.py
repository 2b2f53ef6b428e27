"""What does sagechain cost over plain boto3, and beside langchain-aws? Concurrent requests, one request, tokens, cancel.

Method: an endpoint that answers at set times (`scripted_endpoint.py`) runs in a separate process. Each measurement has a
separate process too, since importing langchain-aws replaces `boto3.client`. Measurements alternate, each is warmed up, and
medians are shown with the least and the most. The ceiling of each figure is the endpoint's delay.

Targets: 40 async requests of 0.3 s within 0.45 s; 1,000 requests of 0.1 s, 256 in flight, within 1.2 × plain boto3; one
request costs at most 1 ms more; a token arrives at most 2 ms after it was sent; at most 3 of 40 frames follow a cancel.

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


def boto3_client() -> Any:
    """A plain boto3 client with room for 256 connections."""
    import boto3
    from botocore.config import Config

    return boto3.client("sagemaker-runtime", config=Config(max_pool_connections=256))


def invoke_with_boto3(client: Any, name: str) -> Any:
    """One request, its reply read and parsed."""
    reply = client.invoke_endpoint(EndpointName=name, Body=BODY, ContentType="application/json")
    return json.loads(reply["Body"].read())


def sagechain_model(name: str) -> Any:
    """sagechain's model over an endpoint of the server."""
    from sagechain.llms import SageMakerLLM

    return SageMakerLLM(endpoint_name=name, wire="tgi", max_concurrency=256)


def langchain_aws_model() -> Any:
    """langchain-aws's model over the endpoint of 0.3 s."""
    from langchain_aws.llms import SagemakerEndpoint
    from sagechain.llms import FalconContentHandler

    client = boto3_client()
    return SagemakerEndpoint(endpoint_name="wait-300", client=client, content_handler=FalconContentHandler())


def seconds(work: Callable[[], Any]) -> float:
    """Wall time."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def many_requests(repeat: int) -> int:
    """Number of requests in the measurements of many."""
    return 1000 if repeat > 1 else 300


def batch_sagechain(repeat: int) -> list[float]:
    """40 requests of 0.3 s by `abatch`."""
    llm = sagechain_model("wait-300")

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
    """The same by langchain-aws, once, since it is slow."""
    llm = langchain_aws_model()
    return [seconds(lambda: asyncio.run(llm.abatch(["Hi"] * (40 if repeat > 1 else 2))))]


def many_sagechain(repeat: int) -> list[float]:
    """1,000 requests of 0.1 s, 256 in flight, by `batch`."""
    llm = sagechain_model("wait-100")
    llm.batch(["Hi"] * 256)
    return [seconds(lambda: llm.batch(["Hi"] * many_requests(repeat))) for _ in range(repeat)]


def many_sagechain_abatch(repeat: int) -> list[float]:
    """The same by `abatch`."""
    llm = sagechain_model("wait-100")
    asyncio.run(llm.abatch(["Hi"] * 256))
    return [seconds(lambda: asyncio.run(llm.abatch(["Hi"] * many_requests(repeat)))) for _ in range(repeat)]


def many_sagechain_ainvoke(repeat: int) -> list[float]:
    """The same by 1,000 tasks with `ainvoke`, each a separate LangChain run."""
    llm = sagechain_model("wait-100")

    async def requests(number: int) -> None:
        await asyncio.gather(*(llm.ainvoke("Hi") for _ in range(number)))

    asyncio.run(requests(256))
    return [seconds(lambda: asyncio.run(requests(many_requests(repeat)))) for _ in range(repeat)]


def many_boto3(repeat: int) -> list[float]:
    """The same by plain boto3 in 256 threads."""
    client = boto3_client()
    with ThreadPoolExecutor(256) as threads:

        def requests(number: int) -> None:
            list(threads.map(lambda _: invoke_with_boto3(client, "wait-100"), range(number)))

        requests(256)
        return [seconds(lambda: requests(many_requests(repeat))) for _ in range(repeat)]


def one_sagechain(repeat: int) -> list[float]:
    """Requests of 0 s, one after the other."""
    llm = sagechain_model("wait-0")
    for _ in range(50):
        llm.invoke("Hi")
    return [seconds(lambda: llm.invoke("Hi")) for _ in range(100 * repeat)]


def one_boto3(repeat: int) -> list[float]:
    """The same by plain boto3."""
    client = boto3_client()
    for _ in range(50):
        invoke_with_boto3(client, "wait-0")
    return [seconds(lambda: invoke_with_boto3(client, "wait-0")) for _ in range(100 * repeat)]


def token_sagechain(repeat: int) -> list[float]:
    """Delay from the server's sending of a token to `stream`."""
    llm = sagechain_model("stream-3-10")
    return [time.monotonic() - float(chunk) for _ in range(10 * repeat) for chunk in llm.stream("Hi")]


def token_sagechain_async(repeat: int) -> list[float]:
    """Delay from the server's sending of a token to `astream`."""
    llm = sagechain_model("stream-3-10")

    async def run() -> list[float]:
        return [time.monotonic() - float(chunk) for _ in range(10 * repeat) async for chunk in llm.astream("Hi")]

    return asyncio.run(run())


def token_boto3(repeat: int) -> list[float]:
    """The same by plain boto3's event stream, parsed."""
    client = boto3_client()
    delays = []
    for _ in range(10 * repeat):
        reply = client.invoke_endpoint_with_response_stream(EndpointName="stream-3-10", Body=BODY)
        for event in reply["Body"]:
            text = json.loads(event["PayloadPart"]["Bytes"].removeprefix(b"data:"))["token"]["text"]
            delays.append(time.monotonic() - float(text))
    return delays


def frames_after(leave: Callable[[Any], None]) -> float:
    """Frames that the server sent after the two that were read."""
    leave(sagechain_model("stream-40-20"))
    time.sleep(1.0)
    with urlopen(f"{os.environ['AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME']}/frames") as reply:
        return float(json.load(reply) - 2)


def cancel_break(repeat: int) -> list[float]:
    """Frames after a `break`."""

    def leave(llm: Any) -> None:
        for number, _ in enumerate(llm.stream("Hi")):
            if number == 1:
                break

    return [frames_after(leave) for _ in range(repeat)]


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

    return [frames_after(lambda llm: asyncio.run(run(llm))) for _ in range(repeat)]


MEASUREMENTS = [
    batch_sagechain,
    batch_langchain_aws,
    many_boto3,
    many_sagechain,
    many_sagechain_abatch,
    many_sagechain_ainvoke,
    one_boto3,
    one_sagechain,
    token_boto3,
    token_sagechain,
    token_sagechain_async,
    cancel_break,
    cancel_task,
]


def run_measurement(name: str, repeat: int) -> list[float]:
    """A measurement in a separate process."""
    command = [sys.executable, __file__, "--measure", name, "--repeat", str(repeat)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure_all(repeat: int, rounds: int) -> dict[str, list[float]]:
    """Every measurement, `rounds` times in turn; langchain-aws only in the first round."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
    script = str(Path(__file__).with_name("scripted_endpoint.py"))
    figures: dict[str, list[float]] = {measurement.__name__: [] for measurement in MEASUREMENTS}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        os.environ["AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"] = server.stdout.readline().strip()
        for number in range(rounds):
            for measurement in MEASUREMENTS:
                if number == 0 or measurement is not batch_langchain_aws:
                    figures[measurement.__name__] += run_measurement(measurement.__name__, repeat)
        server.terminate()
    return figures


def print_figures(figures: dict[str, list[float]]) -> None:
    """Median and spread of each measurement, then one line of JSON."""
    medians = {}
    for measurement in MEASUREMENTS:
        values = sorted(figures[measurement.__name__])
        medians[measurement.__name__] = round(statistics.median(values), 5)
        description = (measurement.__doc__ or "").rstrip(".")
        spread = f"({values[0]:.4f} to {values[-1]:.4f}, 95 %: {values[int(0.95 * (len(values) - 1))]:.4f})"
        print(f"{measurement.__name__:23} {statistics.median(values):9.4f}  {spread}  {description}")
    versions = {name: version(name) for name in ("boto3", "langchain-aws", "sagechain")}
    print(json.dumps({"python": platform.python_version(), "cores": os.cpu_count(), **versions, "median": medians}))


def main() -> None:
    """Run one measurement, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="once each, without evaluating the times")
    parser.add_argument("--measure", help="one measurement, in this process")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(globals()[options.measure](options.repeat)))
        return
    print_figures(measure_all(*((1, 1) if options.smoke else (options.repeat, 2))))


if __name__ == "__main__":
    main()
