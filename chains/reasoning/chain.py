"""Run a strategy over a model: `chain_of_thought`."""

from collections import Counter
from collections.abc import Generator
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from sagechain.prompts import load_task, unknown_name

from .prompting import Answer, Ask, aask, ask
from .result import Reasoning
from .strategies import STRATEGIES, Outcome

Question = dict[str, str]


def list_strategies() -> list[str]:
    """The names that `chain_of_thought` knows."""
    return list(STRATEGIES)


def chain_of_thought(
    model: BaseLanguageModel[Any], *, strategy: str, task: str = "arithmetic"
) -> Runnable[Question, Reasoning]:
    """A Runnable from `{"question": …}` to a `Reasoning`.

    Over an LLM the questions go out as plain `Q: … A: …` text, over a chat model as messages.

    Args:
        model: any LangChain LLM or chat model.
        strategy: `direct`, `few-shot`, `zero-shot-cot` or `few-shot-cot`.
        task: whose exemplars are shown, and how an answer is read: `sagechain.prompts.list_tasks()`.

    Raises:
        ValueError: an unknown strategy or task; at the call, a question that is missing or empty.
    """
    if strategy not in STRATEGIES:
        raise unknown_name("strategy", strategy, STRATEGIES)
    if not isinstance(model, BaseLLM | BaseChatModel):
        raise ValueError(f"model: give a chat model or an LLM, not {type(model).__name__}; set parameters on the model")
    chosen, about = STRATEGIES[strategy], load_task(task)

    def solve(inputs: Question, config: RunnableConfig) -> Reasoning:
        run = _Run(chosen(about, _question(inputs)))
        while run.asks:
            run.take(ask(model, run.asks, config))
        return run.reasoning()

    async def asolve(inputs: Question, config: RunnableConfig) -> Reasoning:
        run = _Run(chosen(about, _question(inputs)))
        while run.asks:
            run.take(await aask(model, run.asks, config))
        return run.reasoning()

    return RunnableLambda(solve, afunc=asolve, name=f"chain_of_thought:{strategy}")


class _Run:
    """One question on its way through a strategy, with what it costs."""

    def __init__(self, steps: Generator[list[Ask], list[Answer], Outcome]) -> None:
        self._steps = steps
        self._prompts: list[str] = []
        self._usage: Counter[str] = Counter()
        self._outcome: Outcome | None = None
        self.asks = next(steps)

    def take(self, answers: list[Answer]) -> None:
        """Hand the answers over, and see what is asked next."""
        self._prompts += [each.text for each in self.asks]
        self._usage["calls"] += len(self.asks)
        for answer in answers:
            self._usage.update(answer.usage)
        try:
            self.asks = self._steps.send(answers)
        except StopIteration as end:
            self._outcome, self.asks = end.value, []

    def reasoning(self) -> Reasoning:
        """All of it, once nothing more is asked."""
        assert self._outcome is not None
        answer, text = self._outcome.answer, self._outcome.text
        return Reasoning(
            answer=answer,
            text=text,
            steps=[line.strip() for line in text.splitlines() if line.strip()],
            votes={} if answer is None else {answer: 1},
            prompts=self._prompts,
            usage=dict(self._usage),
        )


def _question(inputs: Question) -> str:
    question = inputs.get("question") if isinstance(inputs, dict) else None
    if not isinstance(question, str) or not question.strip():
        raise ValueError('question: give {"question": "…"} with some text')
    return question.strip()
