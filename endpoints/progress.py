"""What a person sees while an endpoint comes or goes, on standard error: one line that changes, or a line a change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Show = Callable[[str], None]

SHORTEST_PAUSE = 0.5  # seconds


@contextmanager
def showing(name: str) -> Iterator[Show]:
    """Tell of one endpoint; what is told twice in a row is shown once."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if console.is_terminal:
        with console.status(name) as status:
            yield lambda text: status.update(f"{name}: {text}")
        return
    last = ""

    def line(text: str) -> None:
        nonlocal last
        # Of what changes by the second (minutes, MB) a pipe needs no line each.
        begin = text.partition(",")[0]
        if begin != last:
            console.print(f"{name}: {text}", markup=False)
        last = begin

    yield line


def pauses(longest: float) -> Iterator[float]:
    """How long to wait between two looks: short at first, then longer, up to `longest` seconds."""
    pause = SHORTEST_PAUSE
    while True:
        yield min(pause, longest)
        pause = min(pause * 1.5, longest)


def told_span(seconds: float) -> str:
    """A span of time as a person says it: `40 s`, `12 min`, `5 h 10 min`."""
    minutes = int(seconds // 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
