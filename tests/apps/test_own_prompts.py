"""The user's own prompts: `sagechain prompts add`, `remove`, and prompts in files, sent by `ask -t`."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagechain.apps.questions.prompt_files import as_yaml, read_prompt
from sagechain.local_aws import LocalRuntime

from tests.apps.test_cli import run
from tests.conftest import FALCON_URI

SHORT = ["-m", FALCON_URI, "-p", "max_new_tokens=2"]
YAML = """\
# a comment
description: A text for children.
system: You are a teacher.
variables:
  topic: {description: What it is about., example: rain}
parameters: {temperature: 0}
text: |
  Explain {topic} to a child. Use {{braces}}.
"""


def sent(runtime: LocalRuntime) -> str:
    text: str = json.loads(runtime.requests[-1].body)["inputs"]
    return text


def test_a_text_is_added_listed_shown_sent_and_removed(runtime: LocalRuntime) -> None:
    done = run("prompts", "add", "explain", stdin='Explain {topic} as {"json": 1}.\n')
    assert done.returncode == 0, done.stderr
    assert ["explain*", "topic"] in map(str.split, run("prompts", "list").stdout.splitlines())
    shown = run("prompts", "show", "explain").stdout
    assert shown.endswith("sagechain ask -t explain -v 'topic=…'\n")
    assert run("ask", "-t", "explain", "the", "rain", *SHORT).returncode == 0
    assert sent(runtime) == 'User: Explain the rain as {"json": 1}.\nAssistant:'
    assert run("prompts", "remove", "explain").returncode == 0
    assert "explain*" not in run("prompts", "list").stdout


def test_a_yaml_file_keeps_its_comments_and_has_parameters_and_a_system_text(
    runtime: LocalRuntime, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(YAML, encoding="utf-8")
    assert run("prompts", "add", "explain", str(tmp_path / "p.yaml")).returncode == 0
    stored = Path(os.environ["SAGECHAIN_PROMPTS"]) / "explain.yaml"
    assert stored.read_text(encoding="utf-8") == YAML
    for name in ("explain", str(tmp_path / "p.yaml")):
        assert run("ask", "-t", name, "-v", "topic=rain", *SHORT).returncode == 0
        assert sent(runtime) == "You are a teacher.\nUser: Explain rain to a child. Use {braces}.\nAssistant:"
        assert json.loads(runtime.requests[-1].body)["parameters"]["do_sample"] is False
    run("ask", "-t", "explain", "rain", "-s", "Be brief.", *SHORT)
    assert sent(runtime).startswith("Be brief.\nUser: Explain rain")


def test_standard_input_may_be_yaml(runtime: LocalRuntime) -> None:
    assert run("prompts", "add", "explain", stdin=YAML).returncode == 0
    assert "System text:\nYou are a teacher.\n" in run("prompts", "show", "explain").stdout


def test_a_text_file_is_a_prompt(runtime: LocalRuntime, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Sum up:\n{text}\n", encoding="utf-8")
    assert run("ask", "-t", "./p.txt", "Words.", *SHORT, cwd=tmp_path).returncode == 0
    assert sent(runtime) == "User: Sum up:\nWords.\nAssistant:"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "-x", "a b", "x\n", "é", "a" * 101])
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    done = run("prompts", "add", "--", name, stdin="Text.")
    assert (done.returncode, "is not a name" in done.stderr) == (2, True)
    assert not Path(os.environ["SAGECHAIN_PROMPTS"]).exists()


def test_a_name_that_is_taken_is_refused() -> None:
    assert "'summary' is a prompt of the library" in run("prompts", "add", "summary", stdin="x").stderr
    assert run("prompts", "add", "mine", stdin="One.").returncode == 0
    assert "--replace replaces it" in run("prompts", "add", "mine", stdin="Two.").stderr
    assert run("prompts", "add", "mine", "--replace", stdin="Two.").returncode == 0
    assert "\nTwo.\n" in run("prompts", "show", "mine").stdout
    assert "cannot be removed" in run("prompts", "remove", "summary").stderr
    assert "Did you mean 'mine'?" in run("prompts", "remove", "mne").stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text: [1", "not YAML in line 1"),
        ("text: 1", "text: Input should be a valid string"),
        ("text: ''", "its text is empty"),
        ("text: a\nkind: task", "kind: Input should be 'prompt'"),
        ("text: a\nnonsense: 1", "nonsense: Extra inputs are not permitted"),
        ("text: a\nparameters: {temprature: 1}", "Did you mean 'temperature'?"),
        ("text: a\nparameters: {temperature: -1}", "temperature"),
        ("text: '{a}'\nvariables: {b: {}}", "variable: 'b' is unknown"),
        ("text: '{a.__class__}'", "{a.__class__} is not a variable's name"),
        ("text: '{a!r}'", "{a!r} is not a variable's name"),
        ("text: '{a:99}'", "{a:99} is not a variable's name"),
        ("text: '{0}'", "{0} is not a variable's name"),
        ("text: '{'", "write {{ and }} for braces that are text"),
        ("text: !!python/object/apply:os.system [id]", "not YAML"),
        ("text: " + "[" * 5000, "prompt"),
        ("text: " + "x" * 200_001, "longer than 200,000 bytes"),
    ],
)
def test_what_is_not_a_prompt_is_refused_when_it_is_added_and_when_it_is_read(
    content: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(content, encoding="utf-8")
    added = run("prompts", "add", "mine", str(tmp_path / "p.yaml"))
    sent_file = run("ask", "-t", str(tmp_path / "p.yaml"), "Hi.", "-m", "local:/no/model.gguf")
    for done in (added, sent_file):
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert words in done.stderr
    assert not Path(os.environ["SAGECHAIN_PROMPTS"]).exists()


def test_a_damaged_prompt_does_not_hide_the_others() -> None:
    folder = Path(os.environ["SAGECHAIN_PROMPTS"])
    folder.mkdir()
    (folder / "bad.yaml").write_text("text: [", encoding="utf-8")
    done = run("prompts", "list")
    assert done.returncode == 0
    assert "summary" in done.stdout
    assert "(prompt 'bad': not YAML" in done.stderr


@given(st.text())
def test_a_text_without_variables_is_sent_as_it_is(text: str) -> None:
    data = text.encode(errors="replace")
    expected = data.decode("utf-8-sig").strip("\n")
    if not expected.strip() or "{" in expected:
        return
    prompt = read_prompt("p", data, is_yaml=False)
    assert prompt.format() == expected
    assert read_prompt("p", as_yaml(prompt).encode(), is_yaml=True).format() == expected


@given(st.text(alphabet='{}ab":,1 \n', max_size=40))
def test_braces_of_a_text_never_fail(text: str) -> None:
    if text.strip():
        prompt = read_prompt("p", text.encode(), is_yaml=False)
        filled = prompt.format(**dict.fromkeys(prompt.input_variables, "x"))
        assert filled.count("a") + filled.count("b") <= text.count("a") + text.count("b")
