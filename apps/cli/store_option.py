"""Where conversations are stored: an option of `sagechain chat` and `sagechain threads`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sagechain.chains import Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--kept-in",
        metavar="FILE|URL",
        envvar="SAGECHAIN_THREADS",
        show_envvar=True,
        help="Where conversations are stored: a SQLite file, or postgresql://…",
    ),
]


def open_threads(location: str | None, *, create: bool = True) -> "Store":
    """The store at `location`, or in the user's own file if None.

    Raises:
        ValueError: the file is not a store, or is missing and `create` is False.
    """
    from sagechain.chains import open_store

    return open_store(location or _default_file(), create=create)


def is_missing(location: str | None) -> bool:
    """Whether the store's file does not exist yet."""
    location = location or _default_file()
    return "://" not in location and not Path(location).exists()


def _default_file() -> str:
    from platformdirs import user_data_path

    return str(user_data_path("sagechain") / "threads.sqlite")
