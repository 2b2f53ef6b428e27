"""`sagechain threads`: the conversations that are kept, without the model that they were with."""

import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import print_note

from .confirmation import confirm
from .store_option import StoreOption, is_missing, open_threads

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from sagechain.chains import Entry, Store, ThreadInfo

app = typer.Typer(
    help="Conversations that are kept: list, show, export, delete.", no_args_is_help=True, rich_markup_mode=None
)

NAMES = {"human": "You", "ai": "Model", "tool": "Tool"}
WORDS = 60  # characters of a first message in a list
PAGE = 200  # messages that are in memory at once

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As `sagechain threads list` names it.")]


class Format(StrEnum):
    """What an export may be."""

    json = "json"
    markdown = "markdown"


@app.command("list")
def list_all(location: StoreOption = None) -> None:
    """List all conversations, the last one first.

    Example: sagechain threads list
    """
    found: list[ThreadInfo] = []
    if not is_missing(location):
        with open_threads(location, create=False) as kept:
            found = kept.threads()
    if found:
        _table(found)
    else:
        print_note("No conversation is kept yet.")


@app.command("show")
def show(name: NameArgument, location: StoreOption = None) -> None:
    """Show all that was said.

    Example: sagechain threads show ada
    """
    with open_threads(location, create=False) as kept:
        for entry in _entries(kept, name):
            for line in _told(entry.message):
                print(_printable(line, but="\n\t"))


@app.command("export")
def export(
    name: NameArgument,
    form: Annotated[
        Format, typer.Option("--format", help="JSON holds every message as LangChain knows it.")
    ] = Format.json,
    location: StoreOption = None,
) -> None:
    """Write a conversation to standard output.

    Example: sagechain threads export ada --format markdown > ada.md
    """
    with open_threads(location, create=False) as kept:
        for line in (_markdown if form is Format.markdown else _json)(name, _entries(kept, name)):
            print(line)


@app.command("delete")
def delete(
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    location: StoreOption = None,
) -> None:
    """Delete a conversation for ever, once no turn of it runs any more.

    Example: sagechain threads delete ada --yes
    """
    with open_threads(location, create=False) as kept:
        info = _known(kept, name)
        if not yes:
            confirm(f"Delete {name}, {info.turns} turns?")
        with kept.turn(name):
            kept.delete_thread(name)
    print_note(f"{name} is deleted.")


def _entries(kept: "Store", name: str) -> "Iterator[Entry]":
    """All messages, a page at a time."""
    if not kept.transcript(name, most=1):
        _known(kept, name)
    after = -1
    while page := kept.transcript(name, after=after, most=PAGE):
        yield from page
        after = page[-1].position


def _known(kept: "Store", name: str) -> "ThreadInfo":
    from sagechain.prompts import unknown_name

    found = {info.name: info for info in kept.threads()}
    if not found:
        raise ValueError(f"thread: {name!r} is unknown; no conversation is kept yet")
    if name not in found:
        raise unknown_name("thread", name, found)
    return found[name]


def _told(message: "BaseMessage") -> Iterator[str]:
    """A message as lines for people."""
    if message.text:
        yield f"{NAMES.get(message.type, message.type)}: {message.text}"
    for call in getattr(message, "tool_calls", ()):
        yield f"Call: {call['name']}({json.dumps(call['args'], ensure_ascii=False, default=str)})"


def _markdown(name: str, entries: "Iterator[Entry]") -> Iterator[str]:
    turn = 0
    for entry in entries:
        if entry.turn != turn:
            yield "" if turn else f"# {name}\n"
            turn = entry.turn
            yield f"## {turn}, {_time(entry.created_at)}"
        for line in _told(entry.message):
            who, said = line.split(": ", 1)
            yield f"\n**{who}:** {said}"


def _json(name: str, entries: "Iterator[Entry]") -> Iterator[str]:
    from langchain_core.messages import message_to_dict

    before = f'{{"thread": {json.dumps(name)}, "messages": ['
    for entry in entries:
        yield before
        told: dict[str, Any] = {
            "turn": entry.turn,
            "created_at": datetime.fromtimestamp(entry.created_at, UTC).isoformat(),
            "message": message_to_dict(entry.message),
        }
        before = f"{json.dumps(told, indent=2, default=str)},"
    yield before.removesuffix(",")
    yield "]}"


def _table(found: "Sequence[ThreadInfo]") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("thread", box=None, pad_edge=False)
    for heading in ("turns", "messages"):
        table.add_column(heading, justify="right")
    for heading in ("first", "last", "begins with"):
        table.add_column(heading)
    for info in found:
        cells = (info.name, str(info.turns), str(info.messages), _time(info.first_at), _time(info.last_at))
        table.add_row(*(Text(_printable(cell)) for cell in (*cells, _short(info.first_words))))
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WORDS else f"{text[: WORDS - 2]} …"


def _printable(text: str, but: str = "") -> str:
    """Without what a terminal would take for a command, but for these."""
    return "".join(each if each in but or unicodedata.category(each) not in ("Cc", "Cs") else "�" for each in text)
