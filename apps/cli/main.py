"""All commands in one app. Error lines and exit codes are those of `command/runner.py`."""

from typing import Annotated

import typer
from sagechain.command import run_app

from . import (
    agents,
    ask,
    chat,
    complete,
    config,
    demo,
    endpoints,
    local_aws,
    logs,
    models,
    pretrain,
    prompts,
    solve,
    threads,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ask")(ask.ask)
app.command("chat")(chat.chat)
app.command("solve")(solve.solve)
app.command("complete")(complete.complete)
app.command("local-aws")(local_aws.local_aws)
app.command("demo")(demo.demo)
app.add_typer(threads.app, name="threads")
app.add_typer(endpoints.app, name="endpoints")
app.add_typer(pretrain.app, name="pretrain")
app.add_typer(prompts.app, name="prompts")
app.add_typer(models.app, name="models")
app.add_typer(logs.app, name="logs")
app.add_typer(agents.app, name="agents")
app.add_typer(config.app, name="config")


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"sagechain {version('sagechain')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Conversation, chain of thought and code completion over language models that run in different places."""


def main() -> None:
    """Run the command; never returns."""
    run_app(app, program="sagechain", error_prefix="sagechain")
