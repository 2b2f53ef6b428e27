"""The report of a run: `write_report("run")` writes run/report.html, one self-contained page.

It can be written during the run, from its last checkpoint. Texts of a model or a data set are shown as text: escaped, with
control characters replaced, and the page's own policy forbids scripts and requests.
"""

import json
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.summary import corpus_rows
from ..display import format_duration
from ..manifest import read_manifest
from .charts import chart, points_of
from .templates import render

NAME = "report.html"
TEMPLATE = "report.html.jinja"
INVISIBLE = {"Cc", "Cf", "Cs"}  # control characters, format characters such as text direction, lone surrogates


def write_report(run: str | Path) -> Path:
    """Write the page of a run, finished or not.

    Returns:
        The page.

    Raises:
        ValueError: the folder is not a run, or has no history yet.
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
    """The manifest of a run. Raises ValueError if the folder is not a run."""
    manifest = read_manifest(run)
    if manifest is None or manifest.get("stage") != "train":
        reason = "is not a run" if manifest is None else f"is the output of {manifest.get('stage')!r}, not a run"
        raise ValueError(f"run: {str(run)!r} {reason}; give a folder that `sagechain pretrain train` wrote")
    return manifest


def read_history(run: Path) -> list[dict[str, Any]]:
    """The history of a run, oldest first. Raises ValueError if it is still empty."""
    try:
        history: list[dict[str, Any]] = json.loads((run / "history.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        history = []
    except ValueError as error:
        raise ValueError(
            f"run: {run / 'history.json'} is broken: {error}; training writes it again at its next checkpoint"
        ) from error
    if not history:
        raise ValueError(
            f"run: {str(run)!r} has no history yet; it starts with the first checkpoint, so wait and try again"
        )
    return history


def run_figures(manifest: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()) -> list[tuple[str, str]]:
    """The known figures of a run for people: name and value."""
    known = dict(manifest)
    for field in ("val_bits_per_byte", "val_accuracy", "tokens", "seconds", "tokens_per_second", "mfu"):
        if known.get(field) is None:
            known[field] = next((entry[field] for entry in reversed(history) if entry.get(field) is not None), None)
    forms: dict[str, tuple[str, Callable[[Any], str]]] = {
        "val_bits_per_byte": ("validation, bits per byte", lambda value: f"{value:.3f}"),
        "val_accuracy": ("validation, next token correct", lambda value: f"{value:.1%}"),
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
        (
            f"{entry['tokens']:,}",
            visible(entry["sample"].get("prompt", "")),
            visible(entry["sample"].get("completion", "")),
        )
        for entry in history
        if isinstance(entry.get("sample"), Mapping)
    ]
    return render(
        TEMPLATE,
        title=visible(f"Pretraining run: preset {manifest.get('preset', 'unknown')}"),
        state="Finished." if manifest.get("done") else "Not finished: the state of the last checkpoint.",
        figures=run_figures(manifest, history),
        charts=[each for each in charts if each],
        samples=samples,
        tables=list(_tables(manifest)),
    )


def _tables(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The tables of the page; `head` is empty if the first column labels the second."""
    data = manifest.get("data") or {}
    if corpus := data.get("corpus"):
        rows = [(visible(name), f"{documents:,}", f"{size:,}") for name, documents, size in corpus_rows(corpus)]
        yield {"title": "Data: what each filter removed", "head": ("", "documents", "bytes"), "rows": rows}
    others = {name: value for name, value in data.items() if name != "corpus"}
    for title, content in (
        ("Data", others),
        ("Settings", manifest.get("settings") or {}),
        ("Versions", manifest.get("versions") or {}),
    ):
        if content:
            yield {
                "title": title,
                "head": (),
                "rows": [(visible(name), _value(value)) for name, value in _flat(content)],
            }
    if resumed := manifest.get("resumed_at_tokens"):
        yield {"title": "Resumed at", "head": (), "rows": [(f"{tokens:,} tokens",) for tokens in resumed]}


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
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def visible(text: object) -> str:
    """Text with visible characters only: control characters, except line ends and tabs, become U+FFFD."""
    return "".join(
        "\ufffd" if character not in "\n\t" and unicodedata.category(character) in INVISIBLE else character
        for character in str(text)
    )
