"""Recorded exchanges, replayed without a network.

They were recorded against the local runtime with the real small model (`make cassettes`; see cassettes/README.md), so
they prove which requests sagechain sends, and how it reads an answer of that form. `make cassettes REAL=1` records them
against AWS.
"""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
import vcr as vcrpy
import yaml
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from sagechain.chains import chain_of_thought, conversation, reset
from sagechain.llms import errors, load_chat_model, load_llm
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import load_prompt

from tests.agents import test_agent_cassettes
from tests.conftest import FALCON, FALCON_URI, LLAMA_URI
from tests.recording import (
    CASSETTES,
    HOST,
    MATCHED,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    SECRETS,
    bodies,
    recorded_request,
    recorded_response,
    uri_of,
)


@pytest.fixture(scope="module")
def vcr_cassette_dir() -> str:
    """All in one folder."""
    return str(CASSETTES)


@pytest.mark.vcr
def test_llama2_conversation(replayed: Any, request: pytest.FixtureRequest) -> None:
    chat = load_chat_model(uri_of(request, LLAMA_URI), accept_eula=True, max_new_tokens=60)
    graph = conversation(chat, system=load_prompt("chatbot").format())
    thread: RunnableConfig = {"configurable": {"thread_id": "ada"}}

    def say(text: str) -> str:
        answer: str = graph.invoke({"messages": [HumanMessage(text)]}, thread)["messages"][-1].text
        return answer

    first, second = say("Hello! My name is Ada."), say("I live in Paris.")
    assert "Ada" in say("What is my name?")
    reset(graph, "ada")
    assert "Ada" not in say("What is my name?")
    system = {"role": "system", "content": "You are a helpful assistant. You remember what the user says."}
    turns = [
        {"role": "user", "content": "Hello! My name is Ada."},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "I live in Paris."},
        {"role": "assistant", "content": second},
        {"role": "user", "content": "What is my name?"},
    ]
    dialogs = [turns[:1], turns[:3], turns, turns[4:]]
    expected = [{"inputs": [[system, *dialog]], "parameters": {"max_new_tokens": 60}} for dialog in dialogs]
    assert bodies(replayed) == expected
    attributes = {each.headers["X-Amzn-SageMaker-Custom-Attributes"] for each in replayed.requests}
    assert attributes == {"accept_eula=true"}


@pytest.mark.vcr
def test_falcon_stream(replayed: Any, request: pytest.FixtureRequest) -> None:
    llm = load_llm(uri_of(request, FALCON_URI), max_new_tokens=12, stop=["\nUser:"])
    pieces = list(llm.stream("User: What is the capital of France?\nAssistant:"))
    assert len(pieces) > 5
    assert "Paris" in "".join(pieces)
    assert bodies(replayed) == [
        {
            "inputs": "User: What is the capital of France?\nAssistant:",
            "parameters": {"max_new_tokens": 12, "stop": ["\nUser:"], "do_sample": False, "details": True},
            "stream": True,
        }
    ]


@pytest.mark.vcr
def test_falcon_chain_of_thought(replayed: Any, request: pytest.FixtureRequest) -> None:
    question = "A pen costs 3 dollars. Max buys 5 pens. How many dollars does he pay?"
    chain = chain_of_thought(load_llm(uri_of(request, FALCON_URI)), strategy="few-shot-cot")
    reasoning = chain.invoke({"question": question})
    assert reasoning.answer == "15"
    assert [body["inputs"] for body in bodies(replayed)] == reasoning.prompts


@pytest.mark.vcr
def test_llama2_missing_eula(replayed: Any, request: pytest.FixtureRequest) -> None:
    with pytest.raises(errors.EulaNotAccepted):
        load_llm(uri_of(request, LLAMA_URI)).invoke("Hi")


# The cassettes themselves


def recorded() -> list[Path]:
    return sorted(CASSETTES.rglob("*.yaml"))


def replaying(module: dict[str, Any]) -> set[str]:
    """The tests of a module that replay a cassette."""
    return {name for name, value in module.items() if any(m.name == "vcr" for m in getattr(value, "pytestmark", []))}


def test_no_cassette_is_an_orphan_and_no_test_lacks_one() -> None:
    here, of_agents = replaying(globals()), replaying(vars(test_agent_cassettes))
    assert {str(path.relative_to(CASSETTES)) for path in recorded()} == {
        *(f"{name}.yaml" for name in here),
        *(f"agents/{name}.yaml" for name in of_agents),
    }
    assert (len(here), len(of_agents)) == (4, 4)


def test_no_secret_is_in_a_cassette() -> None:
    for path in recorded():
        for exchange in yaml.load(path.read_text(), Loader=yaml.Loader)["interactions"]:
            body = exchange["response"]["body"]["string"]
            text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
            assert (
                SECRETS.search(json.dumps([exchange["request"], text, str(exchange["response"])], default=str)) is None
            )


def test_no_cassette_has_a_header_beyond_the_short_list() -> None:
    for path in recorded():
        for exchange in yaml.load(path.read_text(), Loader=yaml.Loader)["interactions"]:
            assert {name.lower() for name in exchange["request"]["headers"]} <= REQUEST_HEADERS
            assert {name.lower() for name in exchange["response"]["headers"]} <= RESPONSE_HEADERS
            assert exchange["request"]["uri"].startswith(f"https://{HOST}/endpoints/")


def test_the_patterns_recognise_secrets() -> None:
    for secret in ("AKIDMADEUP", "AKIAIOSFODNN7EXAMPLE", "Signature=0a", "account 123456789012", "made-up-secret"):
        assert SECRETS.search(secret) is not None
    assert SECRETS.search("account 000000000000") is None


def test_a_request_that_was_not_recorded_is_refused(runtime: LocalRuntime, tmp_path: Path) -> None:
    with (
        vcrpy.VCR(before_record_request=recorded_request, match_on=MATCHED, record_mode="none").use_cassette(
            str(tmp_path / "empty.yaml")
        ),
        pytest.raises(errors.ConnectionFailed, match="No match for the request"),
    ):
        load_llm(FALCON_URI, max_retries=0).invoke("Hi")


def test_requests_of_every_thread_are_replayed(runtime: LocalRuntime, tmp_path: Path) -> None:
    recorder = vcrpy.VCR(
        before_record_request=recorded_request, before_record_response=recorded_response, match_on=MATCHED
    )
    path = str(tmp_path / "one.yaml")
    body = json.dumps({"inputs": "Hi", "parameters": {"max_new_tokens": 1}}).encode()

    def invoke() -> bytes:
        client = boto3.Session().client("sagemaker-runtime")
        answer: bytes = client.invoke_endpoint(EndpointName=FALCON, ContentType="application/json", Body=body)[
            "Body"
        ].read()
        return answer

    with recorder.use_cassette(path):
        first = invoke()
    before = len(runtime.requests)
    lock = threading.Lock()

    def invoke_twenty_times() -> list[bytes]:
        with lock:
            client = boto3.Session().client("sagemaker-runtime")
        return [
            client.invoke_endpoint(EndpointName=FALCON, ContentType="application/json", Body=body)["Body"].read()
            for _ in range(20)
        ]

    with (
        recorder.use_cassette(path, record_mode="none", allow_playback_repeats=True) as cassette,
        ThreadPoolExecutor(8) as threads,
    ):
        answers = [
            answer for each in [threads.submit(invoke_twenty_times) for _ in range(8)] for answer in each.result()
        ]
    assert answers == [first] * 160
    assert cassette.play_count == 160
    assert len(runtime.requests) == before
