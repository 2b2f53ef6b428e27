"""`sagechain complete`: the start of some code, and its completion, printed as it is generated."""

from typing import Annotated

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    CandidatesOption,
    ModelOption,
    ParameterOption,
    UntilOption,
    parameters_by_name,
)

from .standard_input import piped_text


def complete(
    prompt: Annotated[str | None, typer.Argument(help="The start of some code; standard input is appended.")] = None,
    model: ModelOption = DEFAULT_MODEL,
    until: UntilOption = "block",
    candidates: CandidatesOption = 1,
    parameters: ParameterOption = None,
) -> None:
    """Complete code. Only the completion goes to standard output.

    Example: sagechain complete "def mean(numbers):" -m local:codeparrot

    Or a file: sagechain complete < beginning.py
    """
    # Unlike a question, code is sent unchanged: its blanks and line ends matter.
    code = "\n".join(part for part in (prompt, piped_text(is_needed=not prompt)) if part)
    if not code:
        raise typer.BadParameter("give the start of some code, or text on standard input.")
    model_parameters = parameters_by_name(parameters)
    from sagechain.agents.codeparrot_completion import show_completion
    from sagechain.llms import load_llm

    show_completion(load_llm(model, **model_parameters), code, until=until, candidates=candidates)
