"""`sagechain solve`: a question with one correct answer, by a chain-of-thought strategy."""

from typing import Annotated

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    FAILURE,
    ModelOption,
    ParameterOption,
    parameters_by_name,
    print_note,
    print_text,
    warn_if_truncated,
)

from .standard_input import read_question


def solve(
    question: Annotated[str | None, typer.Argument(help="The question; standard input is appended.")] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="direct, few-shot, zero-shot-cot or few-shot-cot.")
    ] = "few-shot-cot",
    task: Annotated[
        str, typer.Option("--task", help="arithmetic, last-letters, reverse-list or coin-flip.")
    ] = "arithmetic",
    model: ModelOption = DEFAULT_MODEL,
    parameters: ParameterOption = None,
) -> None:
    """Solve a problem step by step. The answer goes to standard output, the steps to standard error.

    Example: sagechain solve "A pen costs 3 dollars. Max buys 5 pens. How many dollars does he pay?"
    """
    text = read_question(question)
    from sagechain.chains import chain_of_thought
    from sagechain.llms import load_llm

    llm = load_llm(model, **parameters_by_name(parameters))
    reasoning = chain_of_thought(llm, strategy=strategy, task=task).invoke({"question": text})
    print_note(reasoning.text)
    warn_if_truncated("length" if reasoning.usage.get("cut") else None)
    if reasoning.answer is None:
        print_note("sagechain: the model gave no answer.")
        raise typer.Exit(FAILURE)
    print_text(reasoning.answer)
