"""The private names of botocore and urllib3 that cancelling a request needs; the failing test names the missing one."""

import inspect
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.endpoint import Endpoint
from botocore.eventstream import EventStream
from botocore.httpsession import URLLib3Session
from botocore.response import StreamingBody
from urllib3._collections import RecentlyUsedContainer

ROOT = Path(__file__).parents[2]
SESSION = URLLib3Session()
STREAM = EventStream(io.BytesIO(), None, None, "InvokeEndpointWithResponseStream")
NAMES = [
    ("the session's pool classes", SESSION, "_pool_classes_by_scheme"),
    ("the session's pool manager", SESSION, "_manager"),
    ("the session's managers of proxies", SESSION, "_proxy_managers"),
    ("a whole reply's response", StreamingBody(io.BytesIO(), 0), "_raw_stream"),
    ("a streamed reply's response", STREAM, "_raw_stream"),
    ("a manager's pools", RecentlyUsedContainer(), "_container"),
    ("a manager's pools", RecentlyUsedContainer(), "lock"),
    ("a pool", AWSHTTPConnectionPool("localhost"), "pool"),
    ("credentials that expire", RefreshableCredentials("a", "b", "c", datetime.now(UTC), dict, "role"), "_refresh_lock"),
    *((pool.__name__, pool, name) for pool in (AWSHTTPConnectionPool, AWSHTTPSConnectionPool)
      for name in ("_make_request", "_validate_conn", "_put_conn")),
]  # fmt: skip


@pytest.mark.parametrize(("owner", "name"), [pytest.param(o, n, id=f"{what} {n}") for what, o, n in NAMES])
def test_botocore_and_urllib3_still_have(owner: Any, name: str) -> None:
    assert hasattr(owner, name)


def test_botocores_client_still_has_its_endpoint_and_that_its_session() -> None:
    client = boto3.client("sagemaker-runtime", region_name="us-east-1")
    assert isinstance(client._endpoint, Endpoint), "client._endpoint"
    assert isinstance(client._endpoint.http_session, URLLib3Session), "client._endpoint.http_session"
    assert isinstance(client._request_signer._credentials, Credentials), "client._request_signer._credentials"


def test_urllib3_still_passes_the_time_limit_of_a_request_by_name() -> None:
    assert {"conn", "method", "url", "timeout"} <= set(
        inspect.signature(AWSHTTPConnectionPool._make_request).parameters
    )


def test_no_other_module_uses_these_names() -> None:
    private = re.compile(
        rf"client\.(_endpoint|_request_signer)\b|\.({'|'.join(name for _, _, name in NAMES if name[0] == '_')})\b"
    )
    folders = ("llms", "endpoints", "local_aws", "apps", "agents", "chains", "command", "pretraining")
    users = [p for folder in folders for p in (ROOT / folder).rglob("*.py") if private.search(p.read_text("utf-8"))]
    assert [str(path.relative_to(ROOT)) for path in users] == ["llms/sagemaker/transport.py"]
