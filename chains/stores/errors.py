"""What goes wrong in the database that stores the threads."""

from collections.abc import Iterator
from contextlib import contextmanager

from sagechain.llms.errors import ConnectionFailed


class StoreFailed(ConnectionFailed):
    """The database that stores the threads cannot be reached, or refuses."""

    advice = "Check its address, that it can be reached, and that you may write there."


def closed_store(place: str) -> StoreFailed:
    """The error of a store that is used after it was closed."""
    error = StoreFailed(place, "the store is closed.")
    error.advice = "Open it again with open_store, and use it inside its `with` block."
    return error


@contextmanager
def store_errors(place: str, raised: tuple[type[Exception], ...]) -> Iterator[None]:
    """Raise a `StoreFailed` with a one-line message for what a database's library raises."""
    try:
        yield
    except raised as error:
        reason = " ".join(str(error).split())
        raise StoreFailed(place, reason if reason.endswith((".", "?", "!")) else f"{reason}.") from error
