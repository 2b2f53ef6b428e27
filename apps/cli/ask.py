"""`sagechain ask`: one question, or one prompt of the library, and one answer, shown as it comes."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.apps.cli.options import (
    DEFAULT_MODEL,
    ModelOption,
    ParameterOption,
    parameters,
    question_of,
    warn_if_cut,
)

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from sagechain.prompts.loading import LibraryPrompt

SAME_MATTER = {"max_length": "max_new_tokens", "do_sample": "temperature"}
"""A parameter given by `-p`, and the suited one that would outdo it."""


def _value(text: str) -> tuple[str, str]:
    """`NAME=TEXT`; `NAME=@FILE` is the file's text, and `NAME=@@…` a text that begins with one `@`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=TEXT or NAME=@FILE")
    if not value.startswith("@"):
        return name, value
    if value.startswith("@@"):
        return name, value[1:]
    try:
        return name, Path(value[1:]).expanduser().read_text(encoding="utf-8").strip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{name}: {value[1:]!r} cannot be read: {error}; @@ begins a text with @") from error


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
    values: Annotated[
        list[Any] | None,
        typer.Option("-v", "--variable", metavar="NAME=TEXT", help="What fills it; @FILE reads a file.", parser=_value),
    ] = None,
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
    asked = question_of(question) if prompt is None else _filled(prompt, _by_name(values), question)
    from langchain_core.messages import HumanMessage, SystemMessage
    from sagechain.llms import load_chat_model

    chat = load_chat_model(model, **chosen)
    suited = {} if prompt is None else _suited(prompt, chat, chosen)
    reason = None
    for piece in chat.stream([*([SystemMessage(system)] if system else []), HumanMessage(asked)], **suited):
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


def _by_name(values: list[tuple[str, str]] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in values or []:
        if name in found:
            raise typer.BadParameter(f"-v {name}: it is given twice")
        found[name] = value
    return found


def _filled(prompt: "LibraryPrompt", values: dict[str, str], question: str | None) -> str:
    """The prompt with its values. What was typed or piped fills the one variable that is missing, else it stands below.

    Raises:
        ValueError: a variable that the prompt does not have, or those that are missing.
    """
    from sagechain.prompts.names import unknown

    for name in values:
        if name not in prompt.input_variables:
            raise unknown(f"variable of prompt {prompt.name!r}", name, prompt.input_variables or ["none"])
    missing = [name for name in prompt.input_variables if name not in values]
    if len(missing) == 1:
        with suppress(typer.BadParameter):  # nothing was typed: the prompt says what is missing
            values = {**values, missing[0]: question_of(question)}
        return prompt.format(**values)
    return question_of("\n\n".join([prompt.format(**values), *([question] if question else [])]))


def _suited(prompt: "LibraryPrompt", chat: "BaseChatModel", chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that suit the prompt, without those that `-p` settles and those that the wire does not carry.

    A parameter that somebody chose and the wire does not carry is an error, one that a prompt only suggests is not: else
    no recipe could be asked of Llama 2, whose wire has no `seed`. `on_unsupported="warn"` would drop both kinds alike.
    Engines on this machine have no wire, and carry whatever the library holds.
    """
    from sagechain.llms.wires import get_wire

    wire = getattr(getattr(chat, "llm", None), "wire", None)
    settled = {*chosen, *(SAME_MATTER[name] for name in chosen if name in SAME_MATTER)}
    return {
        name: value
        for name, value in prompt.metadata["parameters"].items()
        # Every wire takes `stop`: it is cut on this side too.
        if name not in settled and (wire is None or name == "stop" or name in get_wire(wire).carries)
    }
