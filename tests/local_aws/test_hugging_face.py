"""The `hf` container: what the Hugging Face toolkit accepts, where it stops, and its one form of error."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime

from tests.local_aws.invocations import invoke


@pytest.fixture
def llm() -> ScriptedLLM:
    return ScriptedLLM(["one", "two", "three"], family="chatml")


@pytest.fixture
def hf(llm: ScriptedLLM) -> Iterator[Any]:
    with LocalRuntime({"e": {"model": llm, "wire": "hf"}}) as runtime:
        yield boto3.client("sagemaker-runtime", endpoint_url=runtime.url)


USER = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"inputs": "Hi "}, [{"generated_text": "Hi one"}]),
        ({"inputs": "", "parameters": None}, [{"generated_text": "one"}]),
        ({"inputs": ["a ", "b "]}, [[{"generated_text": "a one"}], [{"generated_text": "b two"}]]),
        ({"inputs": [USER]}, [{"generated_text": [USER, {"role": "assistant", "content": "one"}]}]),
        ({"inputs": [USER], "parameters": {"return_full_text": False}}, [{"generated_text": "one"}]),
        (
            {"inputs": [[USER], [USER]], "parameters": {"return_full_text": False}},
            [[{"generated_text": "one"}], [{"generated_text": "two"}]],
        ),
        ({"inputs": "Hi ", "parameters": {"top_p": 2, "do_sample": True}}, [{"generated_text": "Hi one"}]),
        ({"inputs": "Hi ", "parameters": {"temperature": 0, "do_sample": False}}, [{"generated_text": "Hi one"}]),
        ({"inputs": "Hi ", "options": {"wait_for_model": True}}, [{"generated_text": "Hi one"}]),
    ],
)
def test_it_accepts_what_the_toolkit_accepts(hf: Any, body: dict[str, Any], answer: Any) -> None:
    assert invoke(hf, "e", body) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"{broken",
        b"[]",
        b"{}",
        b"[" * 100_000,
        {"inputs": []},
        {"inputs": 3},
        {"inputs": None},
        {"inputs": [{"role": "user"}]},
        {"inputs": "Hi", "parameters": {"stop": ["x"]}},
        {"inputs": "Hi", "parameters": {"max_new_tokens": 0}},
        {"inputs": "Hi", "parameters": {"do_sample": True, "temperature": 0}},
        {"inputs": "Hi", "parameters": []},
    ],
)
def test_whatever_fails_is_a_400_of_one_type(hf: Any, body: Any) -> None:
    with pytest.raises(ClientError) as caught:
        invoke(hf, "e", body)
    response = caught.value.response
    error = json.loads(response["OriginalMessage"])
    assert (response["OriginalStatusCode"], error["code"], error["type"]) == (400, 400, "InternalServerException")
    assert set(error) == {"code", "type", "message"}


@pytest.mark.parametrize(
    ("parameters", "tokens"),
    [
        ({}, 256),
        ({"max_length": 15}, 256),
        ({"max_new_tokens": 7}, 7),
        ({"max_new_tokens": 7, "max_length": 900}, 7),
        ({"max_new_tokens": None}, 20),
    ],
)
def test_it_stops_where_the_toolkit_stops(parameters: dict[str, Any], tokens: int) -> None:
    llm = ScriptedLLM(["word " * 1000], family="plain")
    with LocalRuntime({"e": {"model": llm, "wire": "hf"}}) as runtime:
        client = boto3.client("sagemaker-runtime", endpoint_url=runtime.url)
        [answer] = invoke(client, "e", {"inputs": "Hi", "parameters": {**parameters, "return_full_text": False}})
    assert len(answer["generated_text"].split()) == tokens


@pytest.mark.parametrize(
    "nulls", [["stream"], ["stream", "stop", "tools", "n", "seed", "max_tokens", "response_format"]]
)
def test_messages_takes_null_for_what_is_optional_and_the_newer_limit(nulls: list[str]) -> None:
    llm = ScriptedLLM(["a b c d e f g h"], family="plain")
    with LocalRuntime({"e": {"model": llm, "wire": "messages"}}) as runtime:
        client = boto3.client("sagemaker-runtime", endpoint_url=runtime.url)
        body = {"messages": [USER], "max_completion_tokens": 3, **dict.fromkeys(nulls)}
        [choice] = invoke(client, "e", body)["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"].split() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("suffix", "path"),
    [
        ("", "/invocations"),
        ("/", "/invocations"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/invocations", "/invocations"),
        ("/predict?model=a", "/predict"),
    ],
)
def test_an_upstreams_path_is_kept(suffix: str, path: str) -> None:
    with LocalRuntime({}) as behind, LocalRuntime({"e": {"upstream": behind.url + suffix}}) as front:
        httpx.post(f"{front.url}/endpoints/e/invocations", content=b"{}")
        assert [request.path for request in behind.requests] == [path]


@pytest.mark.parametrize("url", ["http://", "ftp://x", "x", ""])
def test_an_upstream_is_an_address(url: str) -> None:
    with pytest.raises(ValueError, match="is not an http:// or https:// address"):
        LocalRuntime({"e": {"upstream": url}})
