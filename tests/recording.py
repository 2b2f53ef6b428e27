"""How cassettes are recorded and replayed: which parts of a request and a reply, and around vcrpy's thread fault.

Only a few headers are recorded, account ids are replaced, and every request gets the same address, so that a cassette
recorded against the local runtime and one recorded against AWS have the same form.
"""

import json
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from botocore.eventstream import EventStreamBuffer
from sagechain.local_aws.inference import event_stream
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

CASSETTES = Path(__file__).parent / "cassettes"
MATCHED = ["method", "scheme", "host", "port", "path", "query", "body"]
HOST = "runtime.sagemaker.us-east-1.amazonaws.com"
ACCOUNT = "000000000000"
# The names of real endpoints, for recording against them.
REAL_ENDPOINTS = {
    "llama-2-7b-chat": "SAGECHAIN_REAL_LLAMA2",
    "falcon-7b-instruct": "SAGECHAIN_REAL_FALCON",
}
REQUEST_HEADERS = {
    "accept",
    "content-type",
    "x-amzn-sagemaker-accept",
    "x-amzn-sagemaker-custom-attributes",
}
RESPONSE_HEADERS = {
    "content-type",
    "x-amzn-errortype",
    "x-amzn-invoked-production-variant",
    "x-amzn-sagemaker-content-type",
}
SECRETS = re.compile(r"AKI[AD]\w{6,}|ASIA\w{8,}|AWS4-HMAC|Signature=|Credential=|made-up-secret|\b(?!0{12})\d{12}\b")

_ACCOUNT_ID = re.compile(rb"\b\d{12}\b")


def recorded_request(request: Any) -> Any:
    """The request as it is recorded and compared: one address, few headers."""
    parts = urlsplit(request.uri)
    request.uri = urlunsplit(("https", HOST, _known_path(parts.path), parts.query, ""))
    headers = {name: value for name, value in request.headers.items() if name.lower() in REQUEST_HEADERS}
    request.headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in headers.items()}
    return request


def recorded_response(response: dict[str, Any]) -> dict[str, Any]:
    """The reply as it is recorded: few headers, no account id."""
    headers = {name: value for name, value in response["headers"].items() if name.lower() in RESPONSE_HEADERS}
    body = response["body"]["string"]
    framed = any(event_stream.CONTENT_TYPE in str(value) for value in headers.values())
    return {**response, "headers": headers, "body": {"string": _reframed(body) if framed else _scrubbed(body)}}


def uri_of(request: pytest.FixtureRequest, known: str) -> str:
    """The model's URI; with `--real` it names the endpoint in the environment variable."""
    if not request.config.getoption("--real"):
        return known
    for name, variable in REAL_ENDPOINTS.items():
        known = known.replace(name, os.environ.get(variable, name))
    return known


def bodies(cassette: Any) -> list[Any]:
    """The JSON bodies of the requests, in their order."""
    return [json.loads(each.body) for each in cassette.requests]


def _known_path(path: str) -> str:
    """The path with the usual name of the endpoint, where a real endpoint has another name."""
    for known, variable in REAL_ENDPOINTS.items():
        path = path.replace(f"/endpoints/{os.environ.get(variable) or known}/", f"/endpoints/{known}/")
    return path


def lock_new_connections() -> None:
    """Let threads open connections one at a time.

    While vcrpy 8.5 opens a connection it removes its own classes from urllib3, so a connection that another thread opens at
    that time is real: of 160 requests in 8 threads, 81 bypassed the cassette.
    """
    lock = threading.Lock()
    for pool in (HTTPConnectionPool, HTTPSConnectionPool):
        pool._new_conn = _locked(pool._new_conn, lock)  # type: ignore[method-assign]


def _locked(make: Any, lock: threading.Lock) -> Any:
    def locked(self: Any) -> Any:
        with lock:
            return make(self)

    return locked


def _scrubbed(body: bytes) -> bytes:
    return _ACCOUNT_ID.sub(ACCOUNT.encode(), body)


def _reframed(body: bytes) -> bytes:
    """Frames of an event stream carry checksums of their content, so each frame is built again."""
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    return b"".join(event_stream.frame(_named(event.headers), _scrubbed(event.payload)) for event in buffer)


def _named(headers: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in headers.items()}
