"""Completion of code by a CodeParrot (and any other model that continues text).

    python -m sagechain.agents.codeparrot_completion                               # four beginnings of programs
    python -m sagechain.agents.codeparrot_completion "def mean(numbers):" -n 4     # your own: the best of four
    python -m sagechain.agents.codeparrot_completion -m local:RUN/model            # by a model that you pretrained

    chain(load_llm("local:smollm2")).invoke("def mean(numbers):")

A completion ends with its block, or at the token limit. The beginnings are in `codeparrot_completion.yaml`.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import DEFAULT_MODEL, EulaOption, ModelOption, ParameterOption, chosen, note, run
from sagechain.prompts import read_yaml

if TYPE_CHECKING:
    from langchain_core.language_models import BaseLanguageModel
    from langchain_core.runnables import Runnable

CandidatesOption = Annotated[
    int,
    typer.Option("-n", "--candidates", min=1, help="Draw so many, and show the best: code that parses, the likeliest."),
]
UntilOption = Annotated[str, typer.Option("--until", help="block, line or end (the model's own).")]


def chain(model: "BaseLanguageModel[Any]", *, until: str = "block", candidates: int = 1) -> "Runnable[Any, str]":
    """Completion as a Runnable from the beginning of some code to what comes next.

    Args:
        model: an LLM.
        until: where a completion ends: `block`, `line` or `end`.
        candidates: so many are drawn, and the best is given.

    Raises:
        ValueError: a model that continues no text, an unknown `until`; at the call, an empty prompt.
    """
    from sagechain.chains import code_completion

    return code_completion(model, until=until, candidates=candidates)


def script(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PROMPT...", help="The beginning of some code. Four short programs if not given."),
    ] = None,
    candidates: CandidatesOption = 1,
    until: UntilOption = "block",
    model: ModelOption = DEFAULT_MODEL,
    accept_eula: EulaOption = False,
    given: ParameterOption = None,
) -> None:
    """Complete code: the beginnings go to standard error, the completions to standard output.

    Example: python -m sagechain.agents.codeparrot_completion "def mean(numbers):" -m local:codeparrot
    """
    from sagechain.command import show_completion
    from sagechain.llms import load_llm

    llm = load_llm(model, **chosen(given, accept_eula))
    if model == DEFAULT_MODEL:
        note("(The embedded model was taught to chat; -m local:FOLDER completes by a model that was taught code.)")
    shown = [("", text) for text in prompts or ()] or [(each["about"], each["text"]) for each in _beginnings()]
    for about, text in shown:
        if about:
            note(f"— {about}")
        note(text.removesuffix("\n"))
        show_completion(llm, text, until=until, candidates=candidates)


def _beginnings() -> list[dict[str, str]]:
    return list(read_yaml(__package__, "codeparrot_completion.yaml")["prompts"])


if __name__ == "__main__":
    run(script)
