"""Show how two strategies answer a problem: in two columns on a terminal (`LiveView`), on lines in a pipe (`PlainView`)."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from sagechain.chains import Reasoning
from sagechain.command import print_text
from sagechain.prompts import visible, visible_line

DIRECT = "direct"


class Display:
    """One problem on the screen."""

    def token(self, strategy: str, text: str) -> None:
        """Add a token to a strategy's answer."""

    def end(self, strategy: str, reasoning: Reasoning, is_correct: bool) -> None:
        """Show a strategy's whole answer."""

    def callback(self, strategy: str) -> BaseCallbackHandler:
        """A LangChain callback that passes on the tokens of the runs tagged with the strategy."""
        return _TokenCallback(strategy, lambda text: self.token(strategy, text))


class View(Protocol):
    """Where the problems of one task after another are shown."""

    def begin(self, task: str) -> None:
        """Show a task's heading."""

    def problem(self, question: str, correct_answer: str) -> AbstractContextManager[Display]:
        """Show one problem while it is solved."""


class PlainView:
    """Lines; the chain of thought grows token by token."""

    def begin(self, task: str) -> None:
        """Print a heading."""
        print(f"{task}", flush=True)

    @contextmanager
    def problem(self, question: str, correct_answer: str) -> Iterator[Display]:
        """Print the question."""
        print_text(f"  Q: {question}  (truth: {correct_answer})")
        yield _PlainDisplay()


class LiveView:
    """Two columns that grow."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def begin(self, task: str) -> None:
        """Print a heading."""
        self._console.rule(Text(task, "bold"), align="left")

    @contextmanager
    def problem(self, question: str, correct_answer: str) -> Iterator[Display]:
        """Show the question above both columns. They stay on the screen when the problem is solved."""
        display = _LiveDisplay(question, correct_answer)
        with Live(get_renderable=display.panel, console=self._console, refresh_per_second=12):
            yield display


class _PlainDisplay(Display):
    def __init__(self) -> None:
        self._has_tokens = False

    def token(self, strategy: str, text: str) -> None:
        text = text if self._has_tokens else f"  chain of thought: {text.lstrip()}"
        self._has_tokens = True
        print_text(text.replace("\n", " "), end="")

    def end(self, strategy: str, reasoning: Reasoning, is_correct: bool) -> None:
        verdict = f"[{reasoning.answer}: {'right' if is_correct else 'wrong'}]"
        if strategy != DIRECT and self._has_tokens:
            print_text(f"  {verdict}")
        else:
            name = "direct" if strategy == DIRECT else "chain of thought"
            print_text(f"  {name}: {' '.join(reasoning.text.split())}  {verdict}")


class _LiveDisplay(Display):
    def __init__(self, question: str, correct_answer: str) -> None:
        self._title = f"{question}  (truth: {correct_answer})"
        self._verdicts: dict[str, bool] = {}
        self._texts: dict[str, str] = {}

    def token(self, strategy: str, text: str) -> None:
        self._texts[strategy] = self._texts.get(strategy, "") + text

    def end(self, strategy: str, reasoning: Reasoning, is_correct: bool) -> None:
        self._texts[strategy], self._verdicts[strategy] = reasoning.text, is_correct

    def panel(self) -> Panel:
        """Both columns as they are now."""
        columns = Table.grid(padding=(0, 2), expand=True)
        strategies = [DIRECT, *(strategy for strategy in self._texts if strategy != DIRECT)]
        for strategy in strategies:
            columns.add_column(ratio=1 if strategy == DIRECT else 2)
        columns.add_row(*(self._column(strategy) for strategy in strategies))
        return Panel(columns, title=Text(visible_line(self._title)), title_align="left")

    def _column(self, strategy: str) -> Text:
        column = Text(visible(self._texts.get(strategy, "…").strip()))
        if strategy in self._verdicts:
            is_correct = self._verdicts[strategy]
            column.append("  right" if is_correct else "  wrong", "green" if is_correct else "red")
        return column


class _TokenCallback(BaseCallbackHandler):
    """Passes on the tokens of the runs that have one tag."""

    raise_error = True

    def __init__(self, tag: str, on_token: Callable[[str], None]) -> None:
        self._tag, self._on_token = tag, on_token
        self._runs = set[UUID]()

    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, tags: Any = None, **kwargs: Any
    ) -> None:
        """Note the run if it has the tag: LangChain passes no tags with a token."""
        if self._tag in (tags or ()):
            self._runs.add(run_id)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Pass the token on."""
        if run_id in self._runs and token:
            self._on_token(token)


def print_table(strategies: Mapping[str, str], correct: Mapping[str, Counter[str]], problems: int) -> None:
    """Print how many problems each strategy solved, for each task and in all.

    Args:
        strategies: strategy → heading of its column.
        correct: task → strategy → number of correct answers.
        problems: number of problems a task.
    """
    table = Table("right", *strategies.values(), title=None)
    for task, counts in correct.items():
        table.add_row(task, *(f"{counts[strategy]} of {problems}" for strategy in strategies))
    if len(correct) > 1:
        totals = sum(correct.values(), Counter[str]())
        table.add_row("all", *(f"{totals[strategy]} of {problems * len(correct)}" for strategy in strategies))
    Console(highlight=False).print(table)
