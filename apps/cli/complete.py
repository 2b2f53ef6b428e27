"""`sagechain complete`: the start of some code, and its completion, printed as it is generated."""

from typing import Annotated

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    CandidatesOption,
    EulaOption,
    ModelOption,
    ParameterOption,
    UntilOption,
    model_parameters,
)

from .log_option import NoLogOption
from .standard_input import piped_text


def complete(
    prompt: Annotated[str | None, typer.Argument(help="The start of some code; standard input is appended.")] = None,
    model: ModelOption = DEFAULT_MODEL,
    until: UntilOption = "block",
    candidates: CandidatesOption = 1,
    no_log: NoLogOption = False,
    accept_eula: EulaOption = False,
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
    options = model_parameters(parameters, accept_eula)
    from sagechain.agents.codeparrot_completion import show_completion
    from sagechain.llms import load_llm

    from ..logs.recording import loggable, recorded
    from ..logs.store import Entry

    llm = load_llm(model, **options)
    entry = Entry("complete", model, code, parameters={"until": until, **loggable(options)})
    with recorded(entry, enabled=not no_log):
        entry.answer = show_completion(llm, code, until=until, candidates=candidates)
