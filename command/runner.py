"""What every script of the agents and the `sagechain` command share: the model's options, and how failures end.

    def script(model: ModelOption = DEFAULT_MODEL, given: ParameterOption = None) -> None: ...

    if __name__ == "__main__":
        run(script)

Only answers go to standard output; notes, complaints and prompts to standard error. Exit codes: 0; 1 failure; 2 usage;
3 not ready or throttled; 130 interrupted; 141 on a broken pipe, silently.
"""

import json
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

FAILED, USAGE, NOT_NOW, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 130, 141

DEFAULT_MODEL = "local:smollm2"


def named_value(text: str) -> tuple[str, Any]:
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
        "-p", metavar="NAME=VALUE", help="An inference parameter, such as temperature=0.2.", parser=named_value
    ),
]
EulaOption = Annotated[
    bool, typer.Option("--accept-eula", help="You accept the model's licence, where it has one to accept (Llama 2).")
]
InteractiveOption = Annotated[bool, typer.Option("-i", "--interactive", help="Talk in the terminal, a turn a line.")]


def _variable(text: str) -> tuple[str, str]:
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


VariableOption = Annotated[
    list[Any] | None,
    typer.Option(
        "-v", "--variable", metavar="NAME=TEXT", help="What fills the prompt; @FILE reads a file.", parser=_variable
    ),
]


def variables(values: list[tuple[str, str]] | None) -> dict[str, str]:
    """What came by `-v`, by name. Raises typer.BadParameter on repeats."""
    found: dict[str, str] = {}
    for name, value in values or []:
        if name in found:
            raise typer.BadParameter(f"-v {name}: it is given twice")
        found[name] = value
    return found


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


def chosen(given: list[tuple[str, Any]] | None, accept_eula: bool) -> dict[str, Any]:
    """What `load_llm` is told: what came by `-p`, and that the licence is accepted."""
    return parameters(given) | ({"accept_eula": True} if accept_eula else {})


def warn_if_cut(reason: str | None) -> None:
    """Say so when the answer is not whole. No wire tells a limit from the end of the context: both are `length`."""
    if reason == "length":
        note(
            "(The answer was cut at the token limit, or where the model's context ends; up to there "
            "-p max_new_tokens=… gives it more room.)"
        )


def note(text: str) -> None:
    """A line that is no answer."""
    print(text, file=sys.stderr, flush=True)


def run(script: Callable[..., None]) -> NoReturn:
    """Run a function of options and arguments as a program of its own; never gives back."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(script)
    name = Path(sys.argv[0]).stem
    run_app(app, f"python -m sagechain.agents.{name}", name)


def run_app(app: Callable[..., Any], program: str, complains_as: str) -> NoReturn:
    """Run a typer app under a program's name, with every failure as one line and an exit code; never gives back."""
    if isinstance(sys.stdout, TextIOWrapper):
        # What a terminal has no letter for, and half a character, are shown as \u…: that is no failure.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(_exit_code(app, program, complains_as))


def _exit_code(app: Callable[..., Any], program: str, complains_as: str) -> int:
    def complaint(text: str, code: int) -> int:
        note(f"{complains_as}: {text}")
        return code

    try:
        try:
            app(prog_name=program)
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        # Typer answers a broken pipe by exit code 1, and raises SystemExit while it handles the real error.
        if isinstance(end.__context__, BrokenPipeError):
            return _broken_pipe()
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        return _broken_pipe()
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        return complaint(str(error), FAILED)
    except ValueError as error:
        return complaint(_one_line(error), USAGE)
    except Exception as error:
        from sagechain.llms.errors import LLMError, ModelNotReady, Throttled

        if not isinstance(error, LLMError):
            raise
        return complaint(str(error), NOT_NOW if isinstance(error, ModelNotReady | Throttled) else FAILED)
    return 0


def _broken_pipe() -> int:
    # Whoever read has gone. Python would complain once more when it flushes standard output at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return BROKEN_PIPE


def _one_line(error: ValueError) -> str:
    """pydantic's report of several lines as `field: what is wrong; …`."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    found = []
    for each in error.errors(include_url=False, include_input=False):
        field, what = ".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")
        found.append(f"{field}: {what}" if field else what)
    return "; ".join(found)
