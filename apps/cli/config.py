"""`sagechain config`: the user's settings.

An option counts before the environment, the environment before this file, and the file before the default.
"""

import os
from typing import Annotated

import typer
from sagechain.command import (
    FAILURE,
    check_setting,
    config_path,
    known_settings,
    print_note,
    print_text,
    read_settings,
    remove_setting,
    write_setting,
)

app = typer.Typer(help="Your settings: list, get, set, unset.", no_args_is_help=True, rich_markup_mode=None)


def _names(incomplete: str) -> list[str]:
    return [name for name in known_settings() if name.startswith(incomplete)]


NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A name in `sagechain config list`.", autocompletion=_names)
]


@app.command("list")
def list_all() -> None:
    """List the settings: name, value, where the value comes from, description.

    Example: sagechain config list
    """
    stored = read_settings()
    width = max(map(len, known_settings()))
    for name, setting in known_settings().items():
        # The stored settings are in the environment too: `apply_settings` has put them there.
        value = os.environ.get(setting.variable, setting.default)
        source = "default"
        if setting.variable in os.environ:
            source = "config" if stored.get(name) == value else setting.variable
        print_text(f"{name:{width}}  {value}  [{source}]  {setting.description}")


@app.command("get")
def get(name: NameArgument) -> None:
    """Print the value of a setting that counts; exit code 1 if it is not set.

    Example: sagechain config get model
    """
    check_setting(name)
    value = os.environ.get(known_settings()[name].variable)
    if value is None:
        print_note(f"sagechain: {name} is not set; the default is {known_settings()[name].default}.")
        raise typer.Exit(FAILURE)
    print_text(value)


@app.command("set")
def set_(
    name: NameArgument, value: Annotated[str, typer.Argument(metavar="VALUE", help="Its value, as one line.")]
) -> None:
    """Store a setting in the configuration file.

    Example: sagechain config set model "sagemaker:my-falcon?family=falcon"
    """
    write_setting(name, value)
    print_note(
        f"{name} is stored in {config_path()}; {known_settings()[name].variable} in the environment has precedence."
    )


@app.command("unset")
def unset(name: NameArgument) -> None:
    """Remove a setting from the configuration file.

    Example: sagechain config unset model
    """
    print_note(f"{name} is removed." if remove_setting(name) else f"{name} was not set.")


@app.command("path")
def path() -> None:
    """Print the path of the configuration file, whether it exists or not.

    Example: sagechain config path
    """
    print_text(str(config_path()))
