"""SageMakerLLM over the local runtime: answers, streams, stop strings, concurrency, and errors."""

import asyncio
import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.runnables import ConfigurableField
from sagechain.llms import FalconContentHandler, LlamaCppLLM, SageMakerLLM, errors, load_llm
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON, FALCON_URI, LLAMA, LLAMA_URI
from tests.waiting import wait_until

PROMPT = "User: What is the capital of France?\nAssistant:"
ANSWER = " The capital of France is Paris."


def falcon(**parameters: Any) -> SageMakerLLM:
    llm = load_llm(FALCON_URI, **{"max_new_tokens": 8, **parameters})
    assert isinstance(llm, SageMakerLLM)
    return llm


def bodies(runtime: LocalRuntime, before: int) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in runtime.requests[before:]]


def test_all_methods_give_the_same_answer(runtime: LocalRuntime) -> None:
    llm = falcon()

    async def asynchronous() -> list[str]:
        return [
            await llm.ainvoke(PROMPT),
            "".join([chunk async for chunk in llm.astream(PROMPT)]),
            *await llm.abatch([PROMPT, PROMPT]),
        ]

    answers = [
        llm.invoke(PROMPT),
        "".join(llm.stream(PROMPT)),
        *llm.batch([PROMPT, PROMPT]),
        *asyncio.run(asynchronous()),
        *asyncio.run(asynchronous()),
    ]
    assert {answer.split("\n")[0] for answer in answers} == {ANSWER}
    assert len(set(answers)) == 1


def test_a_stream_arrives_in_many_chunks(runtime: LocalRuntime) -> None:
    chunks = list(falcon().stream(PROMPT))
    assert len(chunks) >= 7
    assert chunks[0] == " The"


def test_over_the_dialog_wire_a_string_is_one_user_message_and_a_stream_is_one_chunk(runtime: LocalRuntime) -> None:
    llm = load_llm(LLAMA_URI, accept_eula=True, max_new_tokens=8)
    before = len(runtime.requests)
    whole = llm.invoke("Hi")
    assert list(llm.stream("Hi")) == [whole]
    sent = {"inputs": [[{"role": "user", "content": "Hi"}]], "parameters": {"max_new_tokens": 8}}
    assert bodies(runtime, before) == [sent, sent]


@pytest.mark.parametrize("streaming", [False, True])
def test_stop_strings_are_sent_and_cut_exactly(runtime: LocalRuntime, streaming: bool) -> None:
    llm, before = falcon(stop=["capital"]), len(runtime.requests)

    def answer(**stop: Any) -> str:
        return "".join(llm.stream(PROMPT, **stop)) if streaming else llm.invoke(PROMPT, **stop)

    assert answer() == " The "
    assert answer(stop=["of Fr", " is"]) == " The capital "
    assert answer(stop=[]).startswith(ANSWER)
    stops = [body["parameters"].get("stop") for body in bodies(runtime, before)]
    assert stops == [["capital"], ["of Fr", " is"], None]


def test_with_streaming_invoke_uses_the_stream_and_gives_the_same_answer(runtime: LocalRuntime) -> None:
    llm = SageMakerLLM(endpoint_name=FALCON, family="falcon", max_new_tokens=8, streaming=True)
    assert llm.invoke(PROMPT) == falcon().invoke(PROMPT)
    assert runtime.requests[-2].path.endswith("invocations-response-stream")


def test_arguments_of_langchain_aws_are_accepted(runtime: LocalRuntime, client: Any) -> None:
    llm = SageMakerLLM(
        endpoint_name=FALCON,
        content_handler=FalconContentHandler(),
        client=client,
        model_kwargs={"max_new_tokens": 8},
        endpoint_kwargs={"InferenceId": "7"},
    )
    assert llm.invoke(PROMPT).startswith(ANSWER)


def test_the_client_has_the_given_settings(runtime: LocalRuntime) -> None:
    llm = SageMakerLLM(
        endpoint_name=FALCON,
        family="falcon",
        timeout=5,
        max_concurrency=7,
        region_name="eu-west-1",
        config=Config(user_agent_extra="mine"),
    )
    config = llm.client.meta.config
    assert (config.read_timeout, config.max_pool_connections) == (5, 7)
    assert config.retries["total_max_attempts"] == 1
    assert config.region_name == "eu-west-1"
    assert config.user_agent_extra.startswith("mine")


def test_leaving_a_stream_ends_the_servers_work(runtime: LocalRuntime, seconds_to_stop: float) -> None:
    for chunk in falcon(max_new_tokens=1500).stream("Once upon a time"):
        assert chunk
        break
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)


def test_a_stop_string_ends_the_servers_work(runtime: LocalRuntime, seconds_to_stop: float) -> None:
    # The fifth stop string is not sent, since TGI accepts four: sagechain has to end the work.
    llm = falcon(max_new_tokens=1500, stop=["#1", "#2", "#3", "#4", " "])
    assert "".join(llm.stream("Once upon a time")) == ","
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)


def test_a_cancelled_stream_ends_the_servers_work(runtime: LocalRuntime, seconds_to_stop: float) -> None:
    async def leave() -> None:
        started = asyncio.Event()

        async def read() -> None:
            async for _ in falcon(max_new_tokens=1500).astream("Once upon a time"):
                started.set()

        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)


@pytest.mark.parametrize(
    ("uri", "prompt"),
    [(LLAMA_URI, "Write a long story about a king and his three daughters."), (FALCON_URI, "Once upon a time")],
)
def test_a_cancel_before_the_first_byte_ends_the_servers_work(
    runtime: LocalRuntime, seconds_to_stop: float, uri: str, prompt: str
) -> None:
    async def leave() -> None:
        llm = load_llm(uri, max_new_tokens=1500, accept_eula=True)
        task = asyncio.create_task(llm.ainvoke(prompt))
        while not runtime.generating:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)


def test_a_failure_in_a_batch_ends_the_servers_work_for_the_others(
    runtime: LocalRuntime, seconds_to_stop: float
) -> None:
    with pytest.raises(errors.RequestRejected):
        falcon(max_new_tokens=1500).generate(["Once upon a time", "hello " * 3000])
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)


def test_max_length_is_counted_with_the_given_tokenizer(runtime: LocalRuntime, llm: LlamaCppLLM) -> None:
    counting, before = falcon(max_new_tokens=None), len(runtime.requests)
    counting.custom_get_token_ids = llm.get_token_ids
    prompt_tokens = len(llm.get_token_ids(PROMPT))
    assert counting.invoke(PROMPT, max_length=prompt_tokens + 2) == " The capital"
    assert bodies(runtime, before)[0]["parameters"]["max_new_tokens"] == 2
    with pytest.raises(ValueError, match="5 too many for an answer within max_length"):
        counting.invoke(PROMPT, max_length=prompt_tokens - 4)
    with pytest.raises(ValueError, match="give max_new_tokens, or custom_get_token_ids"):
        falcon().invoke(PROMPT, max_length=100)
    assert len(runtime.requests) == before + 1


def test_at_most_max_concurrency_generations_are_in_flight(runtime: LocalRuntime) -> None:
    llm = SageMakerLLM(endpoint_name=FALCON, family="falcon", max_new_tokens=30, max_concurrency=2)
    most = 0

    async def watched() -> None:
        nonlocal most
        calls = asyncio.create_task(llm.abatch([PROMPT] * 8))
        while not calls.done():
            most = max(most, runtime.generating)
            await asyncio.sleep(0.002)
        assert len(await calls) == 8

    asyncio.run(watched())
    assert most == 2


def test_callbacks_see_each_token(runtime: LocalRuntime) -> None:
    class Tokens(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.seen.append(token)

    handler = Tokens()
    text = "".join(falcon().stream(PROMPT, config={"callbacks": [handler]}))
    assert "".join(handler.seen) == text


def test_the_missing_eula_is_an_error_that_advises_how_to_accept_it(runtime: LocalRuntime) -> None:
    with pytest.raises(errors.EulaNotAccepted, match="accept_eula=True") as caught:
        load_llm(LLAMA_URI).invoke("Hi")
    assert (caught.value.endpoint, caught.value.retryable) == (LLAMA, False)
    assert type(caught.value.__cause__).__name__ == "ModelError"


def test_an_unknown_endpoint_is_an_error(runtime: LocalRuntime) -> None:
    llm = load_llm("sagemaker:nowhere?family=falcon")
    with pytest.raises(errors.EndpointNotFound, match="Endpoint nowhere of account 000000000000 not found"):
        llm.invoke("Hi")
    with pytest.raises(errors.EndpointNotFound):
        list(llm.stream("Hi"))


def test_a_refusal_of_the_container_is_an_error_with_its_reason(runtime: LocalRuntime) -> None:
    with pytest.raises(
        errors.RequestRejected, match=r"must be <= 2048\. Given: 3001 `inputs` tokens and 8 `max_new_tokens`"
    ):
        falcon().invoke("hello " * 3000)


def test_a_refused_connection_is_an_error_after_the_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", "http://127.0.0.1:9")
    with pytest.raises(errors.ConnectionFailed, match="Check the network"):
        falcon(max_retries=1).invoke("Hi")


def test_missing_credentials_are_an_error(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(errors.AccessDenied, match="aws sts get-caller-identity"):
        falcon().invoke("Hi")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"endpoint_name": ""}, "endpoint_name: '' is not a name"),
        ({"family": "falcn"}, "Did you mean 'falcon'"),
        ({"family": "messages", "wire": "tgi"}, "the tgi wire accepts text only"),
        ({"wire": "tgl"}, "Did you mean 'tgi'"),
        ({"temprature": 1}, "Did you mean 'temperature'"),
        ({"model_kwargs": {"temprature": 1}}, "Did you mean 'temperature'"),
        ({"num_beams": 2}, "the tgi wire does not carry it"),
        ({"timeout": 0}, "timeout"),
        ({"content_handler": object()}, "content_handler: SageMakerLLM uses wires"),
    ],
)
def test_bad_input_is_a_value_error_before_any_request(
    runtime: LocalRuntime, arguments: dict[str, Any], message: str
) -> None:
    before = len(runtime.requests)
    with pytest.raises(ValueError, match=message):
        SageMakerLLM(**{"endpoint_name": FALCON, "family": "falcon", **arguments})
    assert len(runtime.requests) == before


@pytest.mark.parametrize(
    ("prompt", "changes", "message"),
    [
        ("", {}, "prompt: it is empty"),
        ("Hi", {"temperature": -1.0}, "temperature"),
        ("Hi", {"temprature": 1.0}, "Did you mean 'temperature'"),
        ("Hi", {"num_beams": 2}, "does not carry it"),
    ],
)
def test_bad_input_to_a_method_is_a_value_error_before_any_request(
    runtime: LocalRuntime, prompt: str, changes: dict[str, Any], message: str
) -> None:
    llm, before = falcon(), len(runtime.requests)
    with pytest.raises(ValueError, match=message):
        llm.invoke(prompt, **changes)
    with pytest.raises(ValueError, match=message):
        list(llm.stream(prompt, **changes))
    with pytest.raises(ValueError, match=message):
        asyncio.run(llm.abatch(["fine", prompt], **changes))
    assert [request.body for request in runtime.requests[before:] if b"fine" not in request.body] == []


def test_no_region_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ValueError, match="region_name: not set"):
        falcon()


def test_an_unsupported_parameter_may_be_dropped_with_a_warning(runtime: LocalRuntime) -> None:
    with pytest.warns(UserWarning, match="num_beams dropped"):
        llm = SageMakerLLM(endpoint_name=FALCON, family="falcon", num_beams=2, on_unsupported="warn")
    with pytest.warns(UserWarning, match="num_beams dropped"):
        llm.invoke(PROMPT, max_new_tokens=1)


def test_langchains_cache_distinguishes_parameters(runtime: LocalRuntime) -> None:
    set_llm_cache(InMemoryCache())
    try:
        before = len(runtime.requests)
        for limit in (1, 2, 1):
            falcon(max_new_tokens=limit).invoke(PROMPT)
        assert len(runtime.requests) == before + 2
    finally:
        set_llm_cache(None)


def test_parameters_are_configurable(runtime: LocalRuntime) -> None:
    llm = falcon().configurable_fields(max_new_tokens=ConfigurableField(id="limit"))
    assert llm.with_config(configurable={"limit": 2}).invoke(PROMPT) == " The capital"


def test_keys_are_never_shown(runtime: LocalRuntime) -> None:
    llm = SageMakerLLM(
        endpoint_name=FALCON, family="falcon", aws_access_key_id="AKIDX", aws_secret_access_key="very-secret"
    )
    assert "very-secret" not in f"{llm!r} {llm.asdict()} {llm._identifying_params}"
    with pytest.raises(ValueError, match="temperature") as caught:
        SageMakerLLM(
            endpoint_name=FALCON,
            family="falcon",
            temperature=-1.0,
            aws_secret_access_key="very-secret",
            top_k="x",  # type: ignore[arg-type]
        )
    assert "very-secret" not in str(caught.value)
    assert boto3.Session().get_credentials().access_key == "AKIDMADEUP"
