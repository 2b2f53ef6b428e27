"""A summary of prepared data for the terminal: a table of the corpus, and a line about the tokenizer."""

from collections.abc import Mapping
from typing import Any

from rich.table import Column, Table

# GPT-2's vocabulary of 50,257 tokens on the validation split of Python's standard library (RUNS.md); more is better.
GPT2_BYTES_PER_TOKEN = 2.24


def corpus_rows(report: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """Name, documents and bytes of each row: all documents, those that each filter removed, and both splits.

    Args:
        report: a `CorpusReport` from a manifest.
    """
    removed = [(f"removed: {row['reason']}", row["documents"], row["bytes"]) for row in report["left_out"]]
    read, *splits = (
        (name, report[f"{part}_documents"], report[f"{part}_bytes"])
        for name, part in (("read", "read"), ("used for training", "train"), ("used for validation", "validation"))
    )
    return [read, *removed, *splits]


def corpus_table(report: Mapping[str, Any]) -> Table:
    """`corpus_rows` for a terminal."""
    table = Table("", Column("documents", justify="right"), Column("MB", justify="right"), box=None)
    for name, documents, size in corpus_rows(report):
        table.add_row(name, f"{documents:,}", f"{size / 1e6:,.2f}")
    return table


def tokenizer_summary(manifest: Mapping[str, Any]) -> str:
    """The tokenizer of prepared data, compared with GPT-2's own.

    Args:
        manifest: of prepared data.
    """
    return (
        f"A tokenizer of {manifest['vocabulary']:,} tokens: {manifest['bytes_per_token']['validation']:.2f} bytes per "
        f"token on unseen code (GPT-2's tokenizer on Python's standard library: {GPT2_BYTES_PER_TOKEN}); "
        f"{manifest['tokens']:,} tokens to train on."
    )
