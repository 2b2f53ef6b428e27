"""Chains of thought: the text that is sent, how its answer is read, and that it helps a real small model."""

import asyncio
import json
from typing import Any, get_args

import pytest
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from sagechain.chains import (
    Reasoning,
    StrategyName,
    TaskName,
    chain_of_thought,
    conversation,
    list_strategies,
    same_answer,
)
from sagechain.llms import LlamaCppLLM, PromptedChatModel, load_llm
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import list_tasks, load_task

from tests.conftest import FALCON_URI

QUESTION = "A pen costs 3 dollars. Max buys 5 pens. How many dollars does he pay?"
STEPS = "There are 5 pens. 5 * 3 = 15 dollars. The answer is 15."


def solved(strategy: StrategyName, *responses: str, task: TaskName = "arithmetic") -> Reasoning:
    chain = chain_of_thought(FakeListLLM(responses=list(responses)), strategy=strategy, task=task)
    return chain.invoke({"question": QUESTION})


def test_direct_requests_only_the_answer() -> None:
    got = solved("direct", " 15.\n\nQ: Another?")
    assert got.prompts == [f"Q: {QUESTION}\nA: The answer is"]
    assert (got.answer, got.text, got.votes) == ("15", "The answer is 15.", {"15": 1})


def test_few_shot_shows_answers_without_steps() -> None:
    got = solved("few-shot", " The answer is 15.")
    exemplars = load_task("arithmetic").exemplars
    shown = "".join(f"Q: {each.question}\nA: The answer is {each.answer}.\n\n" for each in exemplars)
    assert got.prompts == [f"{shown}Q: {QUESTION}\nA:"]
    assert got.answer == "15"


def test_few_shot_cot_shows_answers_with_their_steps() -> None:
    got = solved("few-shot-cot", f" {STEPS}\nQ: Another?\nA: The answer is 9.")
    exemplars = load_task("arithmetic").exemplars
    shown = "".join(f"Q: {each.question}\nA: {each.steps} The answer is {each.answer}.\n\n" for each in exemplars)
    assert got.prompts == [f"{shown}Q: {QUESTION}\nA:"]
    assert (got.answer, got.text, got.steps, got.usage) == ("15", STEPS, [STEPS], {"calls": 1})


def test_zero_shot_cot_requests_steps_then_the_answer() -> None:
    got = solved("zero-shot-cot", " 5 pens cost 3 each.\nThat makes 15.\nQ: Another?", " 15.")
    first_prompt = f"Q: {QUESTION}\nA: Let's think step by step."
    assert got.prompts == [
        first_prompt,
        f"{first_prompt} 5 pens cost 3 each.\nThat makes 15.\nTherefore, the answer (a number) is",
    ]
    assert (got.answer, got.usage) == ("15", {"calls": 2})
    assert got.steps == ["5 pens cost 3 each.", "That makes 15.", "Therefore, the answer (a number) is 15."]


@pytest.mark.parametrize("strategy", ["direct", "few-shot", "zero-shot-cot", "few-shot-cot"])
@pytest.mark.parametrize("task", list_tasks())
def test_without_an_answer_the_result_is_none(strategy: StrategyName, task: TaskName) -> None:
    answer = "I can't say." if task in ("arithmetic", "coin-flip") else " "
    got = solved(strategy, answer, task=task)
    assert (got.answer, got.votes) == (None, {})


@pytest.mark.parametrize("strategy", list_strategies())
def test_a_chat_model_gets_messages_and_sync_and_async_agree(strategy: StrategyName) -> None:
    def chain() -> Any:
        return chain_of_thought(FakeListChatModel(responses=[STEPS, "15"]), strategy=strategy)

    got = chain().invoke({"question": QUESTION})
    assert got.answer == "15"
    assert asyncio.run(chain().ainvoke({"question": QUESTION})) == got


@pytest.mark.parametrize("strategy", list_strategies())
def test_every_strategy_runs_over_the_falcon_wire_sync_and_async(runtime: LocalRuntime, strategy: StrategyName) -> None:
    chain = chain_of_thought(load_llm(FALCON_URI, max_new_tokens=8), strategy=strategy)
    before = len(runtime.requests)
    got = chain.invoke({"question": QUESTION})
    again = asyncio.run(chain.ainvoke({"question": QUESTION}))
    sent = [json.loads(request.body) for request in runtime.requests[before:]]
    assert [body["inputs"] for body in sent] == got.prompts + again.prompts
    assert got.prompts[0] == again.prompts[0]
    assert {(tuple(body["parameters"]["stop"]), body["parameters"]["max_new_tokens"]) for body in sent} == {
        (("\nQ:",), 8)
    }


def test_a_chat_over_a_text_model_gets_messages(llm: LlamaCppLLM) -> None:
    chain = chain_of_thought(PromptedChatModel(llm=llm), strategy="few-shot-cot")
    got = chain.invoke({"question": QUESTION})
    assert got.usage["calls"] == 1
    assert got.usage["input_tokens"] > 400


def test_chain_of_thought_helps_a_real_small_model(llm: LlamaCppLLM) -> None:
    problems = [
        ("Tom has 14 marbles. He wins 8 more. How many marbles does he have now?", "22"),
        ("Ben has 3 bags with 7 apples in each bag. How many apples does he have?", "21"),
        (QUESTION, "15"),
        ("Rita has 7 red balls and 9 blue balls. How many balls does she have in all?", "16"),
        ("Paul walks 4 miles every day. How many miles does he walk in 7 days?", "28"),
        ("Sara buys 4 boxes of eggs with 6 eggs in each box. How many eggs does she have?", "24"),
    ]

    def right(strategy: StrategyName) -> int:
        found = chain_of_thought(llm, strategy=strategy).batch([{"question": question} for question, _ in problems])
        return sum(same_answer(r.answer, truth, "number") for r, (_, truth) in zip(found, problems, strict=True))

    assert right("few-shot-cot") > right("direct")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "few-shot-ct"}, "Did you mean 'few-shot-cot'"),
        ({"strategy": "direct", "task": "arithmetics"}, "Did you mean 'arithmetic'"),
    ],
)
def test_an_unknown_strategy_or_task_is_a_value_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chain_of_thought(FakeListLLM(responses=["x"]), **options)


def test_a_bound_model_is_a_value_error_at_construction() -> None:
    bound: Any = FakeListLLM(responses=["x"]).bind(stop=["y"])
    for make in (conversation, lambda model: chain_of_thought(model, strategy="direct")):
        with pytest.raises(ValueError, match="model: give a chat model or an LLM, not RunnableBinding"):
            make(bound)


def test_a_truncated_answer_is_not_guessed(llm: LlamaCppLLM) -> None:
    cut = load_llm(f"local:{llm.path}", max_new_tokens=9)
    got = chain_of_thought(cut, strategy="few-shot-cot").invoke({"question": QUESTION})
    assert (got.answer, got.usage["cut"]) == (None, 1)


@pytest.mark.parametrize("inputs", [{}, {"question": ""}, {"question": "  "}, {"question": 5}, "text"])
def test_a_missing_question_is_a_value_error(inputs: Any) -> None:
    with pytest.raises(ValueError, match="question: give"):
        chain_of_thought(FakeListLLM(responses=["x"]), strategy="direct").invoke(inputs)


def test_type_checkers_know_exactly_the_strategies_and_tasks_that_exist() -> None:
    assert list(get_args(StrategyName)) == list_strategies()
    assert sorted(get_args(TaskName)) == sorted(list_tasks())
