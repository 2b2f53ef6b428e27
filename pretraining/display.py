"""Progress of long work on standard error: a bar in a terminal, else a line now and then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

LINES = 10  # per piece of work, without a terminal


ShowProgress = Callable[[float, str], None]
"""Shows the finished share of the work, 0 to 1, and a text beside it."""


def console() -> Console:
    """A console on the current standard error."""
    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress(title: str, *, is_shown: bool = True) -> Iterator[ShowProgress]:
    """Show the progress of one piece of work while the block runs.

    Args:
        is_shown: False for the processes after the first.
    """
    screen = console()
    if not is_shown:
        yield lambda share, text: None
    elif screen.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
        with Progress(*columns, TextColumn("{task.fields[text]}"), TimeElapsedColumn(), console=screen) as bar:
            task = bar.add_task(title, total=1.0, text="")
            yield lambda share, text: bar.update(task, completed=share, text=text)
    else:
        yield _Lines(screen, title)


class _Lines:
    """Prints a line each time another tenth of the work is finished."""

    def __init__(self, screen: Console, title: str) -> None:
        self._screen, self._title, self._tenths = screen, title, -1

    def __call__(self, share: float, text: str) -> None:
        if int(share * LINES) > self._tenths:
            self._tenths = int(share * LINES)
            self._screen.print(f"{self._title} {share:4.0%}  {text}")


def format_duration(seconds: float) -> str:
    """`40 s`, `3 min 20 s` or `5 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
