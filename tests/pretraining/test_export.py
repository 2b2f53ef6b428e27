"""The export of a finished run: a complete, checked, ordinary checkpoint, or an error and no files."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from sagechain.pretraining import PretrainingError, export, train
from sagechain.pretraining.manifest import file_sha256
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

from tests.pretraining.conftest import TINY
from tests.pretraining.runs import corpus, write_run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A run to break."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def change(run: Path, file: str, **changes: Any) -> None:
    content = json.loads((run / file).read_text())
    (run / file).write_text(json.dumps(content | changes))


def front_matter(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    return found


def test_the_model_is_loaded_by_transformers_and_answers_as_the_runs(made: Path, tmp_path: Path) -> None:
    folder = export(made, tmp_path / "deep" / "model")
    assert folder == tmp_path / "deep" / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert isinstance(model, GPT2LMHeadModel)
    ids = tokenizer("def add", return_tensors="pt").input_ids
    assert torch.equal(model(ids).logits, GPT2LMHeadModel.from_pretrained(made / "model")(ids).logits)


def test_the_manifest_names_the_origin_of_the_weights(made: Path, tmp_path: Path) -> None:
    folder = export(made, tmp_path / "model")
    exported = json.loads((folder / "manifest.json").read_text())
    digest = file_sha256(folder / "model.safetensors")
    assert (exported["stage"], exported["weights_sha256"]) == ("export", digest)
    assert (exported["run"]["tokens"], exported["run"]["val_bits_per_byte"]) == (10_000, 2.25)


def test_the_card_has_the_hubs_front_matter_and_the_runs_figures(made: Path, tmp_path: Path) -> None:
    folder = export(made, tmp_path / "model")
    assert front_matter(folder) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["code", "gpt2", "codeparrot", "sagechain"],
    }
    card = (folder / "README.md").read_text()
    for line in (
        "| validation, bits per byte | 2.250 |", "Source: stdlib.", "| removed: duplicates | 12 | 34,567 |",
        'load_llm("local:model", max_new_tokens=64)', "| optimizer | muon |", "- Its context is 64 tokens.",
    ):  # fmt: skip
        assert line in card.splitlines() or line in card
    assert front_matter(export(made, tmp_path / "licensed", license="mit"))["license"] == "mit"


def test_the_card_contains_no_local_path_and_keeps_its_tables(run: Path, tmp_path: Path) -> None:
    change(run, "manifest.json", data={"source": "/home/someone/code", "corpus": corpus("a|b\n# c")})
    card = (export(run, tmp_path / "model") / "README.md").read_text()
    assert json.loads((tmp_path / "model" / "manifest.json").read_text())["run"]["data"]["source"] == "code"
    assert "Source: code." in card
    assert "someone" not in card
    assert "| removed: a\\|b # c | 12 | 34,567 |" in card


@pytest.mark.parametrize(
    ("source", "published"),
    [
        ("stdlib", "stdlib"),
        ("code/mine", "mine"),
        ("C:\\Users\\someone\\code", "code"),
        ("hf:codeparrot/codeparrot-clean@main#default", "hf:codeparrot/codeparrot-clean@main#default"),
        ("hf:/home/someone/copy", "hf:copy"),
        ("hf:./copy", "hf:copy"),
    ],
)
def test_a_card_names_a_source_without_its_folder(run: Path, tmp_path: Path, source: str, published: str) -> None:
    change(run, "manifest.json", data={"source": source})
    card = (export(run, tmp_path / "model") / "README.md").read_text()
    assert f"Source: {published}." in card.replace("\\", "")


def test_the_python_examples_of_the_card_run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (export(made, tmp_path / "model") / "README.md").read_text()
    block = card.split("```python\n")[2].split("```")[0].replace("max_new_tokens=64", "max_new_tokens=4")
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})


def test_a_second_export_of_the_same_weights_does_nothing(made: Path, tmp_path: Path) -> None:
    folder = export(made, tmp_path / "model")
    (folder / "README.md").write_text("mine")
    export(made, folder)
    assert (folder / "README.md").read_text() == "mine"
    assert listing(tmp_path) == ["model"]


def test_another_model_is_replaced_only_on_request(made: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", vocab_size=280)
    folder = export(other, tmp_path / "model")
    with pytest.raises(ValueError, match=r"contains another model; .* replace it \(overwrite=True, --overwrite\)"):
        export(made, folder)
    export(made, folder, overwrite=True)
    assert GPT2LMHeadModel.from_pretrained(folder).config.vocab_size == 300
    assert listing(tmp_path) == ["model", "other"]


def test_a_copy_with_changed_weights_counts_as_another_model(made: Path, tmp_path: Path) -> None:
    folder = export(made, tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match="contains another model"):
        export(made, folder)


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_export_did_not_write_are_never_replaced(overwrite: bool, made: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "thesis", tmp_path / "file", made, made / "model"):
        with pytest.raises(
            ValueError, match=r"out: .* exists and is not a model that export wrote; name another folder"
        ):
            export(made, out, overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == (tmp_path / "file").read_text() == "mine"


def test_an_empty_folder_is_filled(made: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert (export(made, tmp_path / "model") / "config.json").is_file()


def test_a_missing_run_and_an_unfinished_run_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run: '.*nowhere' is not a run"):
        export(tmp_path / "nowhere", tmp_path / "model")
    change(run, "manifest.json", done=False)
    with pytest.raises(ValueError, match=r"run: .* is not finished; give the command that started it again"):
        export(run, tmp_path / "model")
    assert listing(tmp_path) == ["run"]


def test_a_tokenizer_that_the_model_does_not_know_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", model_vocabulary=290)
    with pytest.raises(PretrainingError, match=r"tokenizer has a token 299, the model has 290 \(0 to 289\)"):
        export(run, tmp_path / "model")
    assert listing(tmp_path) == ["run"]


def test_weights_that_are_not_the_trained_ones_are_refused(run: Path, tmp_path: Path) -> None:
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(PretrainingError, match=r"is not the file that training wrote: its SHA-256 is"):
        export(run, tmp_path / "model")
    weights.unlink()
    with pytest.raises(ValueError, match=r"model/model\.safetensors is missing"):
        export(run, tmp_path / "model")
    assert listing(tmp_path) == ["run"]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("model.safetensors", "no tensors", r"model\.safetensors is broken"),
        ("config.json", "{", "cannot be loaded"),
        ("tokenizer.json", "{", "cannot be loaded"),
    ],
)
def test_files_that_cannot_be_read_are_refused(file: str, text: str, message: str, run: Path, tmp_path: Path) -> None:
    (run / "model" / file).write_text(text)
    change(run, "manifest.json", weights_sha256=file_sha256(run / "model" / "model.safetensors"))
    with pytest.raises(PretrainingError, match=message):
        export(run, tmp_path / "model")
    assert listing(tmp_path) == ["run"]


def test_weights_that_contradict_the_config_are_refused(run: Path, tmp_path: Path) -> None:
    change(run, "model/config.json", n_layer=2)
    with pytest.raises(PretrainingError, match=r"does not match its config\.json: transformer\.h\.1\."):
        export(run, tmp_path / "model")


def test_a_run_of_train_is_exported_and_reported(data: Path, tmp_path: Path) -> None:
    from sagechain.pretraining.publishing.report import write_report

    run = train(data, tmp_path / "run", tokens=1_280, **TINY | {"samples": True, "context": 64})
    folder = export(run, tmp_path / "model")
    assert AutoModelForCausalLM.from_pretrained(folder).config.n_layer == 1
    assert "<svg" in write_report(run).read_text()
