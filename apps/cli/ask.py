"""`sagechain ask`: one question, or one prompt of the library, and one answer, shown as it comes."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    DEFAULT_MODEL,
    ModelOption,
    ParameterOption,
    VariableOption,
    parameters,
    question_of,
    variables,
    warn_if_cut,
)

if TYPE_CHECKING:
    from sagechain.prompts.library import LibraryPrompt


def ask(
    question: Annotated[
        str | None,
        typer.Argument(
            help="The question; standard input is put below it. With -t: what fills the variable that is missing."
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "-t", "--template", metavar="NAME", help="Ask a prompt of the library (`sagechain prompts list`)."
        ),
    ] = None,
    values: VariableOption = None,
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[str | None, typer.Option("-s", "--system", help="What the model is told first.")] = None,
    given: ParameterOption = None,
) -> None:
    """Ask a model one question.

    Example: sagechain ask "What is the capital of France?" -p max_new_tokens=50

    Or a prompt of the library: sagechain ask -t translation -v language=French "Good morning."
    """
    chosen = parameters(given)
    prompt = _prompt(template, values)
    asked = question_of(question) if prompt is None else _filled(prompt, variables(values), question)
    from langchain_core.messages import HumanMessage, SystemMessage
    from sagechain.agents import suited
    from sagechain.llms import load_chat_model

    chat = suited(load_chat_model(model, **chosen), {} if prompt is None else prompt.metadata["parameters"])
    reason = None
    for piece in chat.stream([*([SystemMessage(system)] if system else []), HumanMessage(asked)]):
        print(piece.text, end="", flush=True)
        reason = piece.response_metadata.get("finish_reason", reason)
    print()
    warn_if_cut(reason)


def _prompt(name: str | None, values: list[tuple[str, str]] | None) -> "LibraryPrompt | None":
    if name is None:
        if values:
            raise typer.BadParameter("-v fills a prompt of the library; name it by -t.")
        return None
    from sagechain.prompts import load_prompt

    return load_prompt(name)


def _filled(prompt: "LibraryPrompt", values: dict[str, str], question: str | None) -> str:
    """The prompt with its values. What was typed or piped fills the one variable that is missing, else it stands below.

    Raises:
        ValueError: a variable that the prompt does not have, or those that are missing.
    """
    from sagechain.prompts import check_known

    check_known(f"variable of prompt {prompt.name!r}", values, prompt.input_variables or ["none"])
    missing = [name for name in prompt.input_variables if name not in values]
    if len(missing) == 1:
        with suppress(typer.BadParameter):  # nothing was typed: the prompt says what is missing
            values = {**values, missing[0]: question_of(question)}
        return prompt.format(**values)
    return question_of("\n\n".join([prompt.format(**values), *([question] if question else [])]))
