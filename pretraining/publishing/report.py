"""The report of a run: `write_report("run")` makes run/report.html, one page that needs nothing else.

It can be made while the run goes on, from what its last checkpoint left. All that a model or a data set wrote is shown as
text: escaped, control characters replaced, and the page's own policy forbids scripts and requests.
"""

import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.summary import corpus_rows
from ..display import format_duration
from ..manifest import read_manifest
from .charts import chart, points_of, terminal_curve
from .templates import filled

__all__ = ["read_history", "run_figures", "terminal_curve", "write_report"]

NAME = "report.html"
TEMPLATE = "report.html.jinja"
UNSEEN = {"Cc", "Cf", "Cs"}  # control characters, marks that turn the direction of text, half characters


@dataclass(frozen=True)
class Table:
    """A part of the page: `head` is empty where the first column names the second."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def write_report(run: str | Path) -> Path:
    """Write the page of a run, finished or not, anew.

    Returns:
        Where the page is.

    Raises:
        ValueError: there is no run in that folder, or it has no history yet.
        PretrainingError: the run's manifest is broken.
    """
    run = Path(run)
    manifest, history = run_manifest(run), read_history(run)
    page = run / NAME
    partial = page.with_suffix(".partial")
    partial.write_text(_page(manifest, history), encoding="utf-8")
    partial.replace(page)
    return page


def run_manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run. Raises ValueError where the folder holds none."""
    manifest = read_manifest(run)
    if manifest is None or manifest.get("stage") != "train":
        what = "there is no run" if manifest is None else f"that is the output of {manifest.get('stage')!r}, not a run"
        raise ValueError(f"run: {what} in {str(run)!r}; give a folder that `sagechain pretrain train` made")
    return manifest


def read_history(run: Path) -> list[dict[str, Any]]:
    """The history of a run, oldest first. Raises ValueError where nothing is in it yet."""
    try:
        found: list[dict[str, Any]] = json.loads((run / "history.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = []
    except ValueError as error:
        raise ValueError(
            f"run: {run / 'history.json'} is broken: {error}; it is written anew as training goes on"
        ) from error
    if not found:
        raise ValueError(
            f"run: {str(run)!r} has no history yet; it begins with the first checkpoint, so wait and try again"
        )
    return found


def run_figures(manifest: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()) -> list[tuple[str, str]]:
    """The figures of a run with their names, as a person reads them; what is not known yet is left out."""
    known = dict(manifest)
    for field in ("val_bits_per_byte", "val_accuracy", "tokens", "seconds", "tokens_per_second", "mfu"):
        if known.get(field) is None:
            known[field] = next((entry[field] for entry in reversed(history) if entry.get(field) is not None), None)
    forms: dict[str, tuple[str, Callable[[Any], str]]] = {
        "val_bits_per_byte": ("validation, bits per byte", lambda value: f"{value:.3f}"),
        "val_accuracy": ("validation, next token right", lambda value: f"{value:.1%}"),
        "share_that_parses": ("completions of unseen files that parse", lambda value: f"{value:.0%}"),
        "longest_copy_tokens": ("longest copy of the training data, in tokens", str),
        "parameters": ("parameters", lambda value: f"{value:,}"),
        "tokens": ("tokens seen", lambda value: f"{value:,}"),
        "tokens_per_second": ("tokens a second", lambda value: f"{value:,.0f}"),
        "mfu": ("of the machine's limit (MFU)", lambda value: f"{value:.0%}"),
        "seconds": ("time of training", format_duration),
    }
    return [(name, form(known[field])) for field, (name, form) in forms.items() if known.get(field) is not None]


def _page(manifest: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    training, validation = points_of(history, "bits_per_byte"), points_of(history, "val_bits_per_byte")
    charts = [
        chart("Loss in bits per byte", "bits per byte", training, validation),
        chart("Learning rate", "rate", points_of(history, "learning_rate")),
        chart("Tokens a second", "tokens/s", points_of(history, "tokens_per_second")),
    ]
    samples = [
        (f"{entry['tokens']:,}", shown(entry["sample"].get("prompt", "")), shown(entry["sample"].get("completion", "")))
        for entry in history
        if isinstance(entry.get("sample"), Mapping)
    ]
    return filled(
        TEMPLATE,
        title=shown(f"Pretraining run: preset {manifest.get('preset', 'unknown')}"),
        state="Finished." if manifest.get("done") else "Not finished: this is what the last checkpoint left.",
        figures=run_figures(manifest, history),
        charts=[drawn for drawn in charts if drawn],
        samples=samples,
        tables=list(_tables(manifest)),
    )


def _tables(manifest: Mapping[str, Any]) -> Iterable[Table]:
    data = manifest.get("data") or {}
    if corpus := data.get("corpus"):
        rows = [(shown(name), f"{documents:,}", f"{size:,}") for name, documents, size in corpus_rows(corpus)]
        yield Table("Data: what each filter removed", ("", "documents", "bytes"), rows)
    others = {name: value for name, value in data.items() if name != "corpus"}
    resumed = [(f"{tokens:,} tokens",) for tokens in manifest.get("resumed_at_tokens") or []]
    for title, content in (
        ("Data", others),
        ("Settings", manifest.get("settings") or {}),
        ("Versions", manifest.get("versions") or {}),
    ):
        if content:
            yield Table(title, (), [(shown(name), _value(value)) for name, value in _flat(content)])
    if resumed:
        yield Table("Resumed at", (), resumed)


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _value(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def shown(text: object) -> str:
    """Text whose every character can be seen: control characters, but for line ends and tabs, become U+FFFD."""
    return "".join(
        "\ufffd" if character not in "\n\t" and unicodedata.category(character) in UNSEEN else character
        for character in str(text)
    )
