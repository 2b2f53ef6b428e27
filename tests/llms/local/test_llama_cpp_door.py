"""Who can reach llama.cpp's own server: nobody but this process and this user."""

import glob
import json
import os
import socket
import stat
import tempfile
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import xllamacpp
from sagechain.llms import load_llm

from tests import processes

CONTEXTS = count(70)  # each model has its own engine
needs_unix_sockets = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets here")


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where the servers that a test starts listen, and what they were given as settings."""
    found: list[str] = []
    make_server = xllamacpp.Server

    def start(settings: Any) -> Any:
        server = make_server(settings)
        found.append(server.listening_address)
        return server

    monkeypatch.setattr(xllamacpp, "Server", start)
    return found


def load(smollm2: Path) -> Any:
    """The model with settings of its own, so that no other test has it in memory."""
    return load_llm(f"local:{smollm2}?slots=1&context={next(CONTEXTS)}", max_new_tokens=1)


@needs_unix_sockets
def test_a_model_listens_on_a_socket_of_this_user_and_on_no_port(
    smollm2: Path, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    llm = load(smollm2)
    [address] = addresses
    assert address.startswith("unix:///tmp/sagechain-")
    folder = Path(address.removeprefix("unix://")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(llm.get_token_ids("a<|im_end|>")) == 2
    del llm
    assert not folder.exists()


@needs_unix_sockets
def test_a_long_temporary_folder_is_left_for_a_short_one(
    smollm2: Path, tmp_path: Path, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (long := tmp_path / ("long" * 30)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert load(smollm2).get_token_ids("a")
    assert addresses[0].startswith("unix:///tmp/sagechain-")


def test_without_unix_sockets_a_random_key_is_demanded(
    smollm2: Path, addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    llm = load(smollm2)
    assert llm.invoke("Hi")
    assert llm.get_token_ids("a")
    host = urlsplit(addresses[0]).netloc
    assert host.startswith("127.0.0.1:")
    body = json.dumps({"content": "a", "prompt": "a"})
    evil = {"Origin": "https://evil.example", "Content-Type": "application/json"}
    for method, path, headers, status in [
        ("POST", "/tokenize", evil, 401),
        ("POST", "/completion", {**evil, "Authorization": "Bearer guess"}, 401),
        ("GET", "/slots", evil, 401),
        ("GET", "/v1/models", evil, 401),
        ("GET", "/", evil, 404),
    ]:
        connection = HTTPConnection(host)
        connection.request(method, path, body if method == "POST" else None, headers)
        response = connection.getresponse()
        assert (response.status, response.headers.get("Access-Control-Allow-Origin", "")) == (status, ""), path
        connection.close()


@needs_unix_sockets
def test_the_sockets_folder_goes_with_the_process(smollm2: Path) -> None:
    script = f"from sagechain.llms import load_llm\nllm = load_llm('local:{smollm2}?slots=1&context=64')"
    environment = {**os.environ, "TMPDIR": (short := tempfile.mkdtemp(dir="/tmp"))}
    processes.run("-c", script, env=environment, check=True)
    assert glob.glob(f"{short}/*") == []
    os.rmdir(short)
