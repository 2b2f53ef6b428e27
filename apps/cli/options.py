"""The options that several commands share: which model, with which parameters, and what comes on standard input."""

import json
import os
import sys
from typing import Annotated, Any

import typer

DEFAULT_MODEL = "local:smollm2"


def _parameter(text: str) -> tuple[str, Any]:
    """`NAME=VALUE`: numbers, `true`, `false` and `[…]` are read as JSON, anything else is text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    try:
        return name, value if name == "stop" and not value.startswith("[") else json.loads(value)
    except ValueError:
        return name, value


ModelOption = Annotated[
    str,
    typer.Option("-m", "--model", metavar="URI", envvar="SAGECHAIN_MODEL", help="Where the model is."),
]
ParameterOption = Annotated[
    list[Any] | None,
    typer.Option(
        "-p", metavar="NAME=VALUE", help="An inference parameter, such as temperature=0.2.", parser=_parameter
    ),
]


def parameters(given: list[tuple[str, Any]] | None) -> dict[str, Any]:
    """What came by `-p`, by name. `stop` may come several times. Raises typer.BadParameter on other repeats."""
    found: dict[str, Any] = {}
    for name, value in given or []:
        if name == "client":
            raise typer.BadParameter("-p client: a client is an object of a program")
        if name == "stop":
            found.setdefault("stop", []).extend(value if isinstance(value, list) else [value])
        elif name in found:
            raise typer.BadParameter(f"-p {name}: it is given twice")
        else:
            found[name] = value
    return found


def piped() -> str:
    """Standard input, when it is not a terminal and something is there."""
    if sys.stdin is None or sys.stdin.closed or os.isatty(sys.stdin.fileno()):
        return ""
    return sys.stdin.read().strip()


def question_of(argument: str | None) -> str:
    """The question from the command line, with standard input below it. Raises typer.BadParameter if both are empty."""
    text = "\n\n".join(part for part in ((argument or "").strip(), piped()) if part)
    if not text:
        raise typer.BadParameter("give a question, or text on standard input.")
    return text


def warn_if_cut(reason: str | None) -> None:
    """Say so when the answer is not whole."""
    if reason == "length":
        print("(The answer was cut at the token limit; -p max_new_tokens=… gives it more room.)", file=sys.stderr)
