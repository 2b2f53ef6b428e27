"""`sagechain solve`: a question with one correct answer, by a chain-of-thought strategy."""

from typing import Annotated, Any

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    FAILURE,
    EulaOption,
    ModelOption,
    ParameterOption,
    model_parameters,
    print_note,
    print_text,
    warn_if_truncated,
)

from .log_option import NoLogOption
from .standard_input import read_question


def solve(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUESTION...]", help="The question, with or without quotes; standard input is appended."
        ),
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="direct, few-shot, zero-shot-cot or few-shot-cot.")
    ] = "few-shot-cot",
    task: Annotated[
        str, typer.Option("--task", help="arithmetic, last-letters, reverse-list or coin-flip.")
    ] = "arithmetic",
    model: ModelOption = DEFAULT_MODEL,
    no_log: NoLogOption = False,
    accept_eula: EulaOption = False,
    parameters: ParameterOption = None,
) -> None:
    """Solve a problem step by step. The answer goes to standard output, the steps to standard error.

    Example: sagechain solve "A pen costs 3 dollars. Max buys 5 pens. How many dollars does he pay?"
    """
    text = read_question(" ".join(words or ()))
    from sagechain.chains import chain_of_thought
    from sagechain.llms import load_llm

    from ..logs.recording import loggable, recorded
    from ..logs.store import Entry

    options = model_parameters(parameters, accept_eula)
    names: dict[str, Any] = {"strategy": strategy, "task": task}
    solver = chain_of_thought(load_llm(model, **options), **names)
    entry = Entry("solve", model, text, parameters={**names, **loggable(options)})
    with recorded(entry, enabled=not no_log):
        reasoning = solver.invoke({"question": text})
        entry.answer = reasoning.text if reasoning.answer is None else f"{reasoning.text}\n\n{reasoning.answer}"
        usage = reasoning.usage
        entry.input_tokens, entry.output_tokens = usage.get("input_tokens"), usage.get("output_tokens")
        entry.seconds = usage.get("seconds")
    print_note(reasoning.text)
    warn_if_truncated("length" if reasoning.usage.get("cut") else None)
    if reasoning.answer is None:
        print_note("sagechain: the model gave no answer.")
        raise typer.Exit(FAILURE)
    print_text(reasoning.answer)
