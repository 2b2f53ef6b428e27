"""`sagechain models`: the embedded models, and fetching them."""

from typing import Annotated

import typer

app = typer.Typer(help="The models that run on this machine.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def show() -> None:
    """List the embedded models.

    Example: sagechain models list
    """
    from sagechain.llms.local import embedded_models

    for name, model in embedded_models().items():
        state = str(model.path) if model.pulled else "not pulled yet"
        print(f"local:{name}  {model.bytes / 1e6:.0f} MB  {model.license}  {model.description}  [{state}]")


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="The model, as `sagechain models list` names it.")] = "smollm2",
) -> None:
    """Fetch a model, so that it is there when it is needed.

    Example: sagechain models pull smollm2
    """
    from sagechain.llms.local import pull as pulled

    print(pulled(name.removeprefix("local:")))
