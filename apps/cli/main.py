"""Put the commands together, and turn every failure into one line and an exit code.

Exit codes: 0; 1 failure; 2 usage; 3 not ready or throttled; 130 interrupted; 141 on a broken pipe.
"""

import os
import sys
from typing import Annotated

import typer
from sagechain.apps.cli import ask, chat, demo, models, serve, solve

FAILED, USAGE, NOT_NOW, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 130, 141

app = typer.Typer(
    help="Conversation and chain of thought over language models that live in different places.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("ask")(ask.ask)
app.command("chat")(chat.chat)
app.command("solve")(solve.solve)
app.command("serve")(serve.serve)
app.command("demo")(demo.demo)
app.add_typer(models.app, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"sagechain {version('sagechain')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Conversation and chain of thought over language models that live in different places."""


def main() -> None:
    """Run the command line; never gives back."""
    sys.exit(_run())


def _run() -> int:
    try:
        _command()
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
        return _complaint(str(error), FAILED)
    except ValueError as error:
        return _complaint(_one_line(error), USAGE)
    except Exception as error:
        from sagechain.llms.errors import LLMError, ModelNotReady, Throttled

        if not isinstance(error, LLMError):
            raise
        return _complaint(str(error), NOT_NOW if isinstance(error, ModelNotReady | Throttled) else FAILED)
    return 0


def _command() -> None:
    try:
        app(prog_name="sagechain")
    finally:
        sys.stdout.flush()


def _broken_pipe() -> int:
    # Whoever read has gone. Python would complain once more when it flushes standard output at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return BROKEN_PIPE


def _complaint(text: str, code: int) -> int:
    print(f"sagechain: {text}", file=sys.stderr)
    return code


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
