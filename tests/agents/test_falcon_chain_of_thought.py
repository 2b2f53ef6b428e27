"""Direct answers beside chains of thought: the requests, the tokens as they arrive, and the count of correct answers."""

import io
import json
import re
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake import FakeListLLM
from rich.console import Console
from sagechain.agents.falcon_chain_of_thought import chain
from sagechain.agents.side_by_side import LiveView
from sagechain.agents.streaming_llm import StreamingLLM
from sagechain.chains import Reasoning, extract_answer, same_answer
from sagechain.llms import LlamaCppLLM, load_llm
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import list_tasks, load_task, read_yaml

from tests.agents.scripts import run
from tests.conftest import FALCON_URI, LLAMA_URI

QUESTION = {"question": "A pen costs 3 dollars. Max buys 5 pens. How many dollars does he pay?"}

PROBLEMS = read_yaml("sagechain.agents", "falcon_chain_of_thought.yaml")


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.tokens: list[str] = []

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)


@pytest.mark.parametrize("task", list_tasks())
def test_there_are_five_problems_a_task_and_none_is_an_exemplar(task: str) -> None:
    spec, problems = load_task(task), PROBLEMS[task]
    assert len({problem["question"] for problem in problems}) == 5
    assert not {problem["question"] for problem in problems} & {each.question for each in spec.exemplars}
    for problem in problems:
        stated = extract_answer(f"The answer is {problem['answer']}.", spec.answer_kind)
        assert same_answer(stated, problem["answer"], spec.answer_kind)


@pytest.mark.parametrize("problem", PROBLEMS["last-letters"], ids=lambda problem: problem["answer"])
def test_the_truth_of_last_letters_is_computed(problem: dict[str, str]) -> None:
    [name] = re.findall(r'"(.+)"', problem["question"])
    assert problem["answer"] == "".join(word[-1] for word in name.split())


@pytest.mark.parametrize("problem", PROBLEMS["reverse-list"], ids=lambda problem: problem["answer"])
def test_the_truth_of_reverse_list_is_computed(problem: dict[str, str]) -> None:
    items = problem["question"].partition(": ")[2].rstrip(".").split(", ")
    assert problem["answer"] == ", ".join(reversed(items))


@pytest.mark.parametrize("problem", PROBLEMS["coin-flip"], ids=lambda problem: problem["question"][21:40])
def test_the_truth_of_coin_flip_is_computed(problem: dict[str, str]) -> None:
    flips = len(re.findall(r"\w+ flips the coin", problem["question"]))
    assert problem["answer"] == ("no" if flips % 2 else "yes")


def test_over_the_falcon_wire_the_chain_of_thought_arrives_token_by_token(runtime: LocalRuntime) -> None:
    callback, before = Tokens(), len(runtime.requests)
    both = chain(load_llm(FALCON_URI, max_new_tokens=8))
    results = both.invoke(QUESTION, {"callbacks": [callback], "max_concurrency": 1})
    sent = {json.loads(request.body)["inputs"]: request for request in runtime.requests[before:]}
    assert sent.keys() == {*results["direct"].prompts, *results["few-shot-cot"].prompts}
    assert json.loads(sent[results["few-shot-cot"].prompts[0]].body)["stream"] is True
    assert json.loads(sent[results["direct"].prompts[0]].body)["stream"] is False
    assert len([token for token in callback.tokens if token]) > 5
    assert "".join(callback.tokens).strip() == results["few-shot-cot"].text
    assert results["few-shot-cot"].usage["cut"] == 1


def test_over_the_llama_2_wire_it_arrives_in_one_chunk(runtime: LocalRuntime) -> None:
    callback = Tokens()
    both = chain(load_llm(LLAMA_URI, accept_eula=True, max_new_tokens=4))
    results = both.invoke(QUESTION, {"callbacks": [callback], "max_concurrency": 1})
    assert len([token for token in callback.tokens if token]) == 1
    content = {each["content"] for request in runtime.requests[-2:] for each in json.loads(request.body)["inputs"][0]}
    assert content == {*results["direct"].prompts, *results["few-shot-cot"].prompts}


def test_a_streaming_llm_returns_the_same_answer(llm: LlamaCppLLM) -> None:
    short = llm.with_fields(max_new_tokens=6)
    streamed, whole = (model.generate(["Q: 1 + 1?\nA:"], ["\nQ:"]) for model in (StreamingLLM(llm=short), short))
    assert streamed.generations[0][0].text == whole.generations[0][0].text
    info = streamed.generations[0][0].generation_info
    assert info is not None
    assert (info["finish_reason"], info["output_tokens"]) == ("length", 6)


def test_any_other_llm_answers_by_both_strategies() -> None:
    results = chain(FakeListLLM(responses=["The answer is 15."])).invoke(QUESTION)
    assert {strategy: reasoning.answer for strategy, reasoning in results.items()} == {
        "direct": "15",
        "few-shot-cot": "15",
    }


def test_the_script_prints_lines_in_a_pipe_and_counts(runtime: LocalRuntime) -> None:
    done = run("falcon_chain_of_thought", "coin-flip", "-n", "1", "-m", FALCON_URI, "-p", "max_new_tokens=3")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "coin-flip"
    assert lines[1].endswith("(truth: yes)")
    assert lines[2].startswith("  chain of thought: ")
    assert lines[3].startswith("  direct: The answer is")
    counts = re.search(r"coin-flip │ (\d) of 1 │ (\d) of 1", done.stdout)
    assert counts is not None
    verdicts = [line.rstrip().endswith("right]") for line in (lines[3], lines[2])]
    assert [int(count) for count in counts.groups()] == verdicts


def test_the_script_runs_over_the_embedded_model_and_prints_totals(llm: LlamaCppLLM) -> None:
    uri = f"local:{llm.path}"
    done = run("falcon_chain_of_thought", "-n", "1", "-m", uri, "-p", "max_new_tokens=2")
    assert done.returncode == 0
    assert re.findall(r"^│ (\S+)", done.stdout, re.MULTILINE) == [*PROBLEMS, "all"]


def test_on_a_terminal_both_are_in_two_columns() -> None:
    console = Console(width=100, force_terminal=True, file=io.StringIO(), color_system=None)
    view = LiveView(console)
    reasoning = Reasoning(answer="15", text="5 * 3 = 15. The answer is 15.", steps=[], votes={}, prompts=[], usage={})
    with view.problem("How many?", "15") as display:
        display.token("few-shot-cot", " 5 * 3")
        display.end("few-shot-cot", reasoning, True)
        display.end("direct", reasoning.model_copy(update={"text": "The answer is 5."}), False)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert re.search(r"The answer is 5\. +wrong +5 \* 3 = 15\. The answer is 15\. +right", text)
    assert "How many?  (truth: 15)" in text
