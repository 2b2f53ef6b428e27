"""The strategies: what is asked, in which order, and where the answer is found.

A strategy is a generator. It yields questions, is sent their answers, and returns what they come to; so one text of it
serves sync and async chains alike (`chain.py` runs it).

Sources: direct and few-shot prompting as the baselines, and few-shot chain of thought, in arXiv 2201.11903; zero-shot
chain of thought in arXiv 2205.11916.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

from sagechain.prompts import Exemplar, Task

from .answers import before_next_question, extract_answer
from .prompting import Answer, Ask

THE_ANSWER_IS = "The answer is"
STEP_BY_STEP = "Let's think step by step."
SHORT = 32  # tokens: an answer without reasoning
LONG = 256  # tokens: an answer with its steps


@dataclass(frozen=True)
class Outcome:
    """What a strategy came to."""

    answer: str | None
    text: str


Strategy = Callable[[Task, str], Generator[list[Ask], list[Answer], Outcome]]


def direct(task: Task, question: str) -> Generator[list[Ask], list[Answer], Outcome]:
    """Ask for the answer at once."""
    [answer] = yield [Ask(question, begun=THE_ANSWER_IS, max_new_tokens=SHORT)]
    return _read(task, answer, THE_ANSWER_IS)


def few_shot(task: Task, question: str) -> Generator[list[Ask], list[Answer], Outcome]:
    """Show answers to other questions, without their steps, then ask."""
    examples = tuple((each.question, f"{THE_ANSWER_IS} {each.answer}.") for each in task.exemplars)
    [answer] = yield [Ask(question, examples, max_new_tokens=SHORT)]
    return _read(task, answer)


def zero_shot_cot(task: Task, question: str) -> Generator[list[Ask], list[Answer], Outcome]:
    """Ask for the steps, then, with these before its eyes, for the answer."""
    [steps] = yield [Ask(question, begun=STEP_BY_STEP, max_new_tokens=LONG)]
    thought = before_next_question(steps.text).strip()
    [answer] = yield [Ask(question, begun=f"{STEP_BY_STEP} {thought}\n{task.answer_cue}", max_new_tokens=SHORT)]
    said = f"{task.answer_cue} {before_next_question(answer.text).strip()}"
    return Outcome(extract_answer(said, task.answer_kind), f"{thought}\n{said}")


def few_shot_cot(task: Task, question: str) -> Generator[list[Ask], list[Answer], Outcome]:
    """Show other questions with the steps to their answers, then ask."""
    examples = tuple((each.question, _worked(each)) for each in task.exemplars)
    [answer] = yield [Ask(question, examples, max_new_tokens=LONG)]
    return _read(task, answer)


STRATEGIES: dict[str, Strategy] = {
    "direct": direct,
    "few-shot": few_shot,
    "zero-shot-cot": zero_shot_cot,
    "few-shot-cot": few_shot_cot,
}


def _worked(exemplar: Exemplar) -> str:
    return f"{exemplar.steps} {THE_ANSWER_IS} {exemplar.answer}."


def _read(task: Task, answer: Answer, begun: str = "") -> Outcome:
    text = before_next_question(answer.text).strip()
    said = text if not begun or text.startswith(begun) else f"{begun} {text}"
    return Outcome(extract_answer(said, task.answer_kind, announced=not answer.whole), said)
