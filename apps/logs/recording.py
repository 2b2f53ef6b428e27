"""Record what commands ask and get, if the user has switched the log on.

    entry = Entry(command="ask", model=uri, prompt=text)
    with recorded(entry):
        entry.answer = …

A log that cannot be written costs one note, and never an answer.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagechain.command import print_note

if TYPE_CHECKING:
    from .store import Entry, Log


def log_file() -> Path:
    """The log's file; `SAGECHAIN_LOGS` names another one."""
    from platformdirs import user_data_path

    given = os.environ.get("SAGECHAIN_LOGS")
    return Path(given).expanduser() if given else user_data_path("sagechain") / "logs.sqlite"


def switch() -> Path:
    """A file beside the log; the log is on while it exists."""
    return Path(f"{log_file()}.on")


def is_on() -> bool:
    """Whether questions are recorded."""
    try:
        return switch().exists()
    except (OSError, RuntimeError, ValueError):  # no home folder, or one that may not be read
        return False


@contextmanager
def recorded(entry: "Entry", *, enabled: bool = True) -> Iterator[None]:
    """Store the entry after the block, with the error that ended it, if a request was due.

    Args:
        entry: what the block fills.
        enabled: False stores nothing, even if the log is on.
    """
    if not enabled or not is_on():
        yield
        return
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        from sagechain.llms.errors import LLMError

        if isinstance(error, LLMError | KeyboardInterrupt | BrokenPipeError):
            entry.error = str(error) or type(error).__name__
            _record(entry)
        raise
    _record(entry)


@contextmanager
def read_log() -> "Iterator[Log]":
    """The log, to be read.

    Raises:
        ValueError: nothing is recorded yet, or the file is not a log.
        LLMError: the file cannot be read, or is damaged.
    """
    import sqlite3

    from sagechain.llms.errors import LLMError

    from .store import open_log

    try:
        with open_log(log_file(), create=False) as log:
            yield log
    except sqlite3.Error as error:
        failure = LLMError("log", f"{log_file()} cannot be read: {error}.")
        failure.advice = "`sagechain logs clear` deletes it."
        raise failure from error


def loggable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The generation parameters among a model's parameters: credentials and addresses are left out."""
    from sagechain.llms import PARAMETER_NAMES

    names = {*PARAMETER_NAMES, "max_tokens", "timeout", "max_retries"}
    return {name: value for name, value in parameters.items() if name in names}


def _record(entry: "Entry") -> None:
    import sqlite3

    from .store import open_log

    entry.model = re.sub(r"//[^/@\s]++@", "//", entry.model)  # name and password of an address
    try:
        with open_log(log_file()) as log:
            entry.id = log.add(entry)
    except (sqlite3.Error, OSError, ValueError) as error:
        print_note(f"(Not logged: {error}; the log is {log_file()}.)")
