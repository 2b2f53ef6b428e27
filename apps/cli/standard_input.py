"""Text that is piped to a command."""

import os
import sys

import typer


def piped_text() -> str:
    """Standard input as it is; empty if it is a terminal."""
    if sys.stdin is None or sys.stdin.closed or os.isatty(sys.stdin.fileno()):
        return ""
    return sys.stdin.read()


def read_question(argument: str | None) -> str:
    """The question from the command line, with standard input below it. Raises typer.BadParameter if both are empty."""
    text = "\n\n".join(part for part in ((argument or "").strip(), piped_text().strip()) if part)
    if not text:
        raise typer.BadParameter("give a question, or text on standard input.")
    return text
