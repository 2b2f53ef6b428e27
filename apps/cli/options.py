"""The options that several commands share: which model, with which parameters, and what comes on standard input."""

import os
import sys

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    ModelOption,
    ParameterOption,
    VariableOption,
    parameters,
    variables,
    warn_if_cut,
)

__all__ = [
    "DEFAULT_MODEL",
    "ModelOption",
    "ParameterOption",
    "VariableOption",
    "parameters",
    "piped",
    "question_of",
    "variables",
    "warn_if_cut",
]


def piped() -> str:
    """Standard input as it is, when it is not a terminal."""
    if sys.stdin is None or sys.stdin.closed or os.isatty(sys.stdin.fileno()):
        return ""
    return sys.stdin.read()


def question_of(argument: str | None) -> str:
    """The question from the command line, with standard input below it. Raises typer.BadParameter if both are empty."""
    text = "\n\n".join(part for part in ((argument or "").strip(), piped().strip()) if part)
    if not text:
        raise typer.BadParameter("give a question, or text on standard input.")
    return text
