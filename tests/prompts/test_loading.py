"""The prompt library: what is there, and that it fits together."""

import pytest
from sagechain.chains import extract_answer, same_answer
from sagechain.prompts import list_prompts, list_tasks, load_prompt, load_task

TASKS = ["arithmetic", "coin-flip", "last-letters", "reverse-list"]


def test_prompts_and_tasks_are_listed() -> None:
    assert list_prompts() == ["chatbot"]
    assert list_tasks() == TASKS


def test_a_prompt_is_a_langchain_template_that_says_where_it_comes_from() -> None:
    prompt = load_prompt("chatbot")
    assert prompt.format() == "You are a helpful assistant. You remember what the user says."
    assert prompt.metadata == {
        "description": "The system text of a conversation with a chatbot.",
        "source": "written for this project",
        "variables": [],
    }


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_eight_exemplars_whose_steps_lead_to_their_answer(name: str) -> None:
    task = load_task(name)
    assert len({exemplar.question for exemplar in task.exemplars}) == 8
    for exemplar in task.exemplars:
        shown = f"{exemplar.steps} The answer is {exemplar.answer}."
        assert same_answer(extract_answer(shown, task.answer_kind), exemplar.answer, task.answer_kind)


def test_the_exemplars_are_true() -> None:
    for exemplar in load_task("last-letters").exemplars:
        words = exemplar.question.split('"')[1].split()
        assert exemplar.answer == "".join(word[-1] for word in words)
    for exemplar in load_task("reverse-list").exemplars:
        items = exemplar.question.split(": ")[1].rstrip(".").split(", ")
        assert exemplar.answer == ", ".join(reversed(items))
    for exemplar in load_task("coin-flip").exemplars:
        flips = exemplar.question.count(" flips the coin")
        assert exemplar.answer == ("no" if flips % 2 else "yes")
    for exemplar in load_task("arithmetic").exemplars:
        # Every equation in the steps holds, and the last one gives the answer.
        equations = [part for part in exemplar.steps.replace(". ", "\n").splitlines() if "=" in part]
        results = []
        for equation in equations:
            left, right = equation.split("=")
            results.append(right.split()[0].rstrip("."))
            assert eval(left, {"__builtins__": {}}) == float(results[-1])
        assert results[-1] == exemplar.answer


def test_an_unknown_name_is_an_error_that_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"prompt: 'chatbt' is unknown\. Did you mean 'chatbot'\?"):
        load_prompt("chatbt")
    with pytest.raises(ValueError, match=r"task: 'algebra' is unknown\. Known: arithmetic, coin-flip"):
        load_task("algebra")
