"""`sagechain threads`: the stored conversations, without the models that they were with."""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import print_note, print_text
from sagechain.prompts import visible_line

from .confirmation import confirm
from .store_option import StoreOption, is_missing, open_threads

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from sagechain.chains import Entry, Store, ThreadInfo

app = typer.Typer(help="Stored conversations: list, show, export, delete.", no_args_is_help=True, rich_markup_mode=None)

SPEAKERS = {"human": "You", "ai": "Model", "tool": "Tool"}
PREVIEW_CHARACTERS = 60  # of a thread's first message in the list
PAGE_SIZE = 200  # messages in memory at once

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="The conversation's name in `sagechain threads list`.")
]


class Format(StrEnum):
    """The formats of an export."""

    json = "json"
    markdown = "markdown"


@app.command("list")
def list_all(location: StoreOption = None) -> None:
    """List all conversations, the latest first.

    Example: sagechain threads list
    """
    threads: list[ThreadInfo] = []
    if not is_missing(location):
        with open_threads(location, create=False) as store:
            threads = store.threads()
    if threads:
        _print_table(threads)
    else:
        print_note("No conversation is stored yet.")


@app.command("show")
def show(name: NameArgument, location: StoreOption = None) -> None:
    """Show all messages of a conversation.

    Example: sagechain threads show ada
    """
    with open_threads(location, create=False) as store:
        for entry in _entries(store, name):
            for line in _lines(entry.message):
                print_text(line)


@app.command("export")
def export(
    name: NameArgument,
    form: Annotated[
        Format, typer.Option("--format", help="json has every message with all fields of LangChain.")
    ] = Format.json,
    location: StoreOption = None,
) -> None:
    """Write a conversation to standard output.

    Example: sagechain threads export ada --format markdown > ada.md
    """
    with open_threads(location, create=False) as store:
        for line in (_markdown if form is Format.markdown else _json)(name, _entries(store, name)):
            print_text(line)


@app.command("delete")
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    location: StoreOption = None,
) -> None:
    """Delete a conversation permanently; a turn that is running ends first.

    Example: sagechain threads delete ada --yes
    """
    with open_threads(location, create=False) as store:
        info = _find(store, name)
        if not yes:
            confirm(f"Delete {name}, {info.turns} turns?")
        with store.turn(name):
            store.delete_thread(name)
    print_note(f"{name} is deleted.")


def _entries(store: "Store", name: str) -> "Iterator[Entry]":
    """All messages, loaded a page at a time."""
    if not store.transcript(name, most=1):
        _find(store, name)
    last = -1
    while page := store.transcript(name, after=last, most=PAGE_SIZE):
        yield from page
        last = page[-1].position


def _find(store: "Store", name: str) -> "ThreadInfo":
    """The thread with this name. Raises ValueError if it is unknown."""
    from sagechain.prompts import unknown_name

    threads = {info.name: info for info in store.threads()}
    if not threads:
        raise ValueError(f"thread: {name!r} is unknown; no conversation is stored yet")
    if name not in threads:
        raise unknown_name("thread", name, threads)
    return threads[name]


def _lines(message: "BaseMessage") -> Iterator[str]:
    """`Speaker: text`, and a line for each tool call."""
    if message.text:
        yield f"{SPEAKERS.get(message.type, message.type)}: {message.text}"
    for call in getattr(message, "tool_calls", ()):
        yield f"Call: {call['name']}({json.dumps(call['args'], ensure_ascii=False, default=str)})"


def _markdown(name: str, entries: "Iterator[Entry]") -> Iterator[str]:
    turn = 0
    for entry in entries:
        if entry.turn != turn:
            yield "" if turn else f"# {name}\n"
            turn = entry.turn
            yield f"## {turn}, {_time(entry.created_at)}"
        for line in _lines(entry.message):
            speaker, text = line.split(": ", 1)
            yield f"\n**{speaker}:** {text}"


def _json(name: str, entries: "Iterator[Entry]") -> Iterator[str]:
    """One JSON object, a message at a time, so that a long thread is never in memory as a whole."""
    from langchain_core.messages import message_to_dict

    before = f'{{"thread": {json.dumps(name)}, "messages": ['
    for entry in entries:
        yield before
        message: dict[str, Any] = {
            "turn": entry.turn,
            "created_at": datetime.fromtimestamp(entry.created_at, UTC).isoformat(),
            "message": message_to_dict(entry.message),
        }
        before = f"{json.dumps(message, indent=2, default=str)},"
    yield before.removesuffix(",")
    yield "]}"


def _print_table(threads: "Sequence[ThreadInfo]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("thread", box=None, pad_edge=False)
    for heading in ("turns", "messages"):
        table.add_column(heading, justify="right")
    for heading in ("first", "last", "begins with"):
        table.add_column(heading)
    for info in threads:
        cells = (info.name, str(info.turns), str(info.messages), _time(info.first_at), _time(info.last_at))
        table.add_row(*(Text(visible_line(cell)) for cell in (*cells, _preview(info.first_words))))
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"


def _preview(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= PREVIEW_CHARACTERS else f"{text[: PREVIEW_CHARACTERS - 2]} …"
