"""Code completion by a checkpoint, the embedded model and a Falcon wire: the chain, and the script with its programs."""

import ast
import json
from pathlib import Path

from langchain_core.language_models.fake import FakeListLLM
from sagechain.agents.codeparrot_completion import chain
from sagechain.llms import HuggingFaceLLM, LlamaCppLLM, load_llm
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import read_yaml

from tests.agents.scripts import run
from tests.conftest import FALCON_URI
from tests.llms.conftest import gpt2, tiny

__all__ = ["gpt2", "tiny"]

PROGRAMS = read_yaml("sagechain.agents", "codeparrot_completion.yaml")["prompts"]
PROMPT = "def add(a, b):\n"


def test_the_four_programs_end_with_a_comment() -> None:
    assert [each["title"] for each in PROGRAMS] == [
        "a scatter plot",
        "a data frame from arrays",
        "a mean by group",
        "a random forest",
    ]
    for each in PROGRAMS:
        ast.parse(each["text"])
        assert each["text"].splitlines()[-1].startswith("# ")
        assert each["text"].endswith("\n")


def test_the_chain_ends_with_the_block_and_returns_the_best_candidate() -> None:
    answers = ["    return a +\n\nprint(1)", "    return a + b\n\nprint(1)"]
    assert chain(FakeListLLM(responses=answers)).invoke(PROMPT) == "    return a +\n"
    assert chain(FakeListLLM(responses=answers), candidates=2).invoke(PROMPT) == "    return a + b\n"
    assert chain(FakeListLLM(responses=answers), until="line").invoke(PROMPT) == "    return a +"


def test_the_script_completes_by_a_checkpoint(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    done = run("codeparrot_completion", PROMPT, "-m", f"local:{gpt2}", "-p", "max_new_tokens=6", "--until", "end")
    assert done.returncode == 0
    assert done.stdout == tiny.invoke(PROMPT, max_new_tokens=6) + "\n"
    assert done.stderr.startswith(PROMPT)
    assert "it reached the token limit" in done.stderr


def test_the_script_completes_its_own_programs_over_the_falcon_wire(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    done = run("codeparrot_completion", "-m", FALCON_URI, "-p", "max_new_tokens=2")
    assert done.returncode == 0
    sent = [json.loads(request.body) for request in runtime.requests[before:]]
    assert [body["inputs"] for body in sent] == [each["text"] for each in PROGRAMS]
    for each in PROGRAMS:
        assert f"— {each['title']}\n{each['text']}" in done.stderr
    assert "embedded model" not in done.stderr


def test_the_script_shows_the_best_candidate_of_the_embedded_model(smollm2: Path, llm: LlamaCppLLM) -> None:
    done = run("codeparrot_completion", PROMPT, "-n", "3", "-p", "max_new_tokens=12", "-p", "seed=1")
    assert done.returncode == 0
    assert (
        done.stdout
        == chain(load_llm(f"local:{llm.path}", max_new_tokens=12, seed=1), candidates=3).invoke(PROMPT) + "\n"
    )
    assert "of 3 candidates parse as Python.)" in done.stderr
    assert "-m local:FOLDER" in done.stderr
