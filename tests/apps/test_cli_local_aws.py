"""`sagechain local-aws` as a process: who it lets in, and what it prints."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from tests.apps.test_cli import run, start


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """The address of a running command, its first lines, and (at the end) those that follow."""
    process = start("local-aws", "--port", "0", "--folder", str(folder), *options)
    assert process.stderr is not None
    lines, rest = [process.stderr.readline() for _ in range(6)], list[str]()
    try:
        yield lines[0].split(" at ")[1].split(" ")[0], lines, rest
    finally:
        process.send_signal(signal.SIGINT)
        rest += process.communicate(timeout=60)[1].splitlines()


def test_it_prints_what_keeps_requests_from_a_proxy(smollm2: Path, tmp_path: Path) -> None:
    with served(tmp_path) as (url, lines, _):
        assert "  export NO_PROXY=localhost,.localhost,127.0.0.1,::1\n" in lines
        assert httpx.get(f"{url}/ping", headers={"Host": "host.docker.internal"}).status_code == 403


def test_containers_reach_it_under_an_allowed_name_with_the_key(smollm2: Path, tmp_path: Path) -> None:
    options = ("--host", "0.0.0.0", "--access-key", "TEAM", "--allowed-host", "host.docker.internal", "--verbose")
    with served(tmp_path, *options) as (url, lines, rest):
        assert "  export AWS_ACCESS_KEY_ID=TEAM AWS_SECRET_ACCESS_KEY=local\n" in lines
        boto3.Session("TEAM", "x").client("s3", endpoint_url=url).list_buckets()
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            boto3.Session("OTHER", "x").client("s3", endpoint_url=url).list_buckets()
        assert httpx.get(f"{url}/", headers={"Host": "evil.example"}).status_code == 403
    shown = [line.rsplit(" ", 2)[0] for line in rest if line.startswith("GET ")]
    assert shown == ["GET / ListBuckets 200", "GET / ListBuckets 403", "GET / ListBuckets 403"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_wide_address_is_refused_without_a_key(host: str) -> None:
    done = run("local-aws", "--host", host, "--port", "0", env={**os.environ, "COLUMNS": "400"})
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "--access-key ID" in done.stderr
    assert "--allow-anyone" in done.stderr
