"""`sagechain ask`: one question, or one prompt of the library, and one answer, printed as it is generated."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from sagechain.command import (
    DEFAULT_MODEL,
    ModelOption,
    ParameterOption,
    VariableOption,
    parameters_by_name,
    print_text,
    variables_by_name,
    warn_if_truncated,
)

from .standard_input import read_question

if TYPE_CHECKING:
    from sagechain.prompts.library import LibraryPrompt


def ask(
    question: Annotated[
        str | None,
        typer.Argument(
            help="The question; standard input is appended. With -t it fills the variable that is still missing."
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "-t", "--template", metavar="NAME", help="Send a prompt of the library (`sagechain prompts list`)."
        ),
    ] = None,
    variables: VariableOption = None,
    model: ModelOption = DEFAULT_MODEL,
    system: Annotated[str | None, typer.Option("-s", "--system", help="The system text.")] = None,
    parameters: ParameterOption = None,
) -> None:
    """Ask a model one question.

    Example: sagechain ask "What is the capital of France?" -p max_new_tokens=50

    Or send a prompt of the library: sagechain ask -t translation -v language=French "Good morning."
    """
    model_parameters = parameters_by_name(parameters)
    prompt = _load(template, variables)
    text = read_question(question) if prompt is None else _fill(prompt, variables_by_name(variables), question)
    from langchain_core.messages import HumanMessage, SystemMessage
    from sagechain.command import with_defaults
    from sagechain.llms import load_chat_model

    defaults = {} if prompt is None else prompt.metadata["parameters"]
    chat = with_defaults(load_chat_model(model, **model_parameters), defaults)
    finish_reason = None
    for chunk in chat.stream([*([SystemMessage(system)] if system else []), HumanMessage(text)]):
        print_text(chunk.text, end="")
        finish_reason = chunk.response_metadata.get("finish_reason", finish_reason)
    print()
    warn_if_truncated(finish_reason)


def _load(template: str | None, variables: list[tuple[str, str]] | None) -> "LibraryPrompt | None":
    if template is None:
        if variables:
            raise typer.BadParameter("-v sets a variable of a prompt of the library; name the prompt with -t.")
        return None
    from sagechain.prompts import load_prompt

    return load_prompt(template)


def _fill(prompt: "LibraryPrompt", values: dict[str, str], question: str | None) -> str:
    """The prompt's text with its variables.

    If one variable has no value, it gets the question and standard input; otherwise they are appended to the prompt.

    Raises:
        ValueError: a variable that the prompt does not have, or variables without a value.
    """
    from sagechain.prompts import check_known

    check_known(f"variable of prompt {prompt.name!r}", values, prompt.input_variables or ["none"])
    missing = [name for name in prompt.input_variables if name not in values]
    if len(missing) == 1:
        with suppress(typer.BadParameter):  # without a question the prompt's own error names the variable
            values = {**values, missing[0]: read_question(question)}
        return prompt.format(**values)
    return read_question("\n\n".join([prompt.format(**values), *([question] if question else [])]))
