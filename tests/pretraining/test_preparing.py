"""From a folder of code to tokens: no document is lost or repeated, the same with any number of workers."""

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sagechain.pretraining import NothingLeft, prepare, read_manifest
from sagechain.pretraining.data import Executor
from sagechain.pretraining.data.sources.files import FileSource
from transformers import PreTrainedTokenizerFast

from tests.pretraining.conftest import function

SETTINGS: dict[str, Any] = {
    "vocab_size": 300, "context": 32, "near_duplicates": False, "validation_share": 0.3,
    "executor": Executor(workers=1, tasks=3),
}  # fmt: skip


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty files of one function each."""
    folder = tmp_path_factory.mktemp("code")
    for number in range(40):
        (folder / f"file_{number:02d}.py").write_text(function(number))
    return folder


@pytest.fixture(scope="module")
def prepared(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(code, tmp_path_factory.mktemp("prepared") / "data", **SETTINGS)


def manifest(data: Path) -> dict[str, Any]:
    return read_manifest(data) or {}


def interrupt(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def tokens(data: Path, split: str) -> list[int]:
    return [
        int(token) for path in sorted((data / "tokens").glob(f"{split}-*.bin")) for token in np.fromfile(path, "<u2")
    ]


def test_every_file_is_in_the_tokens_once_with_end_of_text_between(code: Path, prepared: Path) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(prepared / "tokenizer")
    documents: list[str] = []
    for split in ("train", "validation"):
        ids = tokens(prepared, split)
        assert ids[-1] == tokenizer.eos_token_id
        parts = str(tokenizer.decode(ids)).split("<|endoftext|>")[:-1]
        assert len(parts) == manifest(prepared)["splits"][split]["documents"] == ids.count(tokenizer.eos_token_id)
        documents += parts
    assert sorted(documents) == sorted(path.read_text() for path in code.iterdir())


def test_the_manifest_counts_the_tokens_and_bytes_of_the_files(code: Path, prepared: Path) -> None:
    content = manifest(prepared)
    splits = content["splits"]
    assert (content["stage"], content["done"], content["vocabulary"], content["context"]) == ("prepare", True, 300, 32)
    assert splits["train"]["bytes"] + splits["validation"]["bytes"] == sum(p.stat().st_size for p in code.iterdir())
    assert (splits["train"]["tokens"], splits["validation"]["tokens"]) == (
        len(tokens(prepared, "train")),
        len(tokens(prepared, "validation")),
    )
    assert content["bytes_per_token"]["train"] == splits["train"]["bytes"] / splits["train"]["tokens"]


def test_one_and_two_workers_write_the_same_tokens(code: Path, prepared: Path, tmp_path: Path) -> None:
    prepare(code, tmp_path / "data", **(SETTINGS | {"executor": Executor(workers=2, tasks=3)}))
    assert manifest(tmp_path / "data")["tokens_sha256"] == manifest(prepared)["tokens_sha256"]


def test_complete_data_are_not_prepared_again(code: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (prepared / "manifest.json").stat().st_mtime_ns
    prepare(code, prepared, **SETTINGS)
    monkeypatch.setenv("PATH", "")
    prepare(code, prepared, **(SETTINGS | {"executor": Executor(kind="slurm", tasks=3)}))  # not needed, so not missed
    assert (prepared / "manifest.json").stat().st_mtime_ns == before


def test_data_in_their_own_source_folder_are_not_read(
    code: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Path(shutil.copytree(code, tmp_path / "project"))
    monkeypatch.chdir(project)
    for out in ("one", "two", "one", "two"):
        prepare(".", out, **SETTINGS)
        assert manifest(Path(out))["tokens_sha256"] == manifest(prepared)["tokens_sha256"]
    left_out = manifest(Path("two"))["corpus"]["left_out"]
    assert [(row["reason"], row["documents"]) for row in left_out] == [("output of sagechain", 1)]


def test_the_corpus_of_prepared_data_can_be_a_source(prepared: Path, tmp_path: Path) -> None:
    again = prepare(prepared, tmp_path / "data", **(SETTINGS | {"syntax": False}))
    assert sum(split["documents"] for split in manifest(again)["splits"].values()) == 40


def test_a_stopped_call_resumes_where_it_stopped(
    code: Path,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sagechain.pretraining.data.packing.pack", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(code, tmp_path / "data", **SETTINGS)
    assert capsys.readouterr().err.endswith("Stopped. Finished tasks are saved; the same command resumes from there.\n")
    monkeypatch.undo()
    tokenizer = tmp_path / "data" / "tokenizer" / "tokenizer.json"
    before = tokenizer.stat().st_mtime_ns
    prepare(code, tmp_path / "data", **SETTINGS)
    assert tokenizer.stat().st_mtime_ns == before
    assert manifest(tmp_path / "data")["tokens_sha256"] == manifest(prepared)["tokens_sha256"]


def test_a_stopped_call_starts_again_if_its_source_changed_and_not_if_its_settings_did(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagechain.pretraining.data.packing.pack", interrupt)
    copy = Path(shutil.copytree(code, tmp_path / "code"))
    with pytest.raises(KeyboardInterrupt):
        prepare(copy, tmp_path / "data", **SETTINGS)
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match=re.escape("of other settings or another source: context=16 (was 32). Give the same again")
    ):
        prepare(copy, tmp_path / "data", **(SETTINGS | {"context": 16}))
    (copy / "file_00.py").unlink()
    prepare(copy, tmp_path / "data", **SETTINGS)
    prepare(copy, tmp_path / "at once", **SETTINGS)
    assert manifest(tmp_path / "data")["tokens_sha256"] == manifest(tmp_path / "at once")["tokens_sha256"]
    assert sum(split["documents"] for split in manifest(tmp_path / "data")["splits"].values()) == 39


def test_a_source_differs_if_one_letter_changed_and_not_if_its_dates_did(code: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(code, tmp_path / "code"))
    prepare(copy, tmp_path / "data", **SETTINGS)
    changed, times = copy / "file_00.py", (copy / "file_00.py").stat()
    os.utime(changed)
    prepare(copy, tmp_path / "data", **SETTINGS)
    changed.write_text(changed.read_text().replace("x", "z", 1))
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(
        ValueError, match=re.escape("another source: the source changed since. Give the same again, or")
    ):
        prepare(copy, tmp_path / "data", **SETTINGS)


def test_a_source_is_identified_by_its_contents_and_not_its_name(code: Path, prepared: Path, tmp_path: Path) -> None:
    before = (prepared / "manifest.json").stat().st_mtime_ns
    prepare(shutil.copytree(code, tmp_path / "copy"), prepared, **SETTINGS)
    prepare(os.path.relpath(code), prepared, **SETTINGS)
    assert (prepared / "manifest.json").stat().st_mtime_ns == before


def test_data_of_other_settings_are_not_replaced_and_the_settings_are_named(code: Path, prepared: Path) -> None:
    before = manifest(prepared)
    with pytest.raises(ValueError, match=re.escape("keywords=['x'] (was []), vocab_size=301 (was 300). Give the same")):
        prepare(code, prepared, keywords=["x"], **(SETTINGS | {"vocab_size": 301}))
    assert manifest(prepared) == before


def test_settings_that_removed_everything_may_be_loosened_in_the_same_folder(
    code: Path, prepared: Path, tmp_path: Path
) -> None:
    for failing in ({"keywords": ["never written"]}, {"validation_share": 1e-9}):
        with pytest.raises(NothingLeft):
            prepare(code, tmp_path / "data", **(SETTINGS | failing))
    prepare(code, tmp_path / "data", **SETTINGS)
    assert manifest(tmp_path / "data")["tokens_sha256"] == manifest(prepared)["tokens_sha256"]


@pytest.mark.parametrize("lost", ["tokens", "tokens/train-00001.bin", "tokenizer", "tokenizer/tokenizer.json"])
def test_lost_parts_of_complete_data_are_written_again(
    code: Path, prepared: Path, tmp_path: Path, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(shutil.copytree(prepared, tmp_path / "data"))
    shutil.rmtree(data / lost) if (data / lost).is_dir() else (data / lost).unlink()
    prepare(code, data, **SETTINGS)
    assert (
        "prepare: making the data again: its tokens or its tokenizer changed or are missing\n"
        in capsys.readouterr().err
    )
    for split in ("train", "validation"):
        assert tokens(data, split) == tokens(prepared, split)
    assert manifest(data)["tokenizer_sha256"] == manifest(prepared)["tokenizer_sha256"]


def test_a_call_killed_before_it_wrote_its_manifest_starts_again(code: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.partial").write_text('{"stage": "pre')
    settings = {name: value for name, value in SETTINGS.items() if name != "executor"}
    assert manifest(prepare(code, tmp_path / "data", workers=1, **settings))["done"]


def test_two_simultaneous_calls_prepare_the_data_once(
    code: Path, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor() as both:
        calls = [both.submit(prepare, code, tmp_path / "data", **SETTINGS) for _ in range(2)]
    assert [call.result() for call in calls] == [tmp_path / "data"] * 2
    assert capsys.readouterr().err.count("prepare: tokenizer\n") == 1
    assert manifest(tmp_path / "data")["tokens_sha256"] == manifest(prepared)["tokens_sha256"]


def test_one_process_of_a_launcher_prepares_and_all_find_complete_data(
    code: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ValueError, match="RANK=1: `prepare` is for one process, whose workers share the work; call it"):
        prepare(code, tmp_path / "data", **SETTINGS)
    assert not (tmp_path / "data").exists()
    assert prepare(code, prepared, **SETTINGS) == prepared


def test_data_of_the_hub_are_complete_offline_as_well_and_not_after_a_new_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import IterableDataset
    from huggingface_hub import constants

    def load(path: str, **_: Any) -> Any:
        return IterableDataset.from_generator(lambda: ({"content": function(number)} for number in range(40)))

    commits = ["first"]
    monkeypatch.setattr("datasets.load_dataset", load)
    monkeypatch.setattr("huggingface_hub.get_session", lambda: SimpleNamespace(head=lambda *_, **__: None))
    monkeypatch.setattr("datasets.get_dataset_config_names", lambda *_, **__: ["default"])
    monkeypatch.setattr("datasets.get_dataset_default_config_name", lambda *_, **__: "default")
    monkeypatch.setattr(
        "datasets.load_dataset_builder", lambda *_, **__: SimpleNamespace(config=SimpleNamespace(data_files=None))
    )
    monkeypatch.setattr("huggingface_hub.dataset_info", lambda *_, **__: SimpleNamespace(sha=commits[-1]))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    data = prepare("hf:owner/code", tmp_path / "data", **SETTINGS)
    assert sum(split["documents"] for split in manifest(data)["splits"].values()) == 40
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    prepare("hf:owner/code", data, **SETTINGS)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    commits.append("second")
    with pytest.raises(ValueError, match="another source: the source changed since"):
        prepare("hf:owner/code", data, **SETTINGS)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"vocab_size": 100}, "vocab_size: 100 is too few"),
        ({"context": 1}, "context: 1 is too short"),
        ({"keyword": ["x"]}, "keyword"),
        ({"keywords": "pandas"}, "keywords"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"validation_share": 0.0}, "validation_share: 0 leaves no data for evaluation"),
    ],
)
def test_a_bad_setting_is_refused_before_anything_is_written(
    code: Path, tmp_path: Path, given: dict[str, Any], what: str
) -> None:
    with pytest.raises(ValueError, match=what):
        prepare(code, tmp_path / "data", **(SETTINGS | given))
    assert not (tmp_path / "data").exists()


def test_a_folder_with_other_files_is_not_changed(code: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and does not contain prepared data; name another folder"):
        prepare(code, tmp_path, **SETTINGS)


def test_a_folder_whose_name_is_a_pattern_is_refused(code: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"out: .*data\[1\]': the characters .* do not work in it"):
        prepare(code, tmp_path / "data[1]", **SETTINGS)
    assert not (tmp_path / "data[1]").exists()


def test_a_source_that_does_not_exist_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the file or folder does not exist"):
        prepare(tmp_path / "nowhere", tmp_path / "data", **SETTINGS)
    assert not (tmp_path / "data").exists()


def test_a_call_stopped_while_it_lists_its_inputs_leaves_nothing(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileSource, "write_listing", interrupt)
    with pytest.raises(KeyboardInterrupt):
        prepare(code, tmp_path / "data", **SETTINGS)
    assert not (tmp_path / "data").exists()
