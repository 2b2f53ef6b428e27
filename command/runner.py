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
from typing import Any, NoReturn, TextIO

import typer
from sagechain.llms.local.llama_cpp import ctrl_c_ends_loading

from .exit_codes import BROKEN_PIPE, FAILURE, INTERRUPTED
from .library_messages import hide_library_messages
from .settings import apply_settings
from .terminal import print_note
from .visible_text import show_log_visibly


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
    _open_closed_outputs()
    if isinstance(sys.stdout, TextIOWrapper):
        # A character that the terminal's encoding lacks, or half of one, is printed as \u…, and does not end the command.
        sys.stdout.reconfigure(errors="backslashreplace")
    show_log_visibly()
    hide_library_messages()
    with ctrl_c_ends_loading():
        code, message = _run(app, program)
    try:
        if message is not None:
            print_note(f"{error_prefix}: {message}")
        sys.stderr.flush()
    except OSError:  # nobody reads standard error
        _discard(sys.stderr)
    sys.exit(code)


def _run(app: Callable[..., Any], program: str) -> tuple[int, str | None]:
    """The exit code, and the message of the error that ended the app."""
    try:
        try:
            apply_settings()
            code = app(prog_name=program, standalone_mode=False)
        finally:
            sys.stdout.flush()
    except SystemExit as end:
        # Typer turns a broken pipe into exit code 1, and raises SystemExit while it handles the real error.
        if isinstance(end.__context__, BrokenPipeError):
            _discard(sys.stdout)
            return BROKEN_PIPE, None
        if end.code is None or isinstance(end.code, int):
            return end.code or 0, None
        return FAILURE, str(end.code)
    except BrokenPipeError:
        _discard(sys.stdout)
        return BROKEN_PIPE, None
    except KeyboardInterrupt:
        return INTERRUPTED, None
    except Exception as error:
        from .error_lines import error_line

        if isinstance(error, OSError):
            _discard(sys.stdout)
        line = error_line(error, app, program)
        if line is None:
            raise
        return line
    return code if isinstance(code, int) else 0, None


def _open_closed_outputs() -> None:
    """Discard what is printed to a stream that the shell has closed (`2>&-`); Python's is None then."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _discard(stream: TextIO) -> None:
    """Discard what cannot be written (a closed pipe, a full disk): Python would fail on it again at exit."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
