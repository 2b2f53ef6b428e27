"""`sagechain complete`: the beginning of some code, and what comes next, shown as it comes."""

from typing import Annotated

import typer
from sagechain.agents import CandidatesOption, UntilOption

from .options import DEFAULT_MODEL, ModelOption, ParameterOption, parameters, piped


def complete(
    prompt: Annotated[
        str | None, typer.Argument(help="The beginning of some code; standard input is put below it.")
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    until: UntilOption = "block",
    candidates: CandidatesOption = 1,
    given: ParameterOption = None,
) -> None:
    """Complete code. Only the completion goes to standard output.

    Example: sagechain complete "def mean(numbers):" -m local:codeparrot

    Or a file: sagechain complete < beginning.py
    """
    beginning = _beginning(prompt)
    chosen = parameters(given)
    from sagechain.command import show_completion
    from sagechain.llms import load_llm

    show_completion(load_llm(model, **chosen), beginning, until=until, candidates=candidates)


def _beginning(prompt: str | None) -> str:
    """What was typed and piped, as it is: blanks and line ends mean something in code."""
    text = "\n".join(part for part in (prompt, piped()) if part)
    if not text:
        raise typer.BadParameter("give the beginning of some code, or text on standard input.")
    return text
