"""A question to the user before something is lost or costs money."""

import sys

import typer
from sagechain.command import FAILURE, print_note


def confirm(question: str) -> None:
    """Raises typer.Exit if the answer is no, and typer.BadParameter if standard input is not a terminal."""
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} Standard input is not a terminal; confirm with --yes.")
    try:
        is_confirmed = typer.confirm(question, err=True)
    except typer.Abort as abort:
        if isinstance(abort.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        is_confirmed = False  # the end of standard input
    if not is_confirmed:
        print_note("Nothing was changed.")
        raise typer.Exit(FAILURE)
