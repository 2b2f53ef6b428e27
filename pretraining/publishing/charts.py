"""Curves of a run, as drawings for a page (`Chart`, SVG) and as characters for a terminal (`terminal_curve`)."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

Point = tuple[float, float]

# The drawing's own units; a page scales it.
WIDTH, HEIGHT = 720, 280
LEFT, RIGHT, TOP, BOTTOM = 64, 18, 14, 44
MAX_POINTS = 800  # more cannot be distinguished
TICKS = 5
MAX_VALUE = 1e100  # larger values are not drawn

# Dots of a braille character by (column, row): Unicode 16, chapter 21.1.
DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
BRAILLE = 0x2800


def points_of(history: Iterable[Mapping[str, Any]], field: str) -> list[Point]:
    """The values of `field` over tokens; values that are not finite numbers are skipped."""
    pairs = [(entry.get("tokens"), entry.get(field)) for entry in history]
    return [(float(x), float(y)) for x, y in pairs if _is_number(x) and _is_number(y)]


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_VALUE


@dataclass(frozen=True)
class Chart:
    """A drawing of a line, marked points with a second line, and axes, within (0, 0) and (WIDTH, HEIGHT)."""

    title: str
    y_label: str
    line: str
    """The `points` of an SVG polyline."""
    marks: tuple[tuple[float, float, str], ...]
    """x, y and the label of each marked point."""
    x_ticks: tuple[tuple[float, str], ...]
    """Place and label of each."""
    y_ticks: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM

    @property
    def mark_line(self) -> str:
        """The `points` of the polyline through the marks."""
        return " ".join(f"{x:g},{y:g}" for x, y, _ in self.marks)


def chart(title: str, y_label: str, line: Sequence[Point], marks: Sequence[Point] = ()) -> Chart | None:
    """A drawing of a line and of marked points, both over tokens; None without any points."""
    points = [*line, *marks]
    if not points:
        return None
    x_values, y_values = _ticks(0.0, max(x for x, _ in points)), _ticks(*_range([y for _, y in points]))
    across = _scale(x_values[0], x_values[-1], LEFT, WIDTH - RIGHT)
    up = _scale(y_values[0], y_values[-1], HEIGHT - BOTTOM, TOP)
    return Chart(
        title=title,
        y_label=y_label,
        line=" ".join(f"{across(x):g},{up(y):g}" for x, y in _thinned(line)),
        marks=tuple((across(x), up(y), f"{_short(x)} tokens: {y:.4g}") for x, y in _thinned(marks)),
        x_ticks=tuple((across(value), _short(value)) for value in x_values),
        y_ticks=tuple((up(value), _short(value)) for value in y_values),
    )


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Values from `low` to `high` as places from `start` to `end`."""

    def place(value: float) -> float:
        share = min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5
        return round(start + share * (end - start), 2)

    return place


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From the smallest to the largest value; from 0 if that wastes little of the drawing."""
    low, high = min(values), max(values)
    return (0.0 if 0 <= low < high / 2 else low), high


def _ticks(low: float, high: float) -> list[float]:
    """Evenly spaced round numbers that enclose the range."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-90):
        margin = (abs(low) if abs(low) > 1e-90 else 1) / 2
        low, high = low - margin, low + margin
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """At most `MAX_POINTS` evenly spaced points, and the last."""
    stride = -(-len(points) // MAX_POINTS)
    return [*points[:-1:stride], points[-1]] if stride > 1 else points


def _short(value: float) -> str:
    """A number as a short label: 250k, 1.5M, 0.0025."""
    for power, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.4g}{letter}"
    return f"{value:.4g}"


def terminal_curve(history: Sequence[Mapping[str, Any]], width: int = 60, height: int = 10) -> str:
    """The loss in bits per byte over tokens, drawn in braille characters.

    Args:
        history: entries of a run's history.json.
        width, height: in characters, labels included.

    Returns:
        `height` lines of at most `width` characters; empty before the first loss.

    Raises:
        ValueError: fewer than 20 columns or 3 lines.
    """
    if width < 20 or height < 3:
        raise ValueError(f"width, height: {width} x {height} is too small; at least 20 x 3 characters")
    points = points_of(history, "bits_per_byte") or points_of(history, "val_bits_per_byte")
    if not points:
        return ""
    low, high, last = min(y for _, y in points), max(y for _, y in points), max(x for x, _ in points)
    labels = [f"{value:.2f} " if abs(value) < 1e4 else f"{value:.1e} " for value in (high, low)]
    margin = max(map(len, labels))
    rows = _braille(points, width - margin, height - 1, low, high, last)
    names = [labels[0], *[""] * (height - 3), labels[1]]
    end = f"{_short(last)} tokens"
    lines = [f"{name:>{margin}}{row}" for name, row in zip(names, rows, strict=True)]
    return "\n".join([*lines, f"{'0':>{margin + 1}}{end:>{width - margin - 1}}"])


def _braille(points: Sequence[Point], columns: int, rows: int, low: float, high: float, last: float) -> list[str]:
    across, down = _scale(0.0, last or 1.0, 0, columns * 2 - 1), _scale(low, high, rows * 4 - 1, 0)
    cells = [[BRAILLE] * columns for _ in range(rows)]
    previous: tuple[int, int] | None = None
    for x, y in points:
        here = round(across(x)), round(down(y))
        x_from, y_from = previous or here
        steps = max(abs(here[0] - x_from), abs(here[1] - y_from)) + 1
        # The dots of a straight line, both ends included.
        for dot_x, dot_y in np.linspace((x_from, y_from), here, steps).round().astype(int).tolist():
            cells[dot_y // 4][dot_x // 2] |= DOTS[dot_x % 2][dot_y % 4]
        previous = here
    return ["".join(map(chr, row)) for row in cells]
