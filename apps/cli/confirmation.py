"""Ask before something goes that cannot be had back."""

import sys

import typer
from sagechain.command import print_note


def confirm(question: str) -> None:
    """Raises typer.Exit where the answer is no, and typer.BadParameter where nobody can answer."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} There is no terminal to ask at; say --yes.")
    if not typer.confirm(question, err=True):
        print_note("Nothing was changed.")
        raise typer.Exit(1)
