"""Run a command or an agent script, so that every failure ends as one line on standard error and an exit code.

    if __name__ == "__main__":
        run(script)

Exit codes: 0; 1 failure; 2 usage; 3 not ready or throttled; 130 interrupted; 141 on a broken pipe, silently. An exception
that is not one of these is a bug, and keeps its traceback.
"""

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

import typer
from sagechain.llms.local.llama_cpp import ctrl_c_ends_loading

from .terminal import print_note
from .visible_text import show_log_visibly

FAILURE, USAGE, NOT_READY, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 130, 141


def run(script: Callable[..., None]) -> NoReturn:
    """Run an agent's function of options and arguments as a program; never returns."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(script)
    name = Path(sys.argv[0]).stem
    run_app(app, f"python -m sagechain.agents.{name}", error_prefix=name)


def run_app(app: Callable[..., Any], program: str, *, error_prefix: str) -> NoReturn:
    """Run a typer app; never returns.

    Args:
        app: the app.
        program: the program's name in its help.
        error_prefix: what an error line starts with.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # A character that the terminal's encoding lacks, or half of one, is printed as \u…, and does not end the command.
        sys.stdout.reconfigure(errors="backslashreplace")
    show_log_visibly()
    with ctrl_c_ends_loading():
        code, message = _run(app, program)
    if message is not None:
        print_note(f"{error_prefix}: {message}")
    sys.exit(code)


def _run(app: Callable[..., Any], program: str) -> tuple[int, str | None]:
    """The exit code, and the message of the error that ended the app."""
    try:
        try:
            app(prog_name=program)
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        # Typer turns a broken pipe into exit code 1, and raises SystemExit while it handles the real error.
        if isinstance(end.__context__, BrokenPipeError):
            _discard_output()
            return BROKEN_PIPE, None
        if end.code is None or isinstance(end.code, int):
            return end.code or 0, None
        return FAILURE, str(end.code)
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE, None
    except KeyboardInterrupt:
        return INTERRUPTED, None
    except OSError as error:
        _discard_output()
        return FAILURE, str(error)
    except ValueError as error:
        return USAGE, _one_line(error)
    except RuntimeError as error:
        if "home directory" not in str(error):  # pathlib's and platformdirs' words
            raise
        return FAILURE, f"{error}. Without a home, files are stored where XDG_DATA_HOME and XDG_CACHE_HOME point."
    except Exception as error:
        from sagechain.llms.errors import LLMError, ModelNotReady, Throttled

        if not isinstance(error, LLMError):
            raise
        return (NOT_READY if isinstance(error, ModelNotReady | Throttled) else FAILURE), str(error)
    return 0, None


def _discard_output() -> None:
    """Discard what cannot be written (a closed pipe, a full disk): Python would fail on it again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _one_line(error: ValueError) -> str:
    """The message; pydantic's report, which has several lines, as `field: what is wrong; …`."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    problems = []
    for each in error.errors(include_url=False, include_input=False):
        field, problem = ".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")
        is_named = not field or problem.startswith(f"{field}: ")  # our own validators name it themselves
        problems.append(problem if is_named else f"{field}: {problem}")
    return "; ".join(problems)
