"""What a person sees of long work, on standard error: a bar in a terminal, else a line now and then."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

LINES = 10  # how many lines a run leaves where there is no terminal
# GPT-2's vocabulary of 50,257 tokens on the validation split of Python's standard library (RUNS.md); more is better.
GPT2_BYTES_PER_TOKEN = 2.24


class ShowProgress(Protocol):
    """Told how far the work is."""

    def __call__(self, share: float, text: str) -> None: ...


def console() -> Console:
    """Standard error, as it is now."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress(what: str, *, is_shown: bool = True) -> Iterator[ShowProgress]:
    """A bar for one piece of work.

    Args:
        what: its name.
        is_shown: False for the ranks above 0, and where nobody looks.
    """
    screen = console()
    if not is_shown:
        yield lambda share, text: None
    elif screen.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
        with Progress(*columns, TextColumn("{task.fields[text]}"), TimeElapsedColumn(), console=screen) as bar:
            task = bar.add_task(what, total=1.0, text="")
            yield lambda share, text: bar.update(task, completed=share, text=text)
    else:
        yield _Lines(screen, what)


class _Lines:
    def __init__(self, screen: Console, what: str) -> None:
        self._screen, self._what, self._shown = screen, what, -1

    def __call__(self, share: float, text: str) -> None:
        if int(share * LINES) > self._shown:
            self._shown = int(share * LINES)
            self._screen.print(f"{self._what} {share:4.0%}  {text}")


def format_duration(seconds: float) -> str:
    """A span of time as a person says it: `40 s`, `3 min 20 s`, `5 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def print_passes(screen: Console) -> Any:
    """A display for the passes of `prepare`: one line a pass, when it ends."""
    done: set[str] = set()

    def show(name: str, finished: int, tasks: int) -> None:
        if finished == tasks and name not in done:
            done.add(name)
            screen.print(f"prepare: {name}")

    return show


def corpus_rows(report: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """What became of a corpus: a name, documents and bytes; what was read, what each filter removed, what is kept.

    Args:
        report: a `CorpusReport`, as a manifest holds it.
    """
    removed = [(f"removed: {row['reason']}", row["documents"], row["bytes"]) for row in report["left_out"]]
    read, *kept = (
        (name, report[f"{part}_documents"], report[f"{part}_bytes"])
        for name, part in (("read", "read"), ("kept for training", "train"), ("kept for validation", "validation"))
    )
    return [read, *removed, *kept]


def corpus_table(report: Mapping[str, Any]) -> Table:
    """`corpus_rows` for a terminal."""
    table = Table("", "documents", "MB", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, documents, size in corpus_rows(report):
        table.add_row(name, f"{documents:,}", f"{size / 1e6:,.2f}")
    return table


def tokenizer_summary(data: Mapping[str, Any]) -> str:
    """The tokenizer of prepared data, beside GPT-2's own.

    Args:
        data: the manifest of `prepare`.
    """
    return (
        f"A tokenizer of {data['vocabulary']:,} tokens, {data['bytes_per_token']['validation']:.2f} bytes each on code "
        f"it was not made from (GPT-2's own, on Python's standard library: {GPT2_BYTES_PER_TOKEN}); "
        f"{data['tokens']:,} tokens to train on."
    )
