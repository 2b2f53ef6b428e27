"""Generations: cached by prompt and parameters, sent once if they may be billed, limited in number and time."""

import asyncio
import contextlib
import socket
import threading
import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from sagechain.llms import LlamaCppLLM, SageMakerLLM, errors, load_llm
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON, LLAMA
from tests.llms.test_sagemaker import PROMPT, bodies, falcon


def test_langchains_cache_distinguishes_parameters_of_the_request(runtime: LocalRuntime) -> None:
    set_llm_cache(InMemoryCache())
    try:
        llm, before = falcon(), len(runtime.requests)
        for limit in (1, 2, 1):
            llm.invoke(PROMPT, max_new_tokens=limit)
            llm.bind(max_new_tokens=limit).invoke(PROMPT)
        assert asyncio.run(llm.ainvoke(PROMPT, max_new_tokens=2)) == " The capital"
        assert len(runtime.requests) == before + 2
    finally:
        set_llm_cache(None)


@pytest.mark.parametrize("settings", [{}, {"retries": {"mode": "standard"}}, {"retries": {"mode": "adaptive"}}])
def test_the_retries_of_a_given_client_are_not_added_to_ours(
    llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    model = {"model": f"local:{llm.path}", "family": "falcon"}
    faulty = {"hanging": {**model, "fault": "hang"}, "busy": {**model, "fault": "bare-429"}}
    with LocalRuntime(faulty) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        impatient = boto3.client("sagemaker-runtime", config=Config(read_timeout=2, **settings))
        with pytest.raises(errors.TimedOut):
            load_llm("sagemaker:hanging?family=falcon", client=impatient, timeout=60).invoke("Hi")
        assert len(runtime.requests) == 1
        client = boto3.client("sagemaker-runtime", config=Config(**settings))
        with pytest.raises(errors.Throttled):
            load_llm("sagemaker:busy?family=falcon", client=client, max_retries=0).invoke("Hi")
        assert len(runtime.requests) == 2
        # Other requests through the client keep its own retries.
        with pytest.raises(client.exceptions.ClientError):
            client.invoke_endpoint(EndpointName="busy", Body=b"{}")
        assert len(runtime.requests) > 3


@pytest.mark.parametrize("fault", ["stream-reset", "stream-broken"])
def test_an_invoke_that_streams_inside_does_not_repeat_a_generation_that_has_started(
    llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    model = {"model": f"local:{llm.path}", "family": "falcon", "fault": fault, "frames": 2}
    with LocalRuntime({"faulty": model}) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        streaming = SageMakerLLM(endpoint_name="faulty", family="falcon", streaming=True)
        with pytest.raises(errors.StreamInterrupted) as caught:
            streaming.invoke(PROMPT)
        assert caught.value.partial_text == " The capital"
        assert len(runtime.requests) == 1


def test_several_answers_are_requested_whole_even_if_invoke_streams(runtime: LocalRuntime) -> None:
    llm = SageMakerLLM(
        endpoint_name=FALCON, wire="messages", streaming=True, num_return_sequences=2, temperature=1.0, max_retries=0
    )
    before = len(runtime.requests)
    with pytest.raises(errors.LLMError):
        llm.generate(["Hi"])  # the Falcon container does not have this wire
    assert bodies(runtime, before)[0]["stream"] is False


def test_max_concurrency_limits_batches_threads_and_tasks_together(runtime: LocalRuntime) -> None:
    llm = SageMakerLLM(endpoint_name=FALCON, family="falcon", max_new_tokens=8, max_concurrency=2)
    most, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.is_set():
            most = max(most, runtime.generating)
            time.sleep(0.002)

    async def asynchronous() -> None:
        await asyncio.gather(*(llm.abatch([PROMPT, PROMPT]) for _ in range(2)), llm.ainvoke(PROMPT))

    watching = threading.Thread(target=watch)
    watching.start()
    callers = [threading.Thread(target=llm.invoke, args=(PROMPT,)) for _ in range(4)]
    callers.append(threading.Thread(target=lambda: asyncio.run(asynchronous())))
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    ended.set()
    watching.join()
    assert most == 2


def test_waiting_for_a_stream_of_the_same_thread_is_an_error_instead_of_a_deadlock(
    runtime: LocalRuntime,
) -> None:
    llm = SageMakerLLM(endpoint_name=FALCON, family="falcon", max_concurrency=1)
    stream: Any = llm.stream(PROMPT)
    next(stream)
    with pytest.raises(RuntimeError, match="this thread would wait for its own open stream"):
        llm.invoke(PROMPT)
    stream.close()


def test_the_eula_is_accepted_beside_custom_attributes_of_the_caller(runtime: LocalRuntime) -> None:
    llm = SageMakerLLM(
        endpoint_name=LLAMA,
        wire="llama2-dialog",
        accept_eula=True,
        max_new_tokens=2,
        endpoint_kwargs={"CustomAttributes": "trace=1"},
    )
    assert llm.invoke("Hi")


@pytest.mark.parametrize(
    "settings",
    [{"timeout": float("inf")}, {"timeout": 1e10}, {"timeout": True}, {"timeout": "5"}, {"client": "boto3"}],
    ids=str,
)
def test_settings_that_no_request_could_honour_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        SageMakerLLM(endpoint_name=FALCON, family="falcon", **settings)


@pytest.mark.parametrize("status", [200, 500], ids=["headers", "the body of an error"])
def test_a_reply_that_arrives_byte_by_byte_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                connection.sendall(f"HTTP/1.1 {status} Slow\r\n".encode())
                connection.sendall(b"X-Filler: " if status == 200 else b"Content-Length: 99\r\n\r\n")
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.1)

        serving = threading.Thread(target=serve)
        serving.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(errors.TimedOut):
            falcon(timeout=0.5).invoke(PROMPT)
        serving.join()
