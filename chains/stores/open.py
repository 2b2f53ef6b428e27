"""`open_store`: the one way to a store of threads, a SQLite file or a PostgreSQL database."""

from pathlib import Path

from sagechain.llms.errors import MissingExtra
from sagechain.prompts import unknown_name

from .base import Store


def open_store(place: str | Path, *, create: bool = True) -> Store:
    """The store at a place; close it, or use it as a context manager.

    Args:
        place: a SQLite file, also as `sqlite:///FILE`, or a PostgreSQL database, `postgresql://USER:PASSWORD@HOST:PORT/NAME`
            (the extra `postgres`). Missing tables are created.
        create: create the file and its folder if they are missing; a PostgreSQL database must exist.

    Raises:
        ValueError: another scheme, a malformed URL, a file that is missing or not a SQLite database, tables of another
            program or of a later version. No message contains the password.
        MissingExtra: the `postgres` extra is not installed.
        StoreFailed: the server or the file cannot be reached, or refuses.
    """
    scheme, is_url, rest = str(place).partition("://")
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

    return SqliteStore(Path(rest[1:] if is_url else place), create)
