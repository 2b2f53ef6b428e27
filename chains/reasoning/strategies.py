"""The strategies: which prompts are sent, in which order, and where the answer is found.

A strategy is a generator that yields prompts, receives their answers, and returns its conclusion. So one definition serves
sync and async chains (`chain.py` runs it).

Sources: direct and few-shot prompting as the baselines, and few-shot chain of thought, in arXiv 2201.11903; zero-shot
chain of thought in arXiv 2205.11916.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

from sagechain.prompts import Exemplar, Task

from .answers import before_next_question, extract_answer
from .prompting import Answer, Prompt

THE_ANSWER_IS = "The answer is"
STEP_BY_STEP = "Let's think step by step."
MAX_ANSWER_TOKENS = 32  # for an answer without reasoning
MAX_REASONING_TOKENS = 256  # for an answer with its steps


@dataclass(frozen=True)
class Conclusion:
    """The answer that a strategy found (None: it found none), and the text with it."""

    answer: str | None
    text: str


Steps = Generator[list[Prompt], list[Answer], Conclusion]
Strategy = Callable[[Task, str], Steps]


def direct(task: Task, question: str) -> Steps:
    """Request the answer without steps."""
    [answer] = yield [Prompt(question, answer_start=THE_ANSWER_IS, max_new_tokens=MAX_ANSWER_TOKENS)]
    return _conclusion(task, answer, THE_ANSWER_IS)


def few_shot(task: Task, question: str) -> Steps:
    """Show other questions with their answers, without steps."""
    examples = tuple((each.question, f"{THE_ANSWER_IS} {each.answer}.") for each in task.exemplars)
    [answer] = yield [Prompt(question, examples, max_new_tokens=MAX_ANSWER_TOKENS)]
    return _conclusion(task, answer)


def zero_shot_cot(task: Task, question: str) -> Steps:
    """Request the steps first, then the answer with the steps before it."""
    [reasoning] = yield [Prompt(question, answer_start=STEP_BY_STEP, max_new_tokens=MAX_REASONING_TOKENS)]
    steps = before_next_question(reasoning.text).strip()
    start = f"{STEP_BY_STEP} {steps}\n{task.answer_cue}"
    [answer] = yield [Prompt(question, answer_start=start, max_new_tokens=MAX_ANSWER_TOKENS)]
    sentence = f"{task.answer_cue} {before_next_question(answer.text).strip()}"
    return Conclusion(extract_answer(sentence, task.answer_kind), f"{steps}\n{sentence}")


def few_shot_cot(task: Task, question: str) -> Steps:
    """Show other questions with the steps to their answers."""
    examples = tuple((each.question, _worked_answer(each)) for each in task.exemplars)
    [answer] = yield [Prompt(question, examples, max_new_tokens=MAX_REASONING_TOKENS)]
    return _conclusion(task, answer)


StrategyName = Literal["direct", "few-shot", "zero-shot-cot", "few-shot-cot"]
STRATEGIES: dict[StrategyName, Strategy] = {
    "direct": direct,
    "few-shot": few_shot,
    "zero-shot-cot": zero_shot_cot,
    "few-shot-cot": few_shot_cot,
}


def _worked_answer(exemplar: Exemplar) -> str:
    return f"{exemplar.steps} {THE_ANSWER_IS} {exemplar.answer}."


def _conclusion(task: Task, answer: Answer, answer_start: str = "") -> Conclusion:
    text = before_next_question(answer.text).strip()
    if answer_start and not text.startswith(answer_start):
        text = f"{answer_start} {text}"
    return Conclusion(extract_answer(text, task.answer_kind, announced=answer.is_truncated), text)
