"""Options of a command that exclude each other."""

from collections.abc import Mapping

import typer


def check_exclusive(options: Mapping[str, object]) -> None:
    """Raise typer.BadParameter if more than one of these options is given, by the names that the user knows."""
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        raise typer.BadParameter(f"give {' or '.join(given)}, not both")
