"""Each failure of a command as one line and an exit code, in the words of the command line."""

import errno
import sys
from collections.abc import Callable
from typing import Any

import typer
from sagechain.llms.errors import LLMError, MissingExtra, ModelNotReady, Throttled
from typer.exceptions import TyperException

from .exit_codes import FAILURE, NOT_READY, USAGE
from .extras import extra_of
from .option_names import in_options, option_name

ADVICE = {
    errno.ENOSPC: "Free space on the disk.",
    errno.EROFS: "XDG_CACHE_HOME, XDG_DATA_HOME and XDG_CONFIG_HOME name other folders for what sagechain stores.",
    errno.EACCES: "XDG_CACHE_HOME, XDG_DATA_HOME and XDG_CONFIG_HOME name other folders for what sagechain stores.",
}
"""What to do after a failure of the operating system on a file."""


def error_line(error: Exception, app: Callable[..., Any], program: str) -> tuple[int, str] | None:
    """The exit code and the line for an error; None if it is a bug, whose traceback is wanted.

    Args:
        app: the typer app that raised it.
        program: the program's name in its help.
    """
    if isinstance(error, TyperException):
        return error.exit_code, _usage_line(error, _command(app, program)[1])
    if isinstance(error, typer.Abort):
        return FAILURE, "standard input ended before the question was answered"
    command, _ = _command(app, program)
    if isinstance(error, LLMError):
        code = NOT_READY if isinstance(error, ModelNotReady | Throttled) else FAILURE
        return code, _in_options(str(error), command)
    if isinstance(error, ModuleNotFoundError):
        return _missing_module(error)
    if isinstance(error, OSError):
        return FAILURE, _operating_system_line(error)
    if isinstance(error, ValueError):
        return USAGE, "; ".join(_in_options(problem, command) for problem in _problems(error))
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # pathlib's and platformdirs' words
        return FAILURE, f"{error}. Without a home, files are stored where XDG_DATA_HOME and XDG_CACHE_HOME point."
    return None


def _usage_line(error: TyperException, path: str) -> str:
    """What typer refuses: the option, what is wrong with it, and where the help is."""
    parameter = getattr(error, "param", None)
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        return f"give a command.\n\n{message}"
    if parameter is not None and error.message:
        message = f"{option_name(parameter)}: {error.message}"
    elif parameter is not None:
        message = f"{option_name(parameter)} is missing"
    elif hasattr(error, "param"):  # raised by our own check of several options
        message = error.message
    elif possibilities := getattr(error, "possibilities", None):
        message = f"{error.message}. Did you mean {' or '.join(sorted(possibilities))}?"
    end = "" if message.endswith((".", "?", "…")) else "."
    return f"{message}{end} Help: {path} --help"


def _missing_module(error: ModuleNotFoundError) -> tuple[int, str] | None:
    """A missing extra; None for a module of ours, which is a bug."""
    name = error.name or ""
    if name.partition(".")[0] == "sagechain":
        return None
    extra = extra_of(name)
    if extra is not None:
        return FAILURE, str(MissingExtra(name, extra))
    return FAILURE, f"the module {name!r} is not installed. `sagechain doctor` shows what is."


def _operating_system_line(error: OSError) -> str:
    if error.strerror is None:
        return str(error)
    places = ", ".join(repr(place) for place in (error.filename, error.filename2) if place is not None)
    advice = ADVICE.get(error.errno or 0, "")
    return f"{error.strerror}{f': {places}' if places else ''}{f'. {advice}' if advice else ''}"


def _problems(error: ValueError) -> list[str]:
    """The message; each line of pydantic's report as `field: what is wrong`."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return [str(error)]
    problems = []
    for each in error.errors(include_url=False, include_input=False):
        field, problem = ".".join(map(str, each["loc"])), each["msg"].removeprefix("Value error, ")
        is_named = not field or problem.startswith(f"{field}: ")  # our own validators name it themselves
        problems.append(problem if is_named else f"{field}: {problem}")
    return problems


def _in_options(message: str, command: Any) -> str:
    return message if command is None else in_options(message, command)


def _command(app: Callable[..., Any], program: str) -> tuple[Any, str]:
    """The typer command that the program's arguments name, and its path; None if `app` is not typer's."""
    if not isinstance(app, typer.Typer):
        return None, program
    command: Any = typer.main.get_command(app)
    for argument in sys.argv[1:]:
        if not hasattr(command, "get_command"):
            break
        if argument.startswith("-"):
            continue
        inner = command.get_command(typer.Context(command), argument)
        if inner is None:
            break
        command, program = inner, f"{program} {argument}"
    return command, program
