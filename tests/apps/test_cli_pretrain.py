"""`sagechain pretrain`: from code to a model that `sagechain complete` runs, in commands."""

import json
import subprocess
from pathlib import Path

import pytest
from sagechain.chains import code_completion
from sagechain.llms import load_llm
from sagechain.pretraining.publishing.charts import terminal_curve

from tests import processes
from tests.processes import SAGECHAIN

TINY = ("-p", "layers=1", "-p", "width=32", "-p", "heads=2", "-p", "batch_tokens=128", "-p", "evaluations=1")


def sagechain(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return processes.run(SAGECHAIN, *arguments, server="torch")


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code")
    for number in range(30):
        text = "\n".join(f"    value_{line} = {number} * {line}" for line in range(number % 7 + 2))
        (folder / f"module_{number}.py").write_text(f"def function_{number}(x):\n{text}\n    return x + {number}\n")
    (folder / "broken.py").write_text("def (:\n")
    return folder


@pytest.fixture(scope="module")
def whole(code: Path, tmp_path_factory: pytest.TempPathFactory) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """All stages by `run`, once: their folder, and what was printed."""
    out = tmp_path_factory.mktemp("pretrain") / "out"
    return out, sagechain(
        "pretrain", "run", str(code), "--out", str(out), "--vocab-size", "300", "--context", "32", "--workers", "1",
        "--tokens", "4000", *TINY,
    )  # fmt: skip


@pytest.fixture(scope="module")
def stages(whole: "tuple[Path, subprocess.CompletedProcess[str]]") -> Path:
    out, done = whole
    assert done.returncode == 0, done.stderr
    return out


def test_run_shows_the_corpus_the_curve_and_the_figures_and_prints_the_models_folder(
    whole: "tuple[Path, subprocess.CompletedProcess[str]]",
) -> None:
    out, done = whole
    found, history = (json.loads((out / "run" / name).read_text()) for name in ("manifest.json", "history.json"))
    assert "removed: syntax" in done.stderr
    assert f"{terminal_curve(history)}\n4,096 tokens in {found['seconds']:.0f} s, " in done.stderr
    assert done.stderr.endswith(
        f" {found['val_bits_per_byte']:.3f} bits per byte of unseen code.\nReport: {out / 'run' / 'report.html'}\n"
    )
    assert done.stdout == f"{out / 'model'}\n"


def test_run_leaves_data_a_run_with_its_page_and_a_model(stages: Path) -> None:
    assert (stages / "run" / "report.html").read_text().startswith("<!doctype html>")
    assert json.loads((stages / "model" / "manifest.json").read_text())["stage"] == "export"


def test_the_stages_one_by_one_find_their_work_done(stages: Path, code: Path) -> None:
    data, run = str(stages / "data"), str(stages / "run")
    prepared = sagechain(
        "pretrain", "prepare", str(code), "--out", data, "--vocab-size", "300", "--context", "32", "--workers", "1"
    )
    trained = sagechain("pretrain", "train", data, "--out", run, "--tokens", "4000", *TINY)
    exported = sagechain("pretrain", "export", run, "--out", str(stages / "model"))
    assert [prepared.returncode, trained.returncode, exported.returncode] == [0, 0, 0]
    assert "removed: syntax" in prepared.stderr
    assert "A tokenizer of 300 tokens: " in prepared.stderr
    assert "GPT-2's tokenizer on Python's standard library: 2.24" in prepared.stderr
    assert "4,096 tokens in" in trained.stderr
    assert trained.stderr.endswith(f"Next: sagechain pretrain export {run} --out MODEL\n")
    assert trained.stdout == f"{stages / 'run' / 'model'}\n"


def test_overwrite_replaces_another_model_and_license_is_written_to_the_card(stages: Path, tmp_path: Path) -> None:
    run, out = str(stages / "run"), tmp_path / "model"
    assert sagechain("pretrain", "export", run, "--out", str(out)).returncode == 0
    (out / "model.safetensors").write_bytes(b"another")
    refused = sagechain("pretrain", "export", run, "--out", str(out))
    assert (refused.returncode, "--overwrite" in refused.stderr) == (2, True)
    assert sagechain("pretrain", "export", run, "--out", str(out), "--overwrite", "--license", "mit").returncode == 0
    assert "license: mit\n" in (out / "README.md").read_text()


def test_the_number_of_tasks_is_a_setting(code: Path, tmp_path: Path) -> None:
    done = sagechain(
        "pretrain",
        "prepare",
        str(code),
        "--out",
        str(tmp_path),
        "--vocab-size",
        "300",
        "--workers",
        "1",
        "--tasks",
        "3",
    )
    assert done.returncode == 0, done.stderr
    assert len([*(tmp_path / "tokens").glob("train-*.bin")]) == 3


def test_complete_runs_the_model(stages: Path) -> None:
    uri = f"local:{stages / 'model'}"
    done = sagechain("complete", "-m", uri, "-p", "max_new_tokens=4", "-p", "temperature=0", "--until", "end", "def ")
    assert done.returncode == 0, done.stderr
    same = code_completion(load_llm(uri, max_new_tokens=4, temperature=0), until="end").invoke("def ")
    assert done.stdout == f"{same}\n"


def test_a_setting_of_another_run_is_a_usage_error_that_names_it(stages: Path) -> None:
    done = sagechain("pretrain", "train", str(stages / "data"), "--out", str(stages / "run"), "--tokens", "5000", *TINY)
    assert done.returncode == 2
    assert "tokens: the run in" in done.stderr


@pytest.mark.parametrize(
    ("command", "given", "what"),
    [
        ("prepare", "keywords=foo", "-p keywords: give --keywords"),
        ("prepare", "vocab_size=300", "-p vocab_size: give --vocab-size"),
        ("prepare", "source=stdlib", "-p source: give SOURCE"),
        ("train", "tokens=100", "-p tokens: give --tokens"),
        ("train", "preset=tiny", "-p preset: give --preset"),
        ("run", "seed=1", "-p seed: give --seed"),
        ("run", "workers=1", "-p workers: give --workers"),
    ],
)
def test_a_name_with_its_own_option_is_refused_as_a_setting(
    tmp_path: Path, command: str, given: str, what: str
) -> None:
    done = sagechain("pretrain", command, str(tmp_path), "--out", str(tmp_path / "out"), "-p", given)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"sagechain: {what}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (("--preset", "tinny"), "--preset: there is no 'tinny'. Did you mean 'tiny'?"),
        (("-p", "layer=2"), "-p: there is no 'layer'. Did you mean 'layers'?"),
        (("-p", "layers=few"), "-p layers: Input should be a valid integer"),
        (("-p", "near_duplicates=perhaps"), "-p near_duplicates: Input should be a valid boolean"),
        (
            ("--preset", "codeparrot-small", "-p", "batch_tokens=100"),
            "-p batch_tokens: 100 is not a multiple of context=1024",
        ),
        (("--context", "64", "-p", "batch_tokens=100"), "-p batch_tokens: 100 is not a multiple of context=64"),
        (("-p", "context=100", "-p", "batch_tokens=300", "-p", "device_batch=2"), "-p device_batch: 2 does not divide"),
        (("--report-to", "tensorbord"), "--report-to: there is no 'tensorbord'. Did you mean 'tensorboard'?"),
    ],
)
def test_run_checks_training_settings_before_it_prepares(
    code: Path, tmp_path: Path, given: tuple[str, ...], what: str
) -> None:
    done = sagechain("pretrain", "run", str(code), "--out", str(tmp_path / "out"), *given)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"sagechain: {what}")
    assert not (tmp_path / "out").exists()


def test_a_model_too_large_for_the_memory_is_a_one_line_error_with_remedies(stages: Path, tmp_path: Path) -> None:
    huge = ("-p", "context=10000000000000", "-p", "batch_tokens=10000000000000")  # positions of more than 1,000 TB
    done = sagechain("pretrain", "train", str(stages / "data"), "--out", str(tmp_path / "run"), *TINY[:6], *huge)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("sagechain: memory ran out with device_batch=1: ")
    assert "-p activation_checkpointing=true" in done.stderr


def test_the_error_for_an_empty_corpus_names_the_filters(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("def (:\n")
    done = sagechain("pretrain", "prepare", str(tmp_path / "code"), "--out", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "syntax 1" in done.stderr.splitlines()[-1]


def test_plan_prints_the_estimate_of_the_published_model() -> None:
    done = sagechain("pretrain", "plan", "--preset", "codeparrot", "--hardware", "8xH100")
    assert done.returncode == 0
    assert "26,214,400,000: 50,000 steps of 524,288" in done.stdout


def test_plan_overrides_preset_settings_and_refuses_unknown_ones() -> None:
    plan = ("pretrain", "plan", "--preset", "codeparrot", "--hardware", "8xH100")
    done = sagechain(*plan, "-p", "device_batch=4", "-p", "activation_checkpointing=False", "-p", "mfu=0.5")
    assert done.returncode == 0, done.stderr
    assert "4 sequences at once, 16 times" in done.stdout
    assert "at 50% of the peak (MFU)\n" in done.stdout
    for wrong, message in [
        (
            ("-p", "device_bach=4"),
            "sagechain: -p: there is no 'device_bach'. Did you mean 'device_batch'? Known: ",
        ),
        (("-p", "mfu=fast"), "sagechain: -p mfu: Input should be a valid number"),
        (("--tokens", "0"), "sagechain: --tokens: 0 is not above 0\n"),
    ]:
        refused = sagechain(*plan, *wrong)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert refused.stderr.startswith(message)
