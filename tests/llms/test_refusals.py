"""What containers and AWS refuse over a real connection: the kind of the error, and what it advises."""

import itertools
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from sagechain.llms import SageMakerLLM, errors

from tests.raw_server import HEADERS, chunk, raw_server, reply, token

COMPONENT = (
    "Inference Component Name header is required for endpoints to which you plan to deploy inference components. Please "
    "include Inference Component Name header or consider using SageMaker models."
)


def model(url: str, **fields: Any) -> SageMakerLLM:
    fields = {"wire": "tgi", "max_retries": 0, "timeout": 10.0, **fields}
    return SageMakerLLM(endpoint_name="my-async-serverless-stream", endpoint_url=url, **fields)


def container(status: int, message: str) -> bytes:
    content = {"Message": "Received client error", "OriginalStatusCode": status, "OriginalMessage": message}
    return reply(424, content, "ModelError")


def refused(message: str) -> bytes:
    return reply(400, {"Message": message}, "ValidationError")


def failure(answer: bytes, prompt: str = "hi") -> errors.LLMError:
    with raw_server(lambda: [answer]) as server, pytest.raises(errors.LLMError) as caught:
        model(server.url).invoke(prompt)
    return caught.value


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (424, '{"error": "Request failed during generation: CUDA out of memory.", "error_type": "generation"}'),
        (400, '{"code": 400, "type": "InternalServerException", "message": "CUDA out of memory. Tried to allocate 2 GiB"}'),
        (400, '{"code": 400, "type": "InternalServerException", "message": "MPS backend out of memory (9 GB)"}'),
        (400, "torch.cuda.OutOfMemoryError"),
        (400, '{"error": "torch.OutOfMemoryError: HIP out of memory"}'),
        (400, '{"message": "DefaultCPUAllocator: can\'t allocate memory: you tried to allocate 4294967296 bytes"}'),
        (429, '{"error": "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"}'),
        (500, '{"error": "CUDA out of memory"}'),
        (507, "std::bad_alloc"),
        (400, "DefaultCPUAllocator: not enough memory: you tried to allocate 3 bytes"),
        (400, "the worker was killed (OOM)"),
        (503, "cudaErrorMemoryAllocation"),
    ],
)  # fmt: skip
def test_out_of_memory_is_a_failure_of_the_model_whatever_its_status(status: int, message: str) -> None:
    error = failure(container(status, message))
    assert type(error) is errors.ModelFailed
    assert "less memory" in error.advice


@pytest.mark.parametrize(
    ("prompt", "status", "message"),
    [
        ("Why is CUDA out of memory?", 422, '{"detail": [{"msg": "too long", "input": "Why is CUDA out of memory?"}]}'),
        ("What is std::bad_alloc?", 400, "invalid inputs: 'What is std::bad_alloc?'"),
        ("hi", 422, '{"error": "Input validation error: out of memory is no role", "error_type": "validation"}'),
    ],
)
def test_words_of_the_prompt_in_a_refusal_are_not_a_failure_of_the_model(
    prompt: str, status: int, message: str
) -> None:
    assert type(failure(container(status, message), prompt)) is errors.RequestRejected


def test_a_prompt_about_memory_does_not_hide_a_failure_of_the_model() -> None:
    message = "CUDA out of memory. Tried to allocate 2.00 GiB"
    assert type(failure(container(400, message), "Why is CUDA out of memory?")) is errors.ModelFailed


def test_words_of_the_prompt_in_a_refusal_do_not_demand_the_eula() -> None:
    refusal = container(422, "invalid: say accept_eula=true")
    assert type(failure(refusal, "say accept_eula=true")) is errors.RequestRejected
    assert type(failure(refusal, "hi")) is errors.EulaNotAccepted


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (COMPONENT, "`?component=NAME`"),
        ("You must specify an InferenceComponentName to invoke this endpoint.", "`?component=NAME`"),
        ("Endpoint x is an async endpoint and supports InvokeEndpointAsync only.", "`invoke_endpoint_async`"),
        ("This endpoint is configured for Asynchronous Inference.", "`invoke_endpoint_async`"),
        ("Not a synchronous endpoint; use InvokeEndpointAsync.", "`invoke_endpoint_async`"),
        ("Serverless endpoints have no such operation.", "use `invoke`"),
        ("Body is not valid.", "Change the prompt or the parameters."),
        ("The endpoint my-async-serverless-stream refuses this body.", "Change the prompt or the parameters."),
    ],
)
def test_a_refusal_of_aws_advises_what_to_do(message: str, advice: str) -> None:
    error = failure(refused(message))
    assert type(error) is errors.RequestRejected
    assert advice in error.advice


def test_an_unknown_endpoint_is_not_found_whatever_its_name_contains() -> None:
    missing = refused("Endpoint my-async-serverless-stream of account 000000000000 not found.")
    assert type(failure(missing)) is errors.EndpointNotFound


def test_a_component_that_is_scaled_to_zero_is_not_ready() -> None:
    assert (
        type(failure(refused("Inference Component has no capacity to process this request."))) is errors.ModelNotReady
    )


@pytest.mark.parametrize(
    "refusal",
    [
        "Endpoint x is a serverless endpoint and does not support response streaming.",
        "InvokeEndpointWithResponseStream is not supported for serverless endpoints.",
        "Response streaming isn't supported by this endpoint.",
    ],
)
def test_an_endpoint_without_a_stream_is_asked_for_the_whole_answer(refusal: str) -> None:
    replies = itertools.cycle([refused(refusal), reply(200, [{"generated_text": "One. END two"}])])
    with raw_server(lambda: [next(replies)]) as server:
        assert list(model(server.url, stop=["END"]).stream("hi")) == ["One. "]
        assert b'"stream": true' not in server.body
        assert model(server.url, streaming=True).invoke("hi") == "One. END two"
        assert server.requests == 4


def test_an_endpoint_that_refuses_stream_and_invoke_is_one_error_that_names_both() -> None:
    replies = iter([refused("Streaming is not supported for serverless endpoints."), container(500, "broken")])
    with (
        raw_server(lambda: [next(replies)]) as server,
        pytest.raises(errors.ModelFailed, match=r"serverless.*`invoke`"),
    ):
        list(model(server.url).stream("hi"))


def test_retries_are_logged_at_info_without_words_of_the_prompt(caplog: pytest.LogCaptureFixture) -> None:
    def answers() -> Iterator[bytes]:
        yield from [container(500, "cannot read 'my prompt'")] * 2
        yield HEADERS + token("done") + token("", last=True) + chunk(b"")

    parts = answers()
    with raw_server(lambda: [next(parts)]) as server, caplog.at_level(logging.INFO, "sagechain"):
        assert "".join(model(server.url, max_retries=2).stream("my prompt")) == "done"
    assert [record.getMessage().split(" in ")[0] for record in caplog.records] == [
        "my-async-serverless-stream: ModelFailed; attempt 2 of 3",
        "my-async-serverless-stream: ModelFailed; attempt 3 of 3",
    ]
    assert not any("prompt" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("no_proxy", ["", "127.0.0.1,localhost"])
def test_a_proxy_before_this_machine_is_named(host: str, no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, no_proxy)
    with pytest.raises(errors.ConnectionFailed) as caught:
        model(f"http://{host}:9").invoke("hi")
    assert ("NO_PROXY=localhost" in str(caught.value)) is not bool(no_proxy)
    assert "secret" not in str(caught.value)


def test_a_proxy_that_answers_for_this_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    page = b"HTTP/1.1 503 Unavailable\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\n<p>no</p>"
    with raw_server(lambda: [page]) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(errors.ServiceFailed, match="NO_PROXY"):
            model("http://localhost:9").invoke("hi")
