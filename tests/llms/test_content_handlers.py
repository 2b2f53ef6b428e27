"""The content handlers, alone and inside langchain-aws's own SagemakerEndpoint."""

import io
import json
from typing import Any

import boto3
import pytest
from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler, SagemakerEndpoint
from sagechain.llms import FalconContentHandler, Llama2ContentHandler, LlamaCppLLM
from sagechain.llms.sagemaker.content_handlers import WireContentHandler
from sagechain.llms.wires import get_wire, list_wires
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON, LLAMA

STREAMING = [wire for wire in list_wires() if get_wire(wire).streams]
PROMPT = "User: What is the capital of France?\nAssistant:"


def test_llama2_sends_a_dialog_and_reads_the_generation() -> None:
    handler = Llama2ContentHandler()
    sent = json.loads(handler.transform_input("Hi", {"max_new_tokens": 5, "temperature": 0.5}))
    assert sent == {
        "inputs": [[{"role": "user", "content": "Hi"}]],
        "parameters": {"max_new_tokens": 5, "temperature": 0.5},
    }
    reply = b'[{"generation": {"role": "assistant", "content": "Hello."}}]'
    assert handler.transform_output(io.BytesIO(reply)) == "Hello."
    assert handler.transform_output(reply) == "Hello."


def test_falcon_sends_text_and_reads_whole_replies_and_streamed_lines() -> None:
    handler = FalconContentHandler()
    sent = json.loads(handler.transform_input("Hi", {"stop": ["x"], "stream": True}))
    assert sent == {
        "inputs": "Hi",
        "parameters": {"stop": ["x"], "do_sample": False, "details": True},
        "stream": True,
    }
    assert handler.transform_output(io.BytesIO(b'[{"generated_text": "Hello."}]')) == "Hello."
    assert handler.transform_output(b'data:{"token": {"text": " Hel"}, "generated_text": null}') == " Hel"
    assert handler.transform_output(b"") == ""


END = {"token": {"text": " there"}, "generated_text": "Hi there", "details": {"finish_reason": "length"}}


@pytest.mark.parametrize(
    ("wire", "line", "text"),
    [
        ("lmi", b'{"token": {"id": 1, "text": " Hel"}}', " Hel"),
        ("lmi", json.dumps(END).encode(), " there"),
        ("lmi", b'{"token": {"id": 2, "text": "</s>", "special_token": true}}', ""),
        ("lmi", b'{"generated_text": "Hi there"}', "Hi there"),
        ("lmi", b'[{"generated_text": "Hi there"}]', "Hi there"),
        ("tgi", b'data:{"token": {"text": " Hel"}, "generated_text": null}\r', " Hel"),
        ("tgi", b"data:" + json.dumps(END).encode(), " there"),
        ("tgi", b'[{"generated_text": "Hi there"}]', "Hi there"),
        ("messages", b'data: {"choices": [{"index": 0, "delta": {"content": " Hel"}}]}', " Hel"),
        ("messages", b'data: {"choices": [{"delta": {"role": "assistant"}}]}', ""),
        ("messages", b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}', ""),
        ("messages", b'data: {"choices": [], "usage": {"prompt_tokens": 3}}', ""),
        ("messages", b"data: [DONE]", ""),
        ("messages", b'{"choices": [{"message": {"content": "Hi there"}}]}', "Hi there"),
        *((wire, line, "") for wire in STREAMING for line in (b"", b"\r", b"\n", b": keep-alive")),
    ],
)
def test_each_line_of_a_stream_gives_its_own_text(wire: str, line: bytes, text: str) -> None:
    assert WireContentHandler(wire).transform_output(line) == text


@pytest.mark.parametrize(
    ("wire", "line", "words"),
    [
        ("lmi", b'{"token": {"text": "", "error_msg": "no room"}, "details": {"finish_reason": "error"}}', "no room"),
        ("lmi", b'{"error": "no room", "code": 424}', "no room"),
        ("tgi", b'data:{"error": "no room", "error_type": "generation"}', "no room"),
        ("tgi", b'{"error": "no room", "error_type": "generation"}', "no room"),
        ("messages", b'data: {"error": {"message": "no room", "code": 500}}', "no room"),
        ("messages", b'data: {"choices": [{"delta": {}, "finish_reason": "abort"}]}', "abort"),
        ("messages", b"data: {broken", "not JSON"),
        ("tgi", b"%$ garbage", "not a field of an event"),
        ("lmi", b"%$ garbage", "not JSON"),
    ],
)
def test_a_line_with_an_error_is_a_value_error(wire: str, line: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WireContentHandler(wire).transform_output(line)


@pytest.mark.parametrize("wire", STREAMING)
def test_langchain_awss_own_endpoint_streams_over_every_wire(
    wire: str, llm: LlamaCppLLM, made_up_credentials: None
) -> None:
    with LocalRuntime({"e": {"model": "local:smollm2", "wire": wire}}) as runtime:
        endpoint = SagemakerEndpoint(
            endpoint_name="e",
            client=boto3.client("sagemaker-runtime", endpoint_url=runtime.url),
            content_handler=WireContentHandler(wire),
            model_kwargs={"max_new_tokens": 8, "stream": True},
        )
        chunks = list(endpoint.stream(PROMPT))
        whole = endpoint.invoke(PROMPT, stream=False)
    assert len(chunks) > 2
    assert "".join(chunks) == whole


@pytest.mark.parametrize("handler", [Llama2ContentHandler(), FalconContentHandler()])
def test_bad_input_and_bad_replies_are_value_errors(handler: LLMContentHandler) -> None:
    with pytest.raises(ValueError, match="prompt: it is empty"):
        handler.transform_input("", {})
    with pytest.raises(ValueError, match="temprature"):
        handler.transform_input("Hi", {"temprature": 1})
    with pytest.raises(ValueError, match="the reply is not JSON"):
        handler.transform_output(io.BytesIO(b"<html>"))  # type: ignore[arg-type]


def test_a_handler_for_an_unknown_wire_is_refused() -> None:
    with pytest.raises(ValueError, match="wire: 'soap' is unknown"):
        Llama2ContentHandler(wire="soap")


@pytest.mark.parametrize(
    ("endpoint", "handler", "options"),
    [
        (FALCON, FalconContentHandler(), {}),
        (LLAMA, Llama2ContentHandler(), {"CustomAttributes": "accept_eula=true"}),
    ],
)
def test_they_serve_langchain_awss_own_endpoint(
    client: Any, endpoint: str, handler: LLMContentHandler, options: dict[str, str]
) -> None:
    llm = SagemakerEndpoint(
        endpoint_name=endpoint,
        client=client,
        content_handler=handler,
        model_kwargs={"max_new_tokens": 8},
        endpoint_kwargs=options,
    )
    assert len(llm.invoke(PROMPT).split()) >= 2
