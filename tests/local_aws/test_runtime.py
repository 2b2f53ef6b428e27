"""The local runtime, used by a stock boto3 client as AWS is, and by plain HTTP as a container is."""

import json
from http.client import HTTPConnection
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from sagechain.llms import LlamaCppLLM
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON
from tests.local_aws.invocations import ANSWER, DIALOG, PROMPT, events, invoke, stream
from tests.waiting import wait_until


@pytest.mark.parametrize("request_by", [invoke, stream])
def test_a_signature_fault_quotes_the_request_with_its_session_token(
    llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch, request_by: Any
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "made-up-session-token")
    models = {"e": {"model": "local:smollm2", "wire": "tgi", "fault": "bad-signature-echo"}}
    with LocalRuntime(models) as runtime, pytest.raises(ClientError) as caught:
        request_by(boto3.Session().client("sagemaker-runtime", endpoint_url=runtime.url), "e", {})
    response = caught.value.response
    assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (
        "InvalidSignatureException",
        403,
    )
    assert "x-amz-security-token:made-up-session-token\n" in response["Error"]["Message"]


@pytest.mark.parametrize("request_by", [invoke, stream])
def test_an_unknown_endpoint_is_a_validation_error(client: Any, request_by: Any) -> None:
    with pytest.raises(ClientError) as caught:
        request_by(client, "nowhere", {})
    response = caught.value.response
    assert response["Error"] == {
        "Code": "ValidationError",
        "Message": "Endpoint nowhere of account 000000000000 not found.",
    }
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_replies_carry_the_runtimes_headers(client: Any) -> None:
    body = json.dumps({"inputs": PROMPT, "parameters": {"max_new_tokens": 1}, "stream": True}).encode()
    reply = client.invoke_endpoint_with_response_stream(EndpointName=FALCON, Body=body)
    assert (reply["ContentType"], reply["InvokedProductionVariant"]) == ("text/event-stream", "AllTraffic")
    list(reply["Body"])


def test_concurrent_requests_share_the_engines_slots(
    client: Any, runtime: LocalRuntime, seconds_to_stop: float
) -> None:
    body = json.dumps({"inputs": "Once upon a time", "parameters": {"max_new_tokens": 1500}, "stream": True})
    streams = [client.invoke_endpoint_with_response_stream(EndpointName=FALCON, Body=body)["Body"] for _ in range(4)]
    for events_of_one in streams:
        assert next(iter(events_of_one))
    assert runtime.generating == 4
    for events_of_one in streams:
        events_of_one.close()
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)


@pytest.mark.parametrize(
    "path", [f"/endpoints/{FALCON}/invocations", f"/endpoints/{FALCON}/invocations-response-stream"]
)
def test_a_client_that_disconnects_ends_the_generation(
    runtime: LocalRuntime, seconds_to_stop: float, path: str
) -> None:
    connection = HTTPConnection(runtime.url.removeprefix("http://"))
    body = {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 1500}, "stream": path.endswith("stream")}
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    wait_until(lambda: runtime.generating == 1, 30)
    connection.close()
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)


def plain(runtime: LocalRuntime, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, str, bytes]:
    connection = HTTPConnection(runtime.url.removeprefix("http://"))
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return response.status, response.headers["Content-Type"], data


def test_the_container_contract_is_served_without_aws_around_it(runtime: LocalRuntime) -> None:
    assert plain(runtime, "GET", "/ping")[0] == 200
    body = {"inputs": PROMPT, "parameters": {"max_new_tokens": 7}}
    whole = plain(runtime, "POST", f"/invocations?endpoint={FALCON}", body)
    assert (whole[0], json.loads(whole[2])) == (200, [{"generated_text": ANSWER}])
    streamed = plain(runtime, "POST", f"/invocations?endpoint={FALCON}", {**body, "stream": True})
    assert streamed[1].startswith("text/event-stream")
    assert events(streamed[2])[-1]["generated_text"] == ANSWER
    refused = plain(runtime, "POST", "/invocations", {"inputs": DIALOG})
    assert (refused[0], json.loads(refused[2])["code"]) == (424, 424)
    assert plain(runtime, "POST", "/invocations?endpoint=nowhere", body)[0] == 404


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"x": {"family": "falcon"}}, "endpoint 'x': it has no model"),
        ({"x": {"model": "local:smollm2", "family": "falcn"}}, "Did you mean 'falcon'"),
        ({"x": {"model": "local:smollm2", "wire": "tgl"}}, "Did you mean 'tgi'"),
        ({"x": {"model": "local:smollm2"}}, "no wire is given"),
        ({"x": {"model": "local:smollm2", "famly": "falcon"}}, "Did you mean 'family'"),
        ({"x": {"model": "local:/no/file", "family": "falcon"}}, "does not exist"),
        ({"x": {"model": "local:smollm2", "family": "falcon", "fault": "throtled"}}, "Did you mean 'throttled'"),
        ({"x": {"model": "local:smollm2", "family": "falcon", "fault": "hang", "times": -1}}, "times"),
        ({"x": {"model": "local:smollm2", "family": "falcon", "times": 1}}, "times is given, but no fault"),
        ({"x": {"model": "local:smollm2", "upstream": "http://localhost:1"}}, "give one of them"),
        ({"x": {"upstream": "localhost:1"}}, "is not an http:// or https:// address"),
    ],
)
def test_bad_settings_are_value_errors(models: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalRuntime(models)


def test_a_port_in_use_is_an_error_and_a_stopped_runtime_releases_its_port(llm: LlamaCppLLM) -> None:
    with LocalRuntime() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"), LocalRuntime(port=port):
            pass
    with LocalRuntime(port=port) as second:
        assert plain(second, "GET", "/ping")[0] == 200


def test_a_body_over_awss_limit_is_refused(client: Any) -> None:
    with pytest.raises(ClientError, match="more than 6291456"):
        invoke(client, FALCON, b"x" * 6_291_457)


def test_any_container_can_be_served_in_the_runtimes_framing(runtime: LocalRuntime) -> None:
    with LocalRuntime({"mine": {"upstream": runtime.url, "wire": "tgi"}}) as front:
        client = boto3.client("sagemaker-runtime", endpoint_url=front.url)
        # The other runtime's `/invocations` answers for its first endpoint, which speaks dialogs.
        body = {"inputs": DIALOG, "parameters": {"max_new_tokens": 5}}
        [answer] = invoke(client, "mine", body, CustomAttributes="accept_eula=true")
        assert answer["generation"]["role"] == "assistant"
        assert json.loads(stream(client, "mine", body, CustomAttributes="accept_eula=true")) == [answer]
        with pytest.raises(ClientError) as caught:
            invoke(client, "mine", body)
        assert caught.value.response["OriginalStatusCode"] == 424


def test_an_upstream_that_cannot_be_reached_is_a_model_error() -> None:
    with LocalRuntime({"mine": {"upstream": "http://127.0.0.1:9"}}) as front:
        with pytest.raises(ClientError) as caught:
            invoke(boto3.client("sagemaker-runtime", endpoint_url=front.url), "mine", {"inputs": "Hi"})
        assert caught.value.response["OriginalStatusCode"] == 502
