"""`sagechain complete` as a process: only the completion on standard output, streamed, and cut where it should end."""

import json
from pathlib import Path

import pytest
from sagechain.llms import HuggingFaceLLM, load_llm
from sagechain.local_aws import LocalRuntime

from tests.apps.test_cli import run
from tests.conftest import FALCON_URI
from tests.llms.conftest import gpt2, tiny

__all__ = ["gpt2", "tiny"]

PROMPT = "def add(a, b):\n"


def test_it_prints_the_completion_and_nothing_else(runtime: LocalRuntime) -> None:
    done = run("complete", "def add(a, b):", "-m", FALCON_URI, "-p", "max_new_tokens=9", "--until", "line")
    body = json.loads(runtime.requests[-1].body)
    assert (body["inputs"], body["parameters"]["stop"], body["stream"]) == ("def add(a, b):", ["\n"], True)
    expected = load_llm(FALCON_URI).invoke("def add(a, b):", max_new_tokens=9, stop=["\n"])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{expected}\n", "")


@pytest.mark.parametrize(
    ("prompt", "limit"),
    [pytest.param(PROMPT, 5, id="limit"), pytest.param(" fox" * 124, 500, id="context")],  # of 128 tokens
)
def test_a_checkpoint_completes_up_to_its_limit_or_context_and_a_note_warns(
    gpt2: Path, tiny: HuggingFaceLLM, prompt: str, limit: int
) -> None:
    done = run("complete", prompt, "-m", f"local:{gpt2}", "-p", f"max_new_tokens={limit}", "--until", "end")
    assert (done.returncode, done.stdout) == (0, tiny.invoke(prompt, max_new_tokens=limit) + "\n")
    assert done.stderr == (
        "(The answer was truncated: it reached the token limit, or the end of the model's context. "
        "-p max_new_tokens=… raises the limit.)\n"
    )


def test_standard_input_is_sent_to_the_model_unchanged(runtime: LocalRuntime) -> None:
    code_text = "\n  # blanks and line ends mean something\n  def add(a, b):  \n\n"
    assert run("complete", "-m", FALCON_URI, "-p", "max_new_tokens=2", stdin=code_text).returncode == 0
    assert json.loads(runtime.requests[-1].body)["inputs"] == code_text
    assert run("complete", "# Python 3", "-m", FALCON_URI, "-p", "max_new_tokens=2", stdin=code_text).returncode == 0
    assert json.loads(runtime.requests[-1].body)["inputs"] == f"# Python 3\n{code_text}"


def test_the_best_of_several_candidates_is_printed(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    done = run("complete", PROMPT, "-m", FALCON_URI, "--candidates", "3", "-p", "max_new_tokens=3", "-p", "seed=4")
    sent = [json.loads(request.body)["parameters"]["seed"] for request in runtime.requests[before:]]
    assert (done.returncode, sent) == (0, [4, 5, 6])
    assert "of 3 candidates parse as Python.)" in done.stderr


def test_help_has_examples() -> None:
    shown = " ".join(run("complete", "--help").stdout.split())
    assert 'Example: sagechain complete "def mean(numbers):" -m local:codeparrot' in shown
    assert "sagechain complete < beginning.py" in shown
