"""`open_store`: the one way to a store of threads: a SQLite file, a PostgreSQL database, or this process's memory."""

import os
import re
from pathlib import Path

from sagechain.llms.errors import MissingExtra
from sagechain.prompts import unknown_name

from .base import Store

ACCEPTED = "a SQLite file, sqlite:///FILE, or postgresql://USER:PASSWORD@HOST:PORT/NAME"
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # one letter before the colon may be a drive of Windows


def open_store(place: str | Path, *, create: bool = True) -> Store:
    """The store at a place; close it, or use it as a context manager: `with open_store(…)` or `async with open_store(…)`.

    Args:
        place: a SQLite file, also as `sqlite:///FILE`, or a PostgreSQL database, `postgresql://USER:PASSWORD@HOST:PORT/NAME`
            (the extra `postgres`). Missing tables are created. `:memory:` stores nothing on disk.
        create: create the file and its folder if they are missing; a PostgreSQL database must exist.

    Raises:
        ValueError: not a place, another scheme, a malformed URL, a file that is missing or not a SQLite database, tables of
            another program or of a later version. No message contains the password.
        MissingExtra: the `postgres` extra is not installed.
        StoreFailed: the server or the file cannot be reached, or refuses.
    """
    if not isinstance(place, str | Path) or not str(place).strip() or "\x00" in str(place):
        shown = repr(place) if place is None or isinstance(place, str) else type(place).__name__
        raise ValueError(f"store: {shown} is not a place; give {ACCEPTED}")
    if str(place) == ":memory:":
        from .sqlite import MemoryStore

        return MemoryStore()
    scheme, is_url, rest = str(place).partition("://")
    if isinstance(place, str) and not is_url and (match := SCHEME.match(place)):
        raise ValueError(f"store: {match[0]!r} begins no address that is known here; give {ACCEPTED}")
    if is_url and scheme in ("postgresql", "postgres"):
        try:
            from .postgres import PostgresStore
        except ImportError as error:
            raise MissingExtra("PostgreSQL", "postgres") from error
        return PostgresStore(str(place))
    if is_url and scheme != "sqlite":
        raise unknown_name("store: scheme", scheme, ["postgresql", "sqlite"])
    if is_url and not (rest.startswith("/") and rest[1:]):
        raise ValueError(f"store: {place!r} names no file; write sqlite:///FILE, or sqlite:////FOLDER/FILE")
    from .sqlite import SqliteStore

    if str(place).endswith(("/", os.sep)):
        raise ValueError(f"store: {str(place)!r} is a folder; give {ACCEPTED}")
    return SqliteStore(Path(rest[1:] if is_url else place), create)
