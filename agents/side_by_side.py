"""Show two ways of answering as they go: two columns on a terminal (`LiveView`), lines in a pipe (`PlainView`)."""

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

DIRECT = "direct"


class Shown:
    """One problem on show."""

    def token(self, way: str, text: str) -> None:
        """A piece of an answer has come."""

    def end(self, way: str, found: Reasoning, is_right: bool) -> None:
        """An answer is there."""

    def tokens_of(self, way: str) -> BaseCallbackHandler:
        """A LangChain callback for the runs tagged with a way."""
        return _Tokens(way, lambda text: self.token(way, text))


class View(Protocol):
    """Where problems are shown."""

    def begin(self, task: str) -> None:
        """A task's problems come next."""

    def problem(self, question: str, truth: str) -> AbstractContextManager[Shown]:
        """Show one problem while it is solved."""


class PlainView:
    """Lines, the chain of thought as it comes."""

    def begin(self, task: str) -> None:
        """A heading."""
        print(f"{task}", flush=True)

    @contextmanager
    def problem(self, question: str, truth: str) -> Iterator[Shown]:
        """The question, then the answers."""
        print(f"  Q: {question}  (truth: {truth})", flush=True)
        yield _PlainShown()


class LiveView:
    """Two columns that grow."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def begin(self, task: str) -> None:
        """A heading."""
        self._console.rule(Text(task, "bold"), align="left")

    @contextmanager
    def problem(self, question: str, truth: str) -> Iterator[Shown]:
        """The question above both columns, which stay when it is solved."""
        shown = _LiveShown(question, truth)
        with Live(get_renderable=shown.panel, console=self._console, refresh_per_second=12):
            yield shown


class _PlainShown(Shown):
    def __init__(self) -> None:
        self._begun = False

    def token(self, way: str, text: str) -> None:
        text = text if self._begun else f"  chain of thought: {text.lstrip()}"
        self._begun = True
        print(text.replace("\n", " "), end="", flush=True)

    def end(self, way: str, found: Reasoning, is_right: bool) -> None:
        verdict = f"[{found.answer}: {'right' if is_right else 'wrong'}]"
        if way == DIRECT:
            print(f"  direct: {_one_line(found.text)}  {verdict}", flush=True)
        elif self._begun:
            print(f"  {verdict}", flush=True)
        else:
            print(f"  chain of thought: {_one_line(found.text)}  {verdict}", flush=True)


class _LiveShown(Shown):
    def __init__(self, question: str, truth: str) -> None:
        self._title = f"{question}  (truth: {truth})"
        self._verdicts: dict[str, bool] = {}
        self._texts: dict[str, str] = {}

    def token(self, way: str, text: str) -> None:
        self._texts[way] = self._texts.get(way, "") + text

    def end(self, way: str, found: Reasoning, is_right: bool) -> None:
        self._texts[way], self._verdicts[way] = found.text, is_right

    def panel(self) -> Panel:
        """Both columns as they are now."""
        columns = Table.grid(padding=(0, 2), expand=True)
        ways = [DIRECT, *(way for way in self._texts if way != DIRECT)]
        for way in ways:
            columns.add_column(ratio=1 if way == DIRECT else 2)
        columns.add_row(*(self._column(way) for way in ways))
        return Panel(columns, title=Text(self._title), title_align="left")

    def _column(self, way: str) -> Text:
        said = Text(self._texts.get(way, "…").strip())
        if way in self._verdicts:
            said.append("  right" if self._verdicts[way] else "  wrong", "green" if self._verdicts[way] else "red")
        return said


class _Tokens(BaseCallbackHandler):
    """Passes the tokens of runs with one tag on."""

    raise_error = True

    def __init__(self, tag: str, listener: Callable[[str], None]) -> None:
        self._tag, self._listener = tag, listener
        self._runs = set[UUID]()

    def on_llm_start(
        self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, tags: Any = None, **kwargs: Any
    ) -> None:
        """Remember the runs that count."""
        if self._tag in (tags or ()):
            self._runs.add(run_id)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """A token of one of them."""
        if run_id in self._runs and token:
            self._listener(token)


def show_table(ways: Mapping[str, str], right: Mapping[str, Counter[str]], problems: int) -> None:
    """How many problems of each task each way got right, and of all."""
    table = Table("right", *ways.values(), title=None)
    for task, counts in right.items():
        table.add_row(task, *(f"{counts[way]} of {problems}" for way in ways))
    if len(right) > 1:
        totals = sum(right.values(), Counter[str]())
        table.add_row("all", *(f"{totals[way]} of {problems * len(right)}" for way in ways))
    Console(highlight=False).print(table)


def _one_line(text: str) -> str:
    return " ".join(text.split())
