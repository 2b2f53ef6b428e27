"""Text that is piped to a command."""

import os
import select
import sys

import typer
from sagechain.command import print_note

PATIENCE = 1.0  # seconds of silence of a pipe: then it is left out if a question is given, else mentioned


def piped_text(*, is_needed: bool) -> str:
    """Standard input as it is; empty if it is a terminal.

    Args:
        is_needed: whether the command has no other text. Otherwise a pipe that stays silent is not waited for: a process
            in the background often inherits one that is never closed.

    Raises:
        ValueError: the bytes are not text.
    """
    if sys.stdin is None or sys.stdin.closed or os.isatty(sys.stdin.fileno()):
        return ""
    if not _has_data():
        if not is_needed:
            print_note(
                f"(Standard input sent nothing for {PATIENCE:.0f} s, and is left out. `< /dev/null` avoids the wait.)"
            )
            return ""
        print_note("(Waiting for standard input …)")
    data, encoding = _read_to_end(), sys.stdin.encoding
    try:
        return data.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"standard input: byte {error.start + 1} is not {encoding} text ({error.reason}); convert it, "
            f"for example with `iconv -f latin1 -t utf-8`"
        ) from None


def read_question(argument: str | None) -> str:
    """The question from the command line, with standard input below it. Raises typer.BadParameter if both are empty."""
    question = (argument or "").strip()
    text = "\n\n".join(part for part in (question, piped_text(is_needed=not question).strip()) if part)
    if not text:
        raise typer.BadParameter("give a question, or text on standard input.")
    return text


def _read_to_end() -> bytes:
    """All bytes of standard input; a pipe that falls silent and stays open is mentioned once."""
    parts: list[bytes] = []
    is_mentioned = False
    while True:
        if not is_mentioned and parts and not _has_data():
            print_note("(Standard input is still open; waiting for its end …)")
            is_mentioned = True
        part = os.read(sys.stdin.fileno(), 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _has_data() -> bool:
    """Whether standard input has data or has ended; it may take `PATIENCE` seconds."""
    if os.name == "nt":  # where only sockets can be waited for
        return True
    return bool(select.select([sys.stdin.fileno()], [], [], PATIENCE)[0])
