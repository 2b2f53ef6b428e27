"""`sagechain config`: what is stored, what has precedence, what is refused."""

import os
from pathlib import Path

import pytest

from tests.processes import SAGECHAIN, run


def config(*arguments: str) -> tuple[int, str, str]:
    done = run(SAGECHAIN, "config", *arguments)
    return done.returncode, done.stdout, done.stderr


def test_a_setting_is_stored_for_its_owner_only_and_removed() -> None:
    path = Path(os.environ["SAGECHAIN_CONFIG"])
    assert config("path") == (0, f"{path}\n", "")
    assert config("get", "model")[0] == 1
    assert config("set", "model", "sagemaker:my-falcon?family=falcon")[0] == 0
    assert path.read_text() == "model: sagemaker:my-falcon?family=falcon\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert config("get", "model") == (0, "sagemaker:my-falcon?family=falcon\n", "")
    assert "model    sagemaker:my-falcon?family=falcon  [config]" in config("list")[1]
    assert config("unset", "model") == (0, "", "model is removed.\n")
    assert config("unset", "model") == (0, "", "model was not set.\n")
    assert path.read_text() == "{}\n"


def test_an_option_counts_before_the_environment_and_that_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    config("set", "model", "first:x")
    assert "'first:x'" in run(SAGECHAIN, "ask", "Hi").stderr
    monkeypatch.setenv("SAGECHAIN_MODEL", "second:x")
    assert "'second:x'" in run(SAGECHAIN, "ask", "Hi").stderr
    assert "'third:x'" in run(SAGECHAIN, "ask", "Hi", "-m", "third:x").stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("get", "modle"), "setting: 'modle' is unknown. Did you mean 'model'? Known: model, role"),
        (("set", "modle", "x"), "setting: 'modle' is unknown. Did you mean 'model'?"),
        (("set", "openai_api_key", "x"), "openai_api_key: secrets are not stored in the configuration"),
        (("set", "threads", "postgresql://me:word@host/db"), "threads: secrets are not stored in the configuration"),
        (("set", "model", ""), "model: the value must be one line of text"),
        (("set", "model"), "VALUE is missing. Help: sagechain config set --help"),
    ],
)
def test_a_mistake_is_one_line_and_stores_nothing(arguments: tuple[str, ...], line: str) -> None:
    code, output, errors = config(*arguments)
    assert (code, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith(f"sagechain: {line}")
    assert not Path(os.environ["SAGECHAIN_CONFIG"]).exists()


@pytest.mark.parametrize("content", ["[a", "- a", "model: [a]", "modle: x", "model: 3"])
def test_a_broken_file_is_one_line_that_names_it(content: str) -> None:
    path = Path(os.environ["SAGECHAIN_CONFIG"])
    path.write_text(content)
    done = run(SAGECHAIN, "ask", "Hi")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"sagechain: {path}: ")
