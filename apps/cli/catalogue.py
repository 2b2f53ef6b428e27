"""`sagechain endpoints catalogue`: the models that can be deployed, and their prices."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import print_note, print_text

if TYPE_CHECKING:
    from sagechain.endpoints import CatalogueEntry
    from sagechain.endpoints.jumpstart import JumpStartSpec

WIDTH = 200  # characters of a table's line: enough for the longest id; a narrow terminal wraps it


def show_catalogue(
    model_id: Annotated[str | None, typer.Argument(help="The id of one model; all known models if not given.")] = None,
    eula: Annotated[
        bool, typer.Option("--eula", help="Show only the name and address of the model's licence.")
    ] = False,
    jumpstart: Annotated[
        bool, typer.Option("--jumpstart", help="Read JumpStart's public files, which have all its models.")
    ] = False,
    region: Annotated[
        str,
        typer.Option("--region", envvar=["AWS_DEFAULT_REGION", "AWS_REGION"], help="The AWS region of the endpoint."),
    ] = "us-east-1",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the models that can be deployed: wire, instance and its price, memory, licence.

    Example: sagechain endpoints catalogue meta-textgeneration-llama-2-7b-f --eula
    """
    if model_id is None and (eula or jumpstart):
        raise typer.BadParameter("give a MODEL_ID with --eula and --jumpstart.")
    models = _models(model_id, region, jumpstart=jumpstart)
    if eula:
        models = [{name: models[0].get(name) for name in ("model_id", "license", "eula")}]
    if as_json:
        print(json.dumps(models if model_id is None else models[0], indent=2))
    elif eula:
        print_text(_licence(models[0]))
    elif model_id is None:
        _print_table(models, region)
    else:
        _print_model(models[0])


def _models(model_id: str | None, region: str, *, jumpstart: bool) -> list[dict[str, Any]]:
    if model_id and jumpstart:
        from sagechain.endpoints.jumpstart import jumpstart_spec  # needs boto3, unlike the catalogue

        return [_with_price(jumpstart_spec(model_id, region=region), region)]
    from sagechain.endpoints.jumpstart import catalogue, catalogue_entry

    return [_with_price(entry, region) for entry in ([catalogue_entry(model_id)] if model_id else catalogue())]


def _with_price(model: "CatalogueEntry | JumpStartSpec", region: str) -> dict[str, Any]:
    from sagechain.endpoints import price_of

    price = price_of(model.instance_type, region)
    return model.model_dump(mode="json") | {
        "usd_per_hour": price.usd_per_hour,
        "price_dated": price.dated.isoformat(),
        "price_note": price.note,
    }


def _licence(model: dict[str, Any]) -> str:
    if model["eula"]:
        return f"{model['license'] or 'The licence'}: {model['eula']}\nRead it, then deploy with --accept-eula."
    return f"{model['license'] or 'JumpStart names no licence'}: none has to be accepted before deploying."


def _price(model: dict[str, Any]) -> str:
    usd = model["usd_per_hour"]
    return "unknown" if usd is None else f"{'~' if model['price_note'] else ''}${usd:.3f}/h"


def _print_table(models: list[dict[str, Any]], region: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "family", "wire", box=None, pad_edge=False)
    table.add_column("weights", justify="right")
    for heading in ("instance", f"in {region}", "licence"):
        table.add_column(heading)
    for model in models:
        licence = model["license"] + (" (to accept)" if model["eula"] else "")
        names, weights = (model["model_id"], model["family"], model["wire"]), f"{model['memory_gib']} GiB"
        table.add_row(*names, weights, model["instance_type"], _price(model), licence)
    Console(width=WIDTH, force_terminal=sys.stdout.isatty(), markup=False).print(table)
    for note in sorted({model["price_note"] for model in models} - {""}):
        print_note(f"(~ {note})")


def _print_model(model: dict[str, Any]) -> None:
    """Print one field a line; fields without a value are left out."""
    width = max(map(len, model))
    for name, value in model.items():
        if value not in (None, ""):
            print_text(f"{name:{width}}  {_in_one_line(value)}")


def _in_one_line(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={item}" for name, item in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)
