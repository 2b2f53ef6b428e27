"""A command group whose own name runs one of its commands: `sagechain logs -n 3` is `sagechain logs list -n 3`."""

from typing import Any

from typer.core import TyperGroup


def default_command(name: str) -> type[TyperGroup]:
    """The class of a group that runs the command `name` where none is given."""

    class GroupWithDefault(TyperGroup):
        """Puts the name before arguments that begin with an option, and in place of no arguments."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            is_missing = not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names)
            return super().parse_args(ctx, [name, *args] if is_missing else args)

    return GroupWithDefault
