"""`sagechain models`: the embedded models, and their downloads."""

from typing import Annotated

import typer

app = typer.Typer(help="The models that run on this machine.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_models() -> None:
    """List the embedded models.

    Example: sagechain models list
    """
    from sagechain.llms.local import embedded_models

    for name, model in embedded_models().items():
        state = str(model.path) if model.pulled else "not pulled yet"
        print(f"local:{name}  {model.bytes / 1e6:.0f} MB  {model.license}  {model.description}  [{state}]")


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="The model's name in `sagechain models list`.")] = "smollm2",
) -> None:
    """Download a model before it is needed.

    Example: sagechain models pull smollm2
    """
    from sagechain.llms.local import pull as pull_model

    print(pull_model(name.removeprefix("local:")))
