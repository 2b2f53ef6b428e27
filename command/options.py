"""The options that several commands and agent scripts have in common, and how their values are read.

def script(model: ModelOption = DEFAULT_MODEL, parameters: ParameterOption = None) -> None:
    llm = load_llm(model, **parameters_by_name(parameters))
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from sagechain.llms import DEFAULT_MODEL as DEFAULT_MODEL
from sagechain.llms import MODEL_VARIABLE


def parse_parameter(text: str) -> tuple[str, Any]:
    """Split `NAME=VALUE`. Numbers, `true`, `false` and `[…]` are read as JSON; every other value is text.

    A stop string is text even if it looks like a number.
    """
    name, value = _split(text, "NAME=VALUE")
    try:
        return name, value if name == "stop" and not value.startswith("[") else json.loads(value)
    except ValueError:
        return name, value


def parse_variable(text: str) -> tuple[str, str]:
    """Split `NAME=TEXT`. `NAME=@FILE` reads the file, and `NAME=@@…` is text that starts with one `@`."""
    name, value = _split(text, "NAME=TEXT or NAME=@FILE")
    if not value.startswith("@"):
        return name, value
    if value.startswith("@@"):
        return name, value[1:]
    try:
        return name, Path(value[1:]).expanduser().read_text(encoding="utf-8").strip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(
            f"{name}: cannot read the file {value[1:]!r}: {error}; for text that starts with @ write @@"
        ) from error


def _split(text: str, form: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not {form}")
    return name, value


ModelOption = Annotated[
    str,
    typer.Option("-m", "--model", metavar="URI", envvar=MODEL_VARIABLE, help="Where the model is."),
]
ParameterOption = Annotated[
    list[Any] | None,
    typer.Option(
        "-p", metavar="NAME=VALUE", help="A generation parameter, such as temperature=0.2.", parser=parse_parameter
    ),
]
EulaOption = Annotated[
    bool, typer.Option("--accept-eula", help="Accept the model's licence, where it needs acceptance (Llama 2).")
]
InteractiveOption = Annotated[bool, typer.Option("-i", "--interactive", help="Chat in the terminal, one turn a line.")]
VariableOption = Annotated[
    list[Any] | None,
    typer.Option(
        "-v",
        "--variable",
        metavar="NAME=TEXT",
        help="A variable of the prompt; NAME=@FILE reads a file.",
        parser=parse_variable,
    ),
]
CandidatesOption = Annotated[
    int,
    typer.Option(
        "-n", "--candidates", min=1, help="Sample this many and show the best: code that parses, the likeliest."
    ),
]
UntilOption = Annotated[
    str, typer.Option("--until", help="Where the completion ends: block, line or end (where the model stops).")
]


def parameters_by_name(pairs: list[tuple[str, Any]] | None) -> dict[str, Any]:
    """The values of `-p`. `stop` may be repeated; another name that is repeated is a typer.BadParameter."""
    parameters: dict[str, Any] = {}
    for name, value in pairs or []:
        if name == "client":
            raise typer.BadParameter("-p client: a client is a Python object, which only a program can pass")
        if name == "stop":
            parameters.setdefault("stop", []).extend(value if isinstance(value, list) else [value])
        elif name in parameters:
            raise typer.BadParameter(f"-p {name}: it is given twice")
        else:
            parameters[name] = value
    return parameters


def model_parameters(pairs: list[tuple[str, Any]] | None, accept_eula: bool) -> dict[str, Any]:
    """Keyword arguments for `load_llm` from `-p` and `--accept-eula`."""
    return parameters_by_name(pairs) | ({"accept_eula": True} if accept_eula else {})


def variables_by_name(pairs: list[tuple[str, str]] | None) -> dict[str, str]:
    """The values of `-v`. Raises typer.BadParameter where a name is repeated."""
    variables: dict[str, str] = {}
    for name, value in pairs or []:
        if name in variables:
            raise typer.BadParameter(f"-v {name}: it is given twice")
        variables[name] = value
    return variables
