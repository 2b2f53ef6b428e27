"""Completion of code by a checkpoint, the embedded model and a Falcon wire: the chain, and the script with its programs."""

import ast
import json
from pathlib import Path

import pytest
from langchain_core.language_models.fake import FakeListLLM
from sagechain.agents.codeparrot_completion import chain
from sagechain.llms import HuggingFaceLLM, LlamaCppLLM, load_llm
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import read_yaml

from tests.agents.scripts import run
from tests.conftest import FALCON_URI
from tests.llms.conftest import gpt2, tiny

__all__ = ["gpt2", "tiny"]

BEGINNINGS = read_yaml("sagechain.agents", "codeparrot_completion.yaml")["prompts"]
PROMPT = "def add(a, b):\n"


def test_the_four_beginnings_are_code_that_ends_with_a_comment() -> None:
    assert [each["title"] for each in BEGINNINGS] == [
        "a scatter plot",
        "a data frame from arrays",
        "a mean by group",
        "a random forest",
    ]
    for each in BEGINNINGS:
        ast.parse(each["text"])
        assert each["text"].splitlines()[-1].startswith("# ")
        assert each["text"].endswith("\n")


def test_the_chain_ends_with_the_block_and_gives_the_best_of_several() -> None:
    said = ["    return a +\n\nprint(1)", "    return a + b\n\nprint(1)"]
    assert chain(FakeListLLM(responses=said)).invoke(PROMPT) == "    return a +\n"
    assert chain(FakeListLLM(responses=said), candidates=2).invoke(PROMPT) == "    return a + b\n"
    assert chain(FakeListLLM(responses=said), until="line").invoke(PROMPT) == "    return a +"


def test_the_script_completes_by_a_checkpoint(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    done = run("codeparrot_completion", PROMPT, "-m", f"local:{gpt2}", "-p", "max_new_tokens=6", "--until", "end")
    assert done.returncode == 0
    assert done.stdout == tiny.invoke(PROMPT, max_new_tokens=6) + "\n"
    assert done.stderr.startswith(PROMPT)
    assert "cut at the token limit" in done.stderr


def test_the_script_shows_its_own_programs_over_the_falcon_wire(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    done = run("codeparrot_completion", "-m", FALCON_URI, "-p", "max_new_tokens=2")
    assert done.returncode == 0
    sent = [json.loads(request.body) for request in runtime.requests[before:]]
    assert [body["inputs"] for body in sent] == [each["text"] for each in BEGINNINGS]
    for each in BEGINNINGS:
        assert f"— {each['title']}\n{each['text']}" in done.stderr
    assert "embedded model" not in done.stderr


def test_the_script_shows_the_best_of_several_by_the_embedded_model(smollm2: Path, llm: LlamaCppLLM) -> None:
    options = {"max_new_tokens": 12, "seed": 1}
    done = run("codeparrot_completion", PROMPT, "-n", "3", "-p", "max_new_tokens=12", "-p", "seed=1")
    assert done.returncode == 0
    assert done.stdout == chain(load_llm(f"local:{llm.path}", **options), candidates=3).invoke(PROMPT) + "\n"
    assert "of 3 candidates parse as Python.)" in done.stderr
    assert "-m local:FOLDER" in done.stderr


def test_the_script_has_help_with_an_example() -> None:
    done = run("codeparrot_completion", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: python -m sagechain.agents.codeparrot_completion" in done.stdout
    assert "Example: python -m sagechain.agents.codeparrot_completion" in " ".join(done.stdout.split())
    for option in ("--model", "--accept-eula", "-p NAME=VALUE", "--candidates", "--until"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([PROMPT, "--until", "blok"], 2, "codeparrot_completion: until: 'blok' is unknown. Did you mean 'block'?"),
        ([PROMPT, "-n", "0"], 2, "'--candidates': Input should be greater than or equal to 1"),
        ([""], 2, "codeparrot_completion: prompt: '' is empty"),
        ([PROMPT, "-m", "local:/no/folder"], 2, "there is no file '/no/folder'"),
        ([PROMPT, "-n", "2", "-p", "temperature=0"], 2, "candidates: without sampling all 2 are the same"),
        ([PROMPT, "-m", "sagemaker:nowhere?family=falcon"], 1, "Endpoint nowhere of account"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    runtime: LocalRuntime, arguments: list[str], code: int, words: str
) -> None:
    done = run("codeparrot_completion", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
