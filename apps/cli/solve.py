"""`sagechain solve`: a question with one right answer, by a chain-of-thought strategy."""

import sys
from typing import Annotated

import typer

from .options import DEFAULT_MODEL, ModelOption, ParameterOption, parameters, question_of, warn_if_cut


def solve(
    question: Annotated[str | None, typer.Argument(help="The question; standard input is put below it.")] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", help="direct, few-shot, zero-shot-cot or few-shot-cot.")
    ] = "few-shot-cot",
    task: Annotated[
        str, typer.Option("--task", help="arithmetic, last-letters, reverse-list or coin-flip.")
    ] = "arithmetic",
    model: ModelOption = DEFAULT_MODEL,
    given: ParameterOption = None,
) -> None:
    """Solve a problem step by step. The answer goes to standard output, the steps to standard error.

    Example: sagechain solve "A pen costs 3 dollars. Max buys 5 pens. How many dollars does he pay?"
    """
    asked = question_of(question)
    from sagechain.chains import chain_of_thought
    from sagechain.llms import load_llm

    chain = chain_of_thought(load_llm(model, **parameters(given)), strategy=strategy, task=task)
    reasoning = chain.invoke({"question": asked})
    print(reasoning.text, file=sys.stderr)
    warn_if_cut("length" if reasoning.usage.get("cut") else None)
    if reasoning.answer is None:
        print("sagechain: the model gave no answer.", file=sys.stderr)
        raise typer.Exit(1)
    print(reasoning.answer)
