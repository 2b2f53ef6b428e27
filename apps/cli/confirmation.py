"""A question to the user before something is lost or costs money."""

import sys

import typer
from sagechain.command import FAILURE, print_note


def confirm(question: str) -> None:
    """Raises typer.Exit if the answer is no, and typer.BadParameter if standard input is not a terminal."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} Standard input is not a terminal; confirm with --yes.")
    if not typer.confirm(question, err=True):
        print_note("Nothing was changed.")
        raise typer.Exit(FAILURE)
