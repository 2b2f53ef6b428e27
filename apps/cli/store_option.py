"""Where the commands keep conversations: an option that `chat` and `threads` share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sagechain.chains import Store

KeptInOption = Annotated[
    str | None,
    typer.Option(
        "--kept-in",
        metavar="FILE|URL",
        envvar="SAGECHAIN_THREADS",
        show_envvar=True,
        help="Where conversations are kept: a SQLite file, or postgresql://…",
    ),
]


def store(given: str | None, *, create: bool = True) -> "Store":
    """The store that is meant; the user's own file if none is given.

    Raises:
        ValueError: it is none, or is missing and not to be created.
    """
    from sagechain.chains import open_store

    return open_store(given or _own_file(), create=create)


def is_missing(given: str | None) -> bool:
    """Whether nothing was ever kept in the file that is meant."""
    place = given or _own_file()
    return "://" not in place and not Path(place).exists()


def _own_file() -> str:
    from platformdirs import user_data_path

    return str(user_data_path("sagechain") / "threads.sqlite")
