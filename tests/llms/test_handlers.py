"""The content handlers, alone and inside langchain-aws's own SagemakerEndpoint."""

import io
import json
from typing import Any

import pytest
from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler, SagemakerEndpoint
from sagechain.llms import FalconContentHandler, Llama2ContentHandler

from tests.conftest import FALCON, LLAMA


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
    assert len(llm.invoke("User: What is the capital of France?\nAssistant:").split()) >= 2
