"""The model card: a README.md with the front matter of the Hugging Face hub, from a run's manifest."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import yaml

from ..data.summary import corpus_rows
from .report import run_figures, visible
from .templates import render

TEMPLATE = "model_card.md.jinja"


def model_card(manifest: Mapping[str, Any], *, name: str, context: int, license: str | None = None) -> str:
    """The text of the card.

    Args:
        manifest: of a finished run.
        name: the name of the model's folder.
        context: the model's context in tokens.
        license: an identifier of the hub, such as `apache-2.0`. None: none, to be chosen at publication.
    """
    front = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["code", "gpt2", "codeparrot", "sagechain"],
        **({"license": license} if license else {}),
    }
    data = manifest.get("data") or {}
    rows = corpus_rows(data["corpus"]) if data.get("corpus") else []
    return render(
        TEMPLATE,
        front_matter=yaml.safe_dump(front, sort_keys=False),
        title=cell(name),
        folder=re.sub(r'[`"\\\n]', "_", visible(name)),
        preset=cell(manifest.get("preset", "unknown")),
        parameters=f"{manifest['parameters']:,}",
        figures=run_figures(manifest),
        source=cell(published_source(str(data.get("source", "unknown")))),
        corpus=[(cell(label), f"{documents:,}", f"{size:,}") for label, documents, size in rows],
        settings=[
            (cell(field), cell(value)) for field, value in (manifest.get("settings") or {}).items() if value is not None
        ],
        context=context,
    )


def published_source(source: str) -> str:
    """A source without the folders of this machine: the last part of a path."""
    hub, place = source.startswith("hf:"), source.removeprefix("hf:").replace("\\", "/")
    is_path = place.startswith(("/", ".", "~")) or ":/" in place if hub else "/" in place
    return f"{'hf:' if hub else ''}{PurePath(place).name}" if is_path else source


def cell(value: object) -> str:
    """Text for a cell of a Markdown table, without effect as markup."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(visible(value).split()))
