"""`sagechain logs`: what was asked and answered, if the user has switched the log on."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from sagechain.command import print_note, print_text
from sagechain.prompts import visible_line

from ..logs.recording import is_on, log_file, read_log, switch
from .confirmation import confirm
from .default_command import default_command

if TYPE_CHECKING:
    from ..logs.store import Entry

app = typer.Typer(
    cls=default_command("list"),
    help="A log of questions and answers (ask, solve, complete). It is off until `sagechain logs on`.",
    rich_markup_mode=None,
)

PREVIEW_CHARACTERS = 70  # of a prompt in the list

CountOption = Annotated[
    int, typer.Option("-n", "--count", min=0, metavar="NUMBER", help="How many of the latest; 0 for all.")
]
ModelFilter = Annotated[
    str | None, typer.Option("-m", "--model", metavar="TEXT", help="Only models whose URI contains this.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print all fields, as a JSON array.")]


@app.command("list")
def list_entries(
    count: CountOption = 10,
    model: ModelFilter = None,
    query: Annotated[
        str | None, typer.Option("-q", "--query", metavar="WORDS", help="Only entries with these words.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the latest entries, the latest last: number, time, command, model, the start of the prompt.

    Example: sagechain logs list -n 20
    """
    with read_log() as log:
        _print(log.latest(count or None, model=model, query=query), as_json)


@app.command("search")
def search(
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help='Words, or "a phrase" between double quotes.')],
    count: CountOption = 10,
    model: ModelFilter = None,
    as_json: JsonOption = False,
) -> None:
    """List the entries whose prompt, answer or system text has all of these words.

    Example: sagechain logs search capital France
    """
    with read_log() as log:
        _print(log.latest(count or None, model=model, query=" ".join(words)), as_json)


@app.command("show")
def show(
    number: Annotated[
        int | None, typer.Argument(metavar="[NUMBER]", help="The entry's number in the list; the latest if not given.")
    ] = None,
    answer_only: Annotated[bool, typer.Option("-r", "--response", help="Print the answer alone.")] = False,
    extract: Annotated[
        bool, typer.Option("-x", "--extract", help="Print the first fenced code block of the answer alone.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all fields, as a JSON object.")] = False,
) -> None:
    """Show an entry with all its texts.

    Example: sagechain logs show 3
    """
    with read_log() as log:
        entry = next(iter(log.latest(1)), None) if number is None else log.find(number)
    if entry is None:
        raise ValueError("log: it is empty" if number is None else f"log: it has no entry {number}")
    if as_json:
        print_text(json.dumps(asdict(entry), ensure_ascii=False, indent=2))
    elif extract:
        from ..questions.code_blocks import extract_code

        print_text(extract_code(entry.answer))
    elif answer_only:
        print_text(entry.answer)
    else:
        for line in _lines(entry):
            print_text(line)


@app.command("on")
def switch_on() -> None:
    """Record questions and answers from now on. Credentials and the environment are never recorded.

    Example: sagechain logs on
    """
    path = switch()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    print_note(f"Questions and answers are recorded in {log_file()}. `sagechain logs off` ends this.")


@app.command("off")
def switch_off() -> None:
    """Record nothing from now on. What is recorded stays: `sagechain logs clear` deletes it.

    Example: sagechain logs off
    """
    switch().unlink(missing_ok=True)
    print_note("Nothing is recorded. `sagechain logs clear` deletes what is recorded already.")


@app.command("status")
def status() -> None:
    """Print whether the log is on, its file, its size and its number of entries.

    Example: sagechain logs status
    """
    file = log_file()
    print(f"The log is {'on' if is_on() else 'off'}.")
    if not file.exists():
        print(f"Nothing is recorded yet; the file will be {file}")
        return
    with read_log() as log:
        print(f"{log.count():,} entries, {file.stat().st_size / 1e6:.1f} MB, in {file}")


@app.command("path")
def path() -> None:
    """Print the path of the log's file.

    Example: sagechain logs path
    """
    print(log_file())


@app.command("clear")
def clear(yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False) -> None:
    """Delete all that is recorded, with the file. Whether the log is on stays as it is.

    Example: sagechain logs clear --yes
    """
    file = log_file()
    if not file.exists():
        print_note("Nothing is recorded yet.")
        return
    if not yes:
        confirm(f"Delete {file}, {file.stat().st_size / 1e6:.1f} MB?")
    for each in (file, file.with_name(f"{file.name}-journal")):
        each.unlink(missing_ok=True)
    print_note(f"{file} is deleted.")


def _print(entries: "Sequence[Entry]", as_json: bool) -> None:
    if as_json:
        print_text(json.dumps([asdict(entry) for entry in entries], ensure_ascii=False, indent=2))
        return
    if not entries:
        print_note("No entry matches.")
    for entry in entries:
        text = " ".join(entry.prompt[: 10 * PREVIEW_CHARACTERS].split())
        preview = text if len(text) <= PREVIEW_CHARACTERS else f"{text[: PREVIEW_CHARACTERS - 1]}…"
        failed = " (failed)" if entry.error else ""
        print_text(visible_line(f"{entry.id:>4}  {_time(entry)}  {entry.command}  {entry.model}{failed}  {preview}"))


def _lines(entry: "Entry") -> Iterator[str]:
    yield f"{entry.id}: {entry.command}, {_time(entry)}, {entry.model}"
    figures = {
        **entry.parameters,
        "input_tokens": entry.input_tokens,
        "output_tokens": entry.output_tokens,
        "seconds": None if entry.seconds is None else round(entry.seconds, 2),
        "finish_reason": entry.finish_reason,
    }
    yield " ".join(f"{name}={value}" for name, value in figures.items() if value is not None)
    for title, text in (("System", entry.system), ("Prompt", entry.prompt), ("Answer", entry.answer)):
        if text:
            yield f"\n{title}:\n{text}"
    if entry.error:
        yield f"\nError:\n{entry.error}"


def _time(entry: "Entry") -> str:
    """The time of this machine's zone."""
    from datetime import datetime

    return f"{datetime.fromisoformat(entry.created_at).astimezone():%Y-%m-%d %H:%M}"
