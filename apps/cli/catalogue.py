"""`sagechain endpoints catalogue`: the models that can be deployed, with their prices."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import print_note

if TYPE_CHECKING:
    from sagechain.endpoints import CatalogueEntry
    from sagechain.endpoints.jumpstart import JumpStartSpec

WIDTH = 200  # characters of a table: wide enough for every id; a narrow terminal wraps it


def show_catalogue(
    model_id: Annotated[str | None, typer.Argument(help="One model, by its id; default: all.")] = None,
    eula: Annotated[bool, typer.Option("--eula", help="Only the name and address of the model's licence.")] = False,
    jumpstart: Annotated[
        bool, typer.Option("--jumpstart", help="Read JumpStart's public files, which list all its models.")
    ] = False,
    region: Annotated[
        str, typer.Option("--region", envvar="AWS_DEFAULT_REGION", help="The endpoint's region.")
    ] = "us-east-1",
    as_json: Annotated[bool, typer.Option("--json", help="JSON, for programs.")] = False,
) -> None:
    """Show the models that can be deployed: wire, instance and its price, memory, licence.

    Example: sagechain endpoints catalogue meta-textgeneration-llama-2-7b-f --eula
    """
    if model_id is None and (eula or jumpstart):
        raise typer.BadParameter("give a MODEL_ID with --eula and --jumpstart.")
    facts = [_jumpstart_facts(model_id, region)] if model_id and jumpstart else _catalogue_facts(model_id, region)
    if eula:
        facts = [{name: facts[0].get(name) for name in ("model_id", "license", "eula")}]
    if as_json:
        print(json.dumps(facts if model_id is None else facts[0], indent=2))
    elif eula:
        print(_licence(facts[0]))
    elif model_id is None:
        _show_table(facts, region)
    else:
        _show_facts(facts[0])


def _catalogue_facts(model_id: str | None, region: str) -> list[dict[str, Any]]:
    from sagechain.endpoints.jumpstart import catalogue, catalogue_entry

    return [_with_price(each, region) for each in ([catalogue_entry(model_id)] if model_id else catalogue())]


def _jumpstart_facts(model_id: str, region: str) -> dict[str, Any]:
    from sagechain.endpoints.jumpstart import jumpstart_spec

    return _with_price(jumpstart_spec(model_id, region=region), region)


def _with_price(model: "CatalogueEntry | JumpStartSpec", region: str) -> dict[str, Any]:
    from sagechain.endpoints import price_of

    price = price_of(model.instance_type, region)
    return model.model_dump(mode="json") | {
        "usd_per_hour": price.usd_per_hour,
        "price_dated": price.dated.isoformat(),
        "price_note": price.note,
    }


def _licence(facts: dict[str, Any]) -> str:
    if facts["eula"]:
        return f"{facts['license'] or 'The licence'}: {facts['eula']}\nRead it, then deploy with --accept-eula."
    return f"{facts['license'] or 'JumpStart names no licence'}: none has to be accepted before deploying."


def _price(facts: dict[str, Any]) -> str:
    """The price for people: `unknown`, never 0, where it is unknown; `~` marks a price with a note."""
    usd = facts["usd_per_hour"]
    return "unknown" if usd is None else f"{'~' if facts['price_note'] else ''}${usd:.3f}/h"


def _show_table(facts: list[dict[str, Any]], region: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "family", "wire", box=None, pad_edge=False)
    table.add_column("weights", justify="right")
    for heading in ("instance", f"in {region}", "licence"):
        table.add_column(heading)
    for each in facts:
        licence = each["license"] + (" (to accept)" if each["eula"] else "")
        names, weights = (each["model_id"], each["family"], each["wire"]), f"{each['memory_gib']} GiB"
        table.add_row(*names, weights, each["instance_type"], _price(each), licence)
    Console(width=WIDTH, force_terminal=sys.stdout.isatty()).print(table)
    for text in sorted({each["price_note"] for each in facts} - {""}):
        print_note(f"(~ {text})")


def _show_facts(facts: dict[str, Any]) -> None:
    """A line for each known fact."""
    width = max(map(len, facts))
    for name, value in facts.items():
        if value not in (None, ""):
            print(f"{name:{width}}  {_in_one_line(value)}")


def _in_one_line(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={its}" for name, its in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)
