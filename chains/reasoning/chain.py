"""Run a strategy over a model: `chain_of_thought`."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from sagechain.prompts import load_task, unknown_name

from .prompting import Answer, asend, send
from .result import Reasoning
from .strategies import STRATEGIES, Conclusion, Steps, StrategyName

Question = dict[str, str]
TaskName = Literal["arithmetic", "last-letters", "reverse-list", "coin-flip"]
"""The names of `sagechain.prompts.list_tasks()`, for type checkers."""


def list_strategies() -> list[StrategyName]:
    """The names that `chain_of_thought` knows."""
    return list(STRATEGIES)


def chain_of_thought(
    model: BaseLanguageModel[Any], *, strategy: StrategyName, task: TaskName = "arithmetic"
) -> Runnable[Question, Reasoning]:
    """A Runnable from `{"question": …}` to a `Reasoning`.

    An LLM gets plain `Q: … A: …` text, a chat model gets messages.

    Args:
        model: any LangChain LLM or chat model.
        strategy: `direct`, `few-shot`, `zero-shot-cot` or `few-shot-cot`.
        task: names the exemplars and the kind of answer: `sagechain.prompts.list_tasks()`.

    Raises:
        ValueError: an unknown strategy or task; at invocation, a question that is missing or empty.
    """
    if strategy not in STRATEGIES:
        raise unknown_name("strategy", strategy, STRATEGIES)
    if not isinstance(model, BaseLLM | BaseChatModel):
        raise ValueError(f"model: give a chat model or an LLM, not {type(model).__name__}; set parameters on the model")
    steps, exemplars = STRATEGIES[strategy], load_task(task)

    def solve(inputs: Question, config: RunnableConfig, **options: Any) -> Reasoning:
        _refuse(options)
        run = _Run(steps(exemplars, _question(inputs)))
        while run.prompts:
            run.advance(send(model, run.prompts, config))
        return run.reasoning()

    async def asolve(inputs: Question, config: RunnableConfig, **options: Any) -> Reasoning:
        _refuse(options)
        run = _Run(steps(exemplars, _question(inputs)))
        while run.prompts:
            run.advance(await asend(model, run.prompts, config))
        return run.reasoning()

    return RunnableLambda(solve, afunc=asolve, name=f"chain_of_thought:{strategy}")


class _Run:
    """One question in a strategy: the prompts to send next, those sent so far, and their cost."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._sent: list[str] = []
        self._usage: Counter[str] = Counter()
        self._conclusion: Conclusion | None = None
        self.prompts = next(steps)

    def advance(self, answers: list[Answer]) -> None:
        """Pass the answers to the strategy and get its next prompts, none at its end."""
        self._sent += [prompt.text for prompt in self.prompts]
        self._usage["calls"] += len(self.prompts)
        for answer in answers:
            self._usage.update(answer.usage)
        try:
            self.prompts = self._steps.send(answers)
        except StopIteration as end:
            self._conclusion, self.prompts = end.value, []

    def reasoning(self) -> Reasoning:
        """The result, after the strategy has ended."""
        assert self._conclusion is not None
        answer, text = self._conclusion.answer, self._conclusion.text
        return Reasoning(
            answer=answer,
            text=text,
            steps=[line.strip() for line in text.splitlines() if line.strip()],
            votes={} if answer is None else {answer: 1},
            prompts=self._sent,
            usage=dict(self._usage),
        )


def _refuse(options: Mapping[str, Any]) -> None:
    for name in options:
        where = "chain_of_thought" if name in ("strategy", "task") else "the model"
        raise ValueError(f"{name}: it is not given with a question; give it to {where}")


def _question(inputs: Question) -> str:
    question = inputs.get("question") if isinstance(inputs, dict) else None
    if not isinstance(question, str) or not question.strip():
        raise ValueError('question: give {"question": "…"} with some text')
    return question.strip()
