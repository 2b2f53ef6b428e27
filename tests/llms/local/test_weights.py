"""Other weights under the same path are another model: in memory, in LangChain's cache, and for counting tokens."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sagechain.llms import errors, load_llm
from sagechain.llms.local.weights import WHOLE, FileVersion

from tests.llms.checkpoints import load_exactly


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file's bytes; its size and its time of change stay the same."""
    before = path.stat()
    data = change(path.read_bytes())
    path.unlink()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def last_bytes(data: bytes) -> bytes:
    return data[:-64] + bytes(64)


def test_a_file_has_another_version_once_its_bytes_its_time_or_its_inode_change(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a" * 100)

    def version() -> FileVersion:
        return FileVersion.of(tmp_path, [path])

    first = version()
    assert version() == first
    rewrite(path, lambda data: b"b" + data[1:])
    assert version().content != first.content
    rewrite(path, lambda data: b"a" + data[1:])
    assert version().content == first.content
    assert version().key != first.key
    os.utime(path, ns=(1, 1))
    assert version().content != first.content


@pytest.mark.parametrize("position", [0, 1 << 20, WHOLE, -1])
def test_of_a_large_file_any_megabyte_that_differs_makes_another_version(tmp_path: Path, position: int) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2 * WHOLE)
    before = path.stat()
    first = FileVersion.of(tmp_path, [path])
    with path.open("r+b") as file:
        file.seek(position if position >= 0 else 2 * WHOLE - 1)
        file.write(b"x" * (1 << 20) if position >= 0 else b"x")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert FileVersion.of(tmp_path, [path]).content != first.content


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "generation_config.json"])
def test_a_changed_file_of_a_checkpoint_is_another_model(gpt2: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "changed")
    first = load_exactly(folder)
    if name == "model.safetensors":
        rewrite(folder / name, last_bytes)
    else:
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(settings, indent=1))
    second = load_exactly(folder)
    assert second.pipeline.model is not first.pipeline.model
    assert second.asdict() != first.asdict()
    assert load_exactly(folder).pipeline.model is second.pipeline.model


def test_a_changed_part_of_the_weights_in_a_subfolder_is_another_model(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "parts")
    (folder / "parts").mkdir()
    (folder / "model.safetensors").rename(folder / "parts" / "one.safetensors")
    from safetensors import safe_open

    with safe_open(folder / "parts" / "one.safetensors", "pt") as weights:
        index = {"metadata": {}, "weight_map": dict.fromkeys(weights.keys(), "parts/one.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    first = load_exactly(folder)
    rewrite(folder / "parts" / "one.safetensors", last_bytes)
    assert load_exactly(folder).asdict() != first.asdict()


def test_a_replaced_gguf_is_another_model(smollm2: Path, tmp_path: Path) -> None:
    path = shutil.copyfile(smollm2, tmp_path / "model.gguf")
    uri = f"local:{path}?slots=1&context=64"
    first = load_llm(uri, max_new_tokens=1)
    assert load_llm(uri).asdict()["weights"] == first.asdict()["weights"]
    path.unlink()
    shutil.copyfile(smollm2, path)
    assert load_llm(uri).asdict()["weights"] != first.asdict()["weights"]
    path.unlink()
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(errors.ModelNotLoaded):
        load_llm(uri)
    assert first.invoke("Hi")


def test_all_parts_of_a_split_gguf_belong_to_its_version(smollm2: Path, tmp_path: Path) -> None:
    from sagechain.llms.local.gguf_header import gguf_files

    parts = [tmp_path / f"model-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
    for part in (*parts, tmp_path / "model-00001-of-00002.gguf"):
        part.touch()
    assert gguf_files(parts[0]) == parts
    assert gguf_files(smollm2) == [smollm2]


def test_a_replaced_tokenizer_counts_anew(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    def count(separator: str) -> int:
        tokenizer = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(separator, "removed")
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        uri = f"sagemaker:ep?family=falcon&region=us-east-1&tokenizer={tmp_path}"
        return load_llm(uri).get_num_tokens("a b,c")

    assert (count(" "), count("x")) == (2, 1)
