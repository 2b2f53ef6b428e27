"""`sagechain ask`: one question, one answer, shown as it comes."""

from typing import Annotated

import typer
from sagechain.apps.cli.options import (
    DEFAULT_MODEL,
    ModelOption,
    ParameterOption,
    parameters,
    question_of,
    warn_if_cut,
)


def ask(
    question: Annotated[str | None, typer.Argument(help="The question; standard input is put below it.")] = None,
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[str | None, typer.Option("-s", "--system", help="What the model is told first.")] = None,
    given: ParameterOption = None,
) -> None:
    """Ask a model one question.

    Example: sagechain ask "What is the capital of France?" -p max_new_tokens=50
    """
    asked = question_of(question)
    from langchain_core.messages import HumanMessage, SystemMessage
    from sagechain.llms import load_chat_model

    chat = load_chat_model(model, **parameters(given))
    reason = None
    for piece in chat.stream([*([SystemMessage(system)] if system else []), HumanMessage(asked)]):
        print(piece.text, end="", flush=True)
        reason = piece.response_metadata.get("finish_reason", reason)
    print()
    warn_if_cut(reason)
