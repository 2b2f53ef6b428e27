"""The containers of the local runtime, one a wire: what each accepts, answers and refuses."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from sagechain.llms import LlamaCppLLM
from sagechain.llms.wires import list_wires
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON, LLAMA
from tests.local_aws.invocations import ANSWER, DIALOG, PROMPT, events, invoke, stream


def test_tgi_answers_with_the_text_and_on_request_with_details(client: Any) -> None:
    parameters = {"max_new_tokens": 7}
    assert invoke(client, FALCON, {"inputs": PROMPT, "parameters": parameters}) == [{"generated_text": ANSWER}]
    detailed = {"inputs": PROMPT, "parameters": {**parameters, "details": True}}
    details = {"finish_reason": "length", "generated_tokens": 7, "seed": None}
    assert invoke(client, FALCON, detailed) == [{"generated_text": ANSWER, "details": details}]


def test_tgi_streams_an_event_a_token_and_ends_with_the_whole_text(client: Any) -> None:
    got = events(stream(client, FALCON, {"inputs": PROMPT, "parameters": {"max_new_tokens": 7}, "stream": True}))
    assert "".join(event["token"]["text"] for event in got) == ANSWER
    assert [event["index"] for event in got] == [1, 2, 3, 4, 5, 6, 7]
    assert [event["generated_text"] for event in got] == [None] * 6 + [ANSWER]
    assert got[-1]["details"]["finish_reason"] == "length"


def test_tgi_without_stream_in_the_body_streams_the_whole_reply(client: Any) -> None:
    raw = stream(client, FALCON, {"inputs": PROMPT, "parameters": {"max_new_tokens": 7}})
    assert json.loads(raw) == [{"generated_text": ANSWER}]


def test_tgi_ends_at_a_stop_string_and_includes_it_in_the_text(client: Any) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 50, "stop": [" France"], "details": True}}
    [answer] = invoke(client, FALCON, body)
    assert answer["generated_text"] == " The capital of France"
    assert answer["details"]["finish_reason"] == "stop_sequence"
    got = events(stream(client, FALCON, {**body, "stream": True}))
    assert got[-1]["generated_text"] == " The capital of France"


def test_tgi_ends_with_a_special_token_unless_truncated(client: Any) -> None:
    prompt = "<|im_start|>user\nSay hi<|im_end|>\n<|im_start|>assistant\n"
    got = events(stream(client, FALCON, {"inputs": prompt, "parameters": {"max_new_tokens": 200}, "stream": True}))
    assert (got[-1]["token"]["special"], got[-1]["details"]["finish_reason"]) == (True, "eos_token")
    assert got[-1]["generated_text"] == "".join(event["token"]["text"] for event in got[:-1])


def test_tgi_puts_the_prompt_before_the_text_on_request(client: Any) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 7, "return_full_text": True}}
    assert invoke(client, FALCON, body) == [{"generated_text": PROMPT + ANSWER}]


def test_dialog_answers_once_the_eula_is_accepted(client: Any) -> None:
    body = {"inputs": DIALOG, "parameters": {"max_new_tokens": 30}}
    [answer] = invoke(client, LLAMA, body, CustomAttributes="accept_eula=true")
    assert list(answer) == ["generation"]
    assert answer["generation"]["role"] == "assistant"
    assert answer["generation"]["content"]
    whole = stream(client, LLAMA, body, CustomAttributes="accept_eula=true")
    assert json.loads(whole) == [answer]


def test_dialog_answers_several_dialogs_in_one_request(client: Any) -> None:
    body = {"inputs": DIALOG * 2, "parameters": {"max_new_tokens": 5}}
    first, second = invoke(client, LLAMA, body, CustomAttributes="accept_eula=true")
    assert first == second


@pytest.mark.parametrize("request_by", [invoke, stream])
@pytest.mark.parametrize(
    ("endpoint", "body", "attributes", "status", "words"),
    [
        (LLAMA, {"inputs": DIALOG}, "", 424, "accept_eula=true"),
        (LLAMA, {"inputs": DIALOG}, "accept_eula=false", 424, "accept_eula=true"),
        (LLAMA, {"inputs": DIALOG}, "not_accept_eula=true", 424, "accept_eula=true"),
        (LLAMA, b"[" * 200_000, "accept_eula=true", 400, "not JSON"),
        (FALCON, b"[" * 200_000, "", 400, "Failed to parse"),
        (LLAMA, b"{broken", "accept_eula=true", 400, "not JSON"),
        (LLAMA, {"inputs": "Hi"}, "accept_eula=true", 400, "inputs"),
        (LLAMA, {"inputs": [[{"role": "assistant", "content": "x"}]]}, "accept_eula=true", 400, "ends with 'user'"),
        (FALCON, b"{broken", "", 400, "Failed to parse the request body as JSON"),
        (FALCON, b"\xff", "", 400, "Failed to parse"),
        (FALCON, {"inputs": ""}, "", 422, "inputs"),
        (FALCON, {"inputs": 3}, "", 422, "inputs"),
        (FALCON, {"inputs": "Hi", "parameters": {"temperature": 0}}, "", 422, "temperature"),
        (FALCON, {"inputs": "Hi", "parameters": {"top_p": 1.0}}, "", 422, "top_p"),
        (FALCON, {"inputs": "Hi", "parameters": {"stop": list("abcde")}}, "", 422, "stop"),
        (FALCON, {"inputs": "hello " * 3000}, "", 422, "Given: 3001 `inputs` tokens and 100 `max_new_tokens`"),
    ],
)
def test_an_error_of_a_container_is_a_model_error(
    client: Any, request_by: Any, endpoint: str, body: Any, attributes: str, status: int, words: str
) -> None:
    options = {"CustomAttributes": attributes} if attributes else {}
    with pytest.raises(ClientError) as caught:
        request_by(client, endpoint, body, **options)
    response = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
    assert response["OriginalStatusCode"] == status
    assert words in response["OriginalMessage"]
    assert words in response["Error"]["Message"].replace('\\"', '"')
    assert response["LogStreamArn"].startswith("arn:aws:logs:")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"inputs": "Hi", "parameters": {"max_new_tokens": 100_000}}, "must be <= 2048. Given: 1 `inputs` tokens and"),
        ({"inputs": "hello " * 3000}, "Given: 3001 `inputs` tokens and 100 `max_new_tokens`"),
        ({"inputs": "Hi", "parameters": {"top_p": 1.0}}, "top_p"),
        ({"inputs": ""}, "inputs"),
    ],
)
def test_tgi_reports_invalid_requests_inside_a_stream_and_otherwise_with_422(
    client: Any, body: dict[str, Any], words: str
) -> None:
    [event] = events(stream(client, FALCON, {**body, "stream": True}))
    assert event["error_type"] == "validation"
    assert event["error"].startswith("Input validation error: ")
    assert words in event["error"]
    with pytest.raises(ClientError) as caught:
        invoke(client, FALCON, body)
    assert caught.value.response["OriginalStatusCode"] == 422
    assert json.loads(caught.value.response["OriginalMessage"]) == event


@pytest.fixture(scope="module")
def every_wire(llm: LlamaCppLLM) -> Iterator[LocalRuntime]:
    with LocalRuntime({wire: {"model": "local:smollm2", "wire": wire} for wire in list_wires()}) as runtime:
        yield runtime


@pytest.fixture
def any_client(every_wire: LocalRuntime) -> Any:
    return boto3.client("sagemaker-runtime", endpoint_url=every_wire.url)


CHAT = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 5}


def test_lmi_answers_with_an_object_and_streams_json_lines(any_client: Any) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 7, "details": True}}
    details = {"finish_reason": "length", "generated_tokens": 7, "seed": None}
    assert invoke(any_client, "lmi", body) == {"generated_text": ANSWER, "details": details}
    raw = stream(any_client, "lmi", {**body, "stream": True})
    lines = [json.loads(line) for line in raw.splitlines()]
    assert "".join(line["token"]["text"] for line in lines) == ANSWER
    assert ["generated_text" in line for line in lines] == [False] * 6 + [True]
    limited = invoke(any_client, "lmi", {"inputs": "Once upon a time", "parameters": {"details": True}})
    assert limited["details"]["generated_tokens"] == 30


def test_hf_puts_the_prompt_before_the_answer_by_default(any_client: Any) -> None:
    parameters = {"max_new_tokens": 7}
    assert invoke(any_client, "hf", {"inputs": PROMPT, "parameters": parameters}) == [
        {"generated_text": PROMPT + ANSWER}
    ]
    bare = {"inputs": PROMPT, "parameters": {**parameters, "return_full_text": False}}
    assert invoke(any_client, "hf", bare) == [{"generated_text": ANSWER}]


def test_llama2_text_continues_the_prompt(any_client: Any) -> None:
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 7}}
    assert invoke(any_client, "llama2-text", body, CustomAttributes="accept_eula=true") == [{"generation": ANSWER}]


def test_messages_answers_as_openais_chat_completions(any_client: Any) -> None:
    reply = invoke(any_client, "messages", CHAT)
    [choice] = reply["choices"]
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "length")
    assert reply["usage"]["completion_tokens"] == 5
    raw = stream(any_client, "messages", {**CHAT, "stream": True, "stream_options": {"include_usage": True}})
    *lines, done = [line.removeprefix(b"data: ") for line in raw.split(b"\n\n") if line]
    got = [json.loads(line) for line in lines]
    assert done == b"[DONE]"
    text = "".join(c["delta"].get("content", "") for event in got for c in event["choices"])
    assert text == choice["message"]["content"]
    assert got[-1]["usage"] == reply["usage"]


@pytest.mark.parametrize(
    ("wire", "body", "words"),
    [
        ("lmi", {"inputs": ""}, "inputs"),
        ("hf", {"inputs": "Hi", "parameters": {"stop": ["x"]}}, "not used by the model: ['stop']"),
        ("hf", {"inputs": "Hi", "parameters": {"details": True}}, "not used by the model: ['details']"),
        ("hf", {"inputs": "Hi", "parameters": {"do_sample": True, "temperature": 0}}, "strictly positive"),
        ("messages", {"messages": []}, "messages"),
        ("messages", {**CHAT, "temperature": 3}, "temperature"),
        ("messages", b"{broken", "not JSON"),
        ("lmi", {"inputs": "Hi", "parameters": {"max_new_tokens": 2048}}, "context length is 2048 tokens"),
        ("lmi", {"inputs": "hello " * 3000, "stream": True}, "you requested 3031 tokens"),
        ("messages", {**CHAT, "max_tokens": 2048}, "context length is 2048 tokens"),
        ("messages", {"messages": [{"role": "user", "content": "hello " * 3000}]}, "context length is 2048 tokens"),
    ],
)
@pytest.mark.parametrize("request_by", [invoke, stream])
def test_each_container_refuses_what_the_real_server_refuses(
    any_client: Any, request_by: Any, wire: str, body: Any, words: str
) -> None:
    with pytest.raises(ClientError) as caught:
        request_by(any_client, wire, body)
    assert caught.value.response["OriginalStatusCode"] == 400
    assert words in caught.value.response["OriginalMessage"]


def test_a_seed_makes_sampling_repeatable(any_client: Any) -> None:
    body = {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 12, "temperature": 1.0, "seed": 7}}
    assert invoke(any_client, "tgi", body) == invoke(any_client, "tgi", body)
