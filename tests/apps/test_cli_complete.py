"""`sagechain complete` as a process: only the completion on standard output, streamed, and cut where it should end."""

import json
import signal
from pathlib import Path

import pytest
from sagechain.llms import HuggingFaceLLM, load_llm
from sagechain.local_aws import LocalRuntime

from tests.apps.test_cli import run, start
from tests.conftest import FALCON_URI
from tests.llms.conftest import gpt2, tiny
from tests.waiting import wait_until

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
        "(The answer was cut at the token limit, or where the model's context ends; up to there "
        "-p max_new_tokens=… gives it more room.)\n"
    )


def test_standard_input_goes_to_the_model_as_it_is(runtime: LocalRuntime) -> None:
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


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "give the start of some code"),
        ([PROMPT, "--until", "lin"], 2, "until: 'lin' is unknown. Did you mean 'line'?"),
        ([PROMPT, "--candidates", "0"], 2, "'--candidates': Input should be greater than or equal to 1"),
        ([PROMPT, "-p", "num_beams=2", "-m", FALCON_URI], 2, "num_beams: the tgi wire does not carry it"),
        ([PROMPT, "-m", "sagemaker:nowhere?family=falcon"], 1, "Endpoint nowhere of account"),
    ],
)
def test_a_mistake_is_one_line_on_standard_error_and_an_exit_code(
    runtime: LocalRuntime, arguments: list[str], code: int, words: str
) -> None:
    done = run("complete", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def test_help_has_examples() -> None:
    shown = " ".join(run("complete", "--help").stdout.split())
    assert 'Example: sagechain complete "def mean(numbers):" -m local:codeparrot' in shown
    assert "sagechain complete < beginning.py" in shown


@pytest.mark.parametrize("candidates", ["1", "3"])
def test_ctrl_c_ends_the_command_and_its_work_on_the_server(
    runtime: LocalRuntime, seconds_to_stop: float, candidates: str
) -> None:
    limits = ["-p", "max_new_tokens=1200", "-p", "temperature=2.0", "--until", "end"]
    process = start("complete", "Once upon a time", "-m", FALCON_URI, "--candidates", candidates, *limits)
    assert process.stdin is not None
    process.stdin.close()
    wait_until(lambda: runtime.generating == int(candidates), 60)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    wait_until(lambda: runtime.generating == 0, seconds_to_stop)
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
