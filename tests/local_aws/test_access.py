"""Who may use the local runtime: names in `Host`, web pages, content types, and access keys; by plain HTTP and boto3."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime
from sagechain.local_aws.access import host_name, is_loopback

PATHS = {
    "POST /endpoints/e/invocations": b'{"inputs": "Hi"}',
    "POST /endpoints/e/invocations-response-stream": b'{"inputs": "Hi"}',
    "POST /invocations": b'{"inputs": "Hi"}',
    "GET /ping": b"",
    "GET /": b"",
    "PUT /bucket": b"",
    "POST /": b"Action=GetCallerIdentity",
}


@pytest.fixture(scope="module")
def runtime() -> Iterator[LocalRuntime]:
    models = {"e": {"model": ScriptedLLM(["Paris."] * 1000, family="falcon"), "family": "falcon"}}
    with LocalRuntime(models, allowed_hosts=["host.docker.internal", "10.1.2.3"]) as running:
        yield running


def send(runtime: LocalRuntime, request: str, headers: list[tuple[str, str]], body: bytes = b"") -> int:
    """The status of the response to a request with exactly these headers."""
    method, _, path = request.partition(" ")
    address = urlsplit(runtime.url)
    connection = HTTPConnection(address.hostname or "", address.port)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in [*headers, ("Content-Length", str(len(body)))]:
        connection.putheader(name, value)
    connection.endheaders(body)
    status = connection.getresponse().status
    connection.close()
    return status


def headers_for(request: str, host: str = "127.0.0.1:1") -> list[tuple[str, str]]:
    form = [("Content-Type", "application/x-www-form-urlencoded")] if request == "POST /" else []
    return [("Host", host), *form]


@pytest.mark.parametrize("request_line", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1:80",
        "127.8.9.10",
        "[::1]:8080",
        "[::1]",
        "models.localhost:8080",
        "a.b.localhost",
        "host.docker.internal:8080",
        "Host.Docker.Internal",
        "10.1.2.3:8080",
    ],
)
def test_its_own_names_are_accepted(runtime: LocalRuntime, request_line: str, host: str) -> None:
    assert send(runtime, request_line, headers_for(request_line, host), PATHS[request_line]) not in (400, 403)


@pytest.mark.parametrize("request_line", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "localhost.",
        "evil.host.docker.internal",
        "10.1.2.4",
        "0.0.0.0",
        "[::2]",
        "128.0.0.1",
        "2130706433",
        "localhost:80:80",
        "localhost:",
        "localhost:port",
        "user@localhost",
        "localhost/evil",
        "localhost, evil.example",
        "[::1",
        "..localhost",
        ".localhost",
        "a b.localhost",
        "",
        "a" * 400 + ".localhost",
    ],
)
def test_any_other_name_is_refused(runtime: LocalRuntime, request_line: str, host: str) -> None:
    assert send(runtime, request_line, headers_for(request_line, host), PATHS[request_line]) in (400, 403)


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_request_has_exactly_one_host(runtime: LocalRuntime, hosts: list[str], version: str) -> None:
    lines = [f"GET /ping HTTP/{version}", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
    assert raw(runtime, "\r\n".join(lines).encode()).split(b" ")[1] in (b"400", b"403")


def raw(runtime: LocalRuntime, data: bytes) -> bytes:
    """What comes back for some bytes, until the connection ends."""
    address = urlsplit(runtime.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(data)
        received = b""
        while part := connection.recv(65_536):
            received += part
        return received


def test_a_target_with_an_address_is_refused(runtime: LocalRuntime) -> None:
    request = b"GET http://evil.example/ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert raw(runtime, request).split(b" ")[1] == b"403"


@pytest.mark.parametrize("request_line", [*PATHS, "OPTIONS /endpoints/e/invocations"])
@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "http://localhost:3000"),
        ("Origin", "https://127.0.0.1:1"),
        ("Origin", ""),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "anything"),
    ],
)
def test_no_web_page_of_another_origin_can_use_it(
    runtime: LocalRuntime, request_line: str, header: str, value: str
) -> None:
    headers = [*headers_for(request_line), (header, value)]
    assert send(runtime, request_line, headers, PATHS.get(request_line, b"")) == 403


def test_a_second_origin_is_checked_too(runtime: LocalRuntime) -> None:
    headers = [("Host", "localhost:1"), ("Origin", "http://localhost:1"), ("Origin", "https://evil.example")]
    assert send(runtime, "GET /ping", headers) == 403


@pytest.mark.parametrize("extra", [("Origin", "http://localhost:1"), ("Sec-Fetch-Site", "same-origin")])
def test_its_own_origin_is_accepted(runtime: LocalRuntime, extra: tuple[str, str]) -> None:
    assert send(runtime, "GET /ping", [("Host", "localhost:1"), extra]) == 200
    assert send(runtime, "GET /ping", [("Host", "localhost:1"), ("Sec-Fetch-Site", "none")]) == 200


@pytest.mark.parametrize("path", ["/endpoints/e/invocations", "/invocations", "/"])
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/plain;charset=UTF-8",
        "TEXT/PLAIN",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ],
)
def test_what_a_page_may_send_unasked_is_refused_on_sagemakers_paths(
    runtime: LocalRuntime, path: str, content_type: str
) -> None:
    target = {"X-Amz-Target": "SageMaker.ListModels"} if path == "/" else {}
    answer = httpx.post(runtime.url + path, content=b"{}", headers={"Content-Type": content_type, **target})
    assert answer.status_code == 415


@pytest.mark.parametrize("content_type", [None, "application/json", "application/octet-stream", "text/csv"])
def test_what_programs_send_is_accepted(runtime: LocalRuntime, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = httpx.post(f"{runtime.url}/endpoints/e/invocations", content=b'{"inputs": "Hi"}', headers=headers)
    assert (answer.status_code, answer.json()) == (200, [{"generated_text": "Paris."}])


def test_s3_takes_bodies_of_any_type(runtime: LocalRuntime) -> None:
    httpx.put(f"{runtime.url}/texts")
    for content_type in ("text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
        answer = httpx.put(f"{runtime.url}/texts/a", content=b"abc", headers={"Content-Type": content_type})
        assert answer.status_code == 200


def test_a_refused_request_reaches_no_model() -> None:
    llm = ScriptedLLM(["Paris."], family="falcon")
    with LocalRuntime({"e": {"model": llm, "family": "falcon"}}) as runtime:
        send(runtime, "POST /endpoints/e/invocations", [("Host", "evil.example")], b'{"inputs": "Hi"}')
    assert llm.prompts == []


def test_a_refusal_names_the_remedy_in_the_services_protocol(runtime: LocalRuntime) -> None:
    headers = {"Host": "my-container"}
    answer = httpx.post(f"{runtime.url}/endpoints/e/invocations", content=b"{}", headers=headers)
    assert answer.json() == {
        "message": "Host 'my-container' is not a name of the local runtime; start it with --allowed-host my-container."
    }
    assert answer.headers["x-amzn-ErrorType"] == "AccessDeniedException"
    assert b"<Code>AccessDenied</Code>" in httpx.get(f"{runtime.url}/bucket", headers=headers).content


@given(st.text())
def test_only_loopback_names_are_taken_for_such(text: str) -> None:
    name = host_name(text)
    if name is not None and is_loopback(name):
        host = urlsplit(f"http://{text}").hostname
        assert host is not None
        assert host in ("localhost", "::1") or host.startswith("127.") or host.endswith(".localhost")


def clients(runtime: LocalRuntime, access_key: str) -> dict[str, Any]:
    session = boto3.Session(access_key, "secret", region_name="us-east-1")
    settings = Config(retries={"total_max_attempts": 1})
    services = ("sagemaker", "sagemaker-runtime", "s3", "sts")
    return {name: session.client(name, endpoint_url=runtime.url, config=settings) for name in services}


def requests_with(access_key: str, runtime: LocalRuntime) -> list[Any]:
    client = clients(runtime, access_key)
    return [
        client["sagemaker"].list_models,
        lambda: client["sagemaker-runtime"].invoke_endpoint(EndpointName="e", Body=b'{"inputs": "Hi"}'),
        lambda: client["sagemaker-runtime"].invoke_endpoint_with_response_stream(
            EndpointName="e", Body=b'{"inputs": "Hi", "stream": true}'
        ),
        client["s3"].list_buckets,
        client["sts"].get_caller_identity,
    ]


@pytest.fixture(scope="module")
def locked() -> Iterator[LocalRuntime]:
    models = {"e": {"model": ScriptedLLM(["Paris."] * 100, family="falcon"), "family": "falcon"}}
    with LocalRuntime(models, host="0.0.0.0", access_key="TEAM") as running:
        yield running


def test_requests_that_are_signed_with_another_key_are_refused(locked: LocalRuntime) -> None:
    codes = []
    for request in requests_with("OTHER", locked):
        with pytest.raises(ClientError) as caught:
            request()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        codes.append(caught.value.response["Error"]["Code"])
    sagemaker = "UnrecognizedClientException"
    assert codes == [sagemaker, sagemaker, sagemaker, "InvalidAccessKeyId", "InvalidClientTokenId"]
    for request in requests_with("TEAM", locked):
        request()


@pytest.mark.parametrize("request_line", PATHS)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer TEAM",
        "TEAM",
        "AWS4-HMAC-SHA256 Credential=TEAM, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=OTHER/20260101/us-east-1/s3/aws4_request, X=Credential=TEAM/1/r/s3/aws4_request",
        "AWS OTHER:TEAM",
        "Credential=" * 5000,
    ],
)
def test_requests_that_are_not_signed_with_the_key_are_refused(
    locked: LocalRuntime, request_line: str, authorization: str | None
) -> None:
    signed = [] if authorization is None else [("Authorization", authorization)]
    assert send(locked, request_line, [*headers_for(request_line), *signed], PATHS[request_line]) == 403


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls_need_the_key_too(locked: LocalRuntime, version: str) -> None:
    def client(key: str) -> Any:
        session = boto3.Session(key, "secret", region_name="us-east-1")
        return session.client("s3", endpoint_url=locked.url, config=Config(signature_version=version))

    client("TEAM").create_bucket(Bucket="shared")
    client("TEAM").put_object(Bucket="shared", Key="a", Body=b"abc")
    of = {"Bucket": "shared", "Key": "a"}
    assert httpx.get(client("TEAM").generate_presigned_url("get_object", Params=of)).content == b"abc"
    refused = httpx.get(client("OTHER").generate_presigned_url("get_object", Params=of))
    assert (refused.status_code, b"InvalidAccessKeyId" in refused.content) == (403, True)


def test_a_wide_address_is_reached_under_the_address_that_was_connected_to(locked: LocalRuntime) -> None:
    assert urlsplit(locked.url).hostname == "127.0.0.1"
    key = ("Authorization", "AWS4-HMAC-SHA256 Credential=TEAM/20260101/us-east-1/s3/aws4_request")
    assert send(locked, "GET /", [("Host", "127.0.0.1"), key]) == 200
    assert send(locked, "GET /", [("Host", "evil.example"), key]) == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "fe80::1", "example.com"])
def test_a_wide_address_needs_a_key_or_a_permission(host: str) -> None:
    with pytest.raises(ValueError, match=r"access_key=ID.*allow_anyone=True"):
        LocalRuntime({}, host=host)
    LocalRuntime({}, host=host, allow_anyone=True)
    LocalRuntime({}, host=host, access_key="TEAM")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_a_loopback_address_needs_none(host: str) -> None:
    with LocalRuntime({}, host=host) as runtime:
        assert httpx.get(f"{runtime.url}/ping").status_code == 200


@pytest.mark.parametrize("name", ["http://x", "x:80", "*", "*.x", "", "a b", "[::1]:80", "x/y"])
def test_an_allowed_name_is_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        LocalRuntime({}, allowed_hosts=[name])


@pytest.mark.parametrize("access_key", ["", "a b", "a/b", "a,b", "a\n"])
def test_an_access_key_is_an_id(access_key: str) -> None:
    with pytest.raises(ValueError, match="access_key: "):
        LocalRuntime({}, access_key=access_key)


def test_names_are_a_list() -> None:
    with pytest.raises(ValueError, match="give a list of names"):
        LocalRuntime({}, allowed_hosts="localhost")


def test_a_bucket_can_be_in_the_host(runtime: LocalRuntime) -> None:
    port = urlsplit(runtime.url).port
    httpx.put(f"{runtime.url}/virtual")
    assert send(runtime, "PUT /a", [("Host", f"Virtual.localhost:{port}")], b"abc") == 200
    assert httpx.get(f"{runtime.url}/virtual/a").content == b"abc"
