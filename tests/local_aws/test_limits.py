"""The limits of the local runtime: sizes, times and numbers of what it is sent, and what it stores and prints of it."""

import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime, connection, gateway, request_body
from sagechain.local_aws.s3 import requests as s3_requests

MEGABYTE = 1024**2
CONTROL_PLANE = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
STS = {"Content-Type": "application/x-www-form-urlencoded"}
LIMITED = [
    ("POST", "/endpoints/e/invocations", {}, 413, b"more than 6291456 bytes"),
    ("POST", "/endpoints/e/invocations-response-stream", {}, 413, b"more than 6291456 bytes"),
    ("POST", "/invocations", {}, 413, b"more than 6291456 bytes"),
    ("POST", "/", CONTROL_PLANE, 413, b"more than 4194304 bytes"),
    ("POST", "/", STS, 413, b"more than 65536 bytes"),
    ("PUT", "/bucket/a", {}, 400, b"<Code>EntityTooLarge</Code>"),
    ("PUT", "/bucket/a?uploadId=x&partNumber=1", {}, 400, b"<Code>EntityTooLarge</Code>"),
    ("POST", "/bucket?delete", {}, 400, b"<Code>MaxMessageLengthExceeded</Code>"),
    ("PUT", "/bucket", {}, 400, b"<Code>MaxMessageLengthExceeded</Code>"),
]


@pytest.fixture
def runtime() -> Iterator[LocalRuntime]:
    models = {"e": {"model": ScriptedLLM(["Paris."] * 50, family="falcon"), "family": "falcon"}}
    with LocalRuntime(models) as running:
        yield running


def connect(runtime: LocalRuntime) -> socket.socket:
    address = urlsplit(runtime.url)
    return socket.create_connection((address.hostname, address.port), timeout=20)


def head(method: str, path: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize(("method", "path", "headers", "status", "text"), LIMITED)
def test_a_body_that_declares_too_much_is_refused_unread(
    runtime: LocalRuntime, method: str, path: str, headers: dict[str, str], status: int, text: bytes
) -> None:
    with connect(runtime) as client:
        client.sendall(head(method, path, {**headers, "Content-Length": str(10**13)}))
        answer = b""
        while text not in answer:
            answer += client.recv(65_536)
    assert answer.split(b" ")[1] == str(status).encode()


@pytest.mark.parametrize(("method", "path", "headers", "status", "text"), LIMITED)
def test_a_body_of_unknown_length_is_counted(
    runtime: LocalRuntime,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    headers: dict[str, str],
    status: int,
    text: bytes,
) -> None:
    monkeypatch.setattr(s3_requests, "MAX_OBJECT_BYTES", 5 * MEGABYTE)
    httpx.put(f"{runtime.url}/bucket")
    upload = httpx.post(f"{runtime.url}/bucket/a?uploads").text.partition("<UploadId>")[2].partition("<")[0]
    answer = httpx.request(
        method,
        runtime.url + path.replace("uploadId=x", f"uploadId={upload}"),
        content=iter([b"x" * MEGABYTE] * 7),
        headers=headers,
    )
    assert (answer.status_code, text in answer.content) == (status, True)
    listed = httpx.get(f"{runtime.url}/bucket?list-type=2").text
    assert "<KeyCount>0</KeyCount>" in listed


def test_the_connection_is_usable_after_a_body_that_is_too_large(runtime: LocalRuntime) -> None:
    client = HTTPConnection(runtime.url.removeprefix("http://"))
    for _ in range(2):
        client.request("POST", "/endpoints/e/invocations", b"x" * 6_291_457)
        refused = client.getresponse()
        assert (refused.status, len(refused.read()) > 0) == (413, True)
        client.request("POST", "/endpoints/e/invocations", b'{"inputs": "Hi"}')
        answered = client.getresponse()
        assert (answered.status, answered.read()) == (200, b'[{"generated_text": "Paris."}]')
    client.close()


def test_what_is_left_of_a_refused_body_is_not_read_for_ever(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_DISCARDED_BYTES", MEGABYTE)
    with connect(runtime) as client:
        client.sendall(head("POST", "/endpoints/e/invocations", {"Content-Length": str(10**13)}))
        client.recv(65_536)
        more = b"x" * 64 * MEGABYTE
        with pytest.raises(OSError, match=r"reset|[Pp]ipe"):
            client.sendall(more)


def until_closed(client: socket.socket) -> bytes:
    received = b""
    while part := client.recv(65_536):
        received += part
    return received


@pytest.mark.parametrize("sent", [b"", b"GET /ping HT", b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX-A: "])
def test_a_head_that_does_not_come_ends_the_connection(
    runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    with connect(runtime) as client:
        client.sendall(sent)
        assert until_closed(client) == b""


@pytest.mark.parametrize(("method", "path", "headers", "_", "__"), LIMITED)
def test_a_body_that_stops_coming_ends_the_request(
    runtime: LocalRuntime,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    headers: dict[str, str],
    _: int,
    __: bytes,
) -> None:
    monkeypatch.setattr(request_body, "IDLE_SECONDS", 0.2)
    httpx.put(f"{runtime.url}/bucket")
    upload = httpx.post(f"{runtime.url}/bucket/a?uploads").text.partition("<UploadId>")[2].partition("<")[0]
    path = path.replace("uploadId=x", f"uploadId={upload}")
    with connect(runtime) as client:
        client.sendall(head(method, path, {**headers, "Content-Length": "1000"}) + b"x")
        answer = until_closed(client)
    assert (answer.split(b" ")[1], b"RequestTimeout" in answer or b"timeout period" in answer) == (b"408", True)


def test_a_body_that_drips_is_too_slow(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "IDLE_SECONDS", 0.3)
    with connect(runtime) as client:
        client.sendall(head("POST", "/endpoints/e/invocations", {"Content-Length": "100000"}))
        client.settimeout(0.02)
        answer = b""
        for _ in range(500):
            client.sendall(b"x")
            try:
                answer += client.recv(65_536)
                break
            except TimeoutError:
                continue
    assert answer.split(b" ")[1] == b"408"


def test_connections_are_bounded(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 3)
    first = [connect(runtime) for _ in range(3)]
    for client in first:
        client.sendall(head("GET", "/ping", {}))
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
    with connect(runtime) as fourth:
        assert until_closed(fourth).startswith(b"HTTP/1.1 503")
    for client in first:
        client.close()


def test_the_stored_requests_are_bounded(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "MAX_LOGGED_BYTES", 2_500)
    for number in range(5):
        body = b"%d" % number + b" " * 999
        httpx.post(f"{runtime.url}/endpoints/e/invocations", content=body)
    assert [request.body[:1] for request in runtime.requests] == [b"3", b"4"]


def test_one_line_for_each_request_without_secrets() -> None:
    lines: list[str] = []
    models = {"e": {"model": ScriptedLLM(["Paris."], family="falcon"), "family": "falcon"}}
    with LocalRuntime(models, print_line=lines.append) as runtime:
        session = boto3.Session("KEYID", "secret", "token", region_name="us-east-1")
        s3 = session.client("s3", endpoint_url=runtime.url, config=Config(signature_version="s3v4"))
        s3.create_bucket(Bucket="models")
        s3.put_object(Bucket="models", Key="a b", Body=b"private")
        httpx.get(s3.generate_presigned_url("get_object", Params={"Bucket": "models", "Key": "a b"}))
        body = b'{"inputs": "private"}'
        session.client("sagemaker-runtime", endpoint_url=runtime.url).invoke_endpoint(EndpointName="e", Body=body)
        session.client("sts", endpoint_url=runtime.url).get_caller_identity()
        httpx.get(f"{runtime.url}/ping", headers={"Origin": "null"})
        httpx.post(runtime.url, content=b"Action=a%0Ab%1B[2J", headers=STS)
        httpx.get(f"{runtime.url}/{'x' * 5000}")
    assert [line.rsplit(" ", 2)[0] for line in lines] == [
        "PUT /models CreateBucket 200",
        "PUT /models/a%20b PutObject 200",
        "GET /models/a%20b GetObject 200",
        "POST /endpoints/e/invocations InvokeEndpoint 200",
        "POST / GetCallerIdentity 200",
        "GET /ping - 403",
        "POST / - 400",
        f"GET /{'x' * 199}… ListObjects 404",
    ]
    text = "".join(lines)
    assert not any(secret in text for secret in ("KEYID", "token", "Signature", "private", "\x1b", "\n"))
