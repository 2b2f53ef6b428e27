"""`sagechain endpoints`: SageMaker endpoints, from choosing a model to deleting its endpoint.

Every command first deletes the endpoints of commands that died (`sagechain.endpoints.finish_abandoned`).
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import print_note

from .catalogue import show_catalogue
from .confirmation import confirm

if TYPE_CHECKING:
    from sagechain.endpoints import Account, EndpointInfo, Plan

app = typer.Typer(
    help="SageMaker endpoints: choose, deploy, list with their cost, delete, reap.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("catalogue")(show_catalogue)

PRICE_LIMIT = 5.0  # US dollars an hour

RegionOption = Annotated[str | None, typer.Option("--region", help="Default: boto3's own.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
PollOption = Annotated[
    float, typer.Option("--poll-seconds", min=0.01, help="Longest pause between two looks at an endpoint.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, for programs.")]


@app.command("deploy")
def deploy(
    name: Annotated[str, typer.Argument(help="The endpoint's name.")],
    model: Annotated[
        str | None,
        typer.Argument(help="A JumpStart id (`sagechain endpoints catalogue`), a checkpoint's folder, or s3://…"),
    ] = None,
    image: Annotated[str | None, typer.Option("--image", help="Your own container.")] = None,
    role: Annotated[
        str | None, typer.Option("--role", envvar="SAGECHAIN_ROLE", help="ARN of the role that it runs as.")
    ] = None,
    instance_type: Annotated[str | None, typer.Option("--instance-type", help="Default: the model's own.")] = None,
    family: Annotated[str | None, typer.Option("--family", help="The prompt family; derived from the model.")] = None,
    wire: Annotated[str | None, typer.Option("--wire", help="The container's wire; derived from the image.")] = None,
    accept_eula: Annotated[bool, typer.Option("--accept-eula", help="You accept the model's licence.")] = False,
    ttl: Annotated[str, typer.Option("--ttl", help="Its time to live: 90m, 2h, 1d.")] = "2h",
    environment: Annotated[
        list[str] | None, typer.Option("-e", "--env", metavar="NAME=TEXT", help="A variable of the container.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the requests and the price; send nothing to AWS.")
    ] = False,
    price_limit: Annotated[
        float, typer.Option("--price-limit", help="US dollars an hour; a higher price has to be confirmed.")
    ] = PRICE_LIMIT,
    yes: YesOption = False,
    poll_seconds: PollOption = 15.0,
    region: RegionOption = None,
) -> None:
    """Deploy a model, and wait until it is in service. It bills until it is deleted.

    Example: sagechain endpoints deploy parrot parrot/model --ttl 1h
    """
    from sagechain.endpoints import Account, DeploymentRequest, carry_out, plan_deployment

    request = DeploymentRequest(
        name,
        **_model(model),
        image=image,
        role=role,
        instance_type=instance_type,
        family=family,
        wire=wire,
        accept_eula=accept_eula,
        ttl=ttl,
        environment=dict(_pair(text) for text in environment or ()),
        poll_seconds=poll_seconds,
    )
    account = Account(region)
    plan = plan_deployment(request, account.region)
    if dry_run:
        _show_plan(plan, model)
        return
    _agree(plan, price_limit, yes)
    _finish_others(account)
    info = carry_out(plan, account)
    print_note(
        f"{name} is in service, at {_rate(info)}, until {_when(info)}. To end it: sagechain endpoints delete {name}"
    )
    print(info.uri)


@app.command("list")
def list_all(as_json: JsonOption = False, region: RegionOption = None) -> None:
    """List all endpoints of the account: who deployed them, what they have cost, when they end.

    Example: sagechain endpoints list --json
    """
    from sagechain.endpoints import Account, list_endpoints

    _finish_others(Account(region))
    found = list_endpoints(region)
    if as_json:
        print(json.dumps([_facts(info) for info in found], indent=2))
    else:
        _show(found)


@app.command("delete")
def delete(
    name: Annotated[str, typer.Argument(help="The endpoint, as `sagechain endpoints list` names it.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even if sagechain did not deploy it; you have to type its name.")
    ] = False,
    yes: YesOption = False,
    poll_seconds: PollOption = 15.0,
    region: RegionOption = None,
) -> None:
    """Delete an endpoint, its configuration and its model, so that billing stops.

    Example: sagechain endpoints delete parrot --yes
    """
    from sagechain.endpoints import Account
    from sagechain.endpoints import delete as delete_endpoint

    _finish_others(Account(region))
    if force:
        print_note(f"Type {name} to delete it, even if sagechain did not deploy it:")
        if sys.stdin.readline().strip() != name:
            raise typer.BadParameter("that is another name; nothing was changed.")
    elif not yes:
        confirm(f"Delete {name}?")
    for each in delete_endpoint(name, force=force, poll_seconds=poll_seconds, region=region):
        print(each)


@app.command("reap")
def reap(poll_seconds: PollOption = 15.0, region: RegionOption = None) -> None:
    """Delete the endpoints of sagechain whose time to live is over, and those of processes that died.

    Example: sagechain endpoints reap
    """
    from sagechain.endpoints import reap as reap_endpoints

    for each in reap_endpoints(poll_seconds=poll_seconds, region=region):
        print(each)


def _model(model: str | None) -> dict[str, Any]:
    """A JumpStart id has neither slash nor dot; an existing folder comes before an id of the same name."""
    from pathlib import Path

    if model is None:
        return {}
    is_place = model.startswith(("s3://", ".", "~")) or "/" in model or Path(model).is_dir()
    return {"model_data" if is_place else "model_id": model}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"-e {text!r} is not NAME=TEXT")
    return name, value


def _show_plan(plan: "Plan", model: str | None) -> None:
    """The requests as they would be sent, and the price."""
    from sagechain.endpoints import catalogue

    is_read = "model_id" in _model(model) and model not in [entry.model_id for entry in catalogue()]
    shown: dict[str, Any] = {}
    if plan.checkpoint is not None:
        shown["upload"] = {"from": str(plan.checkpoint), "to": plan.archive("ACCOUNT")}
    shown["requests"] = [{request.operation: request.parameters} for request in plan.requests()]
    shown["usd_per_hour"] = plan.price.usd_per_hour
    print(json.dumps(shown, indent=2))
    sent = "JumpStart's public files were read; nothing else was" if is_read else "Nothing was"
    print_note(f"{sent} sent to AWS. It would cost {_format_price(plan)}.")


def _format_price(plan: "Plan") -> str:
    price = plan.price
    text = "an unknown price" if price.usd_per_hour is None else f"${price.usd_per_hour:.3f} an hour"
    return f"{text} ({price.note})" if price.note else text


def _agree(plan: "Plan", limit: float, yes: bool) -> None:
    """Confirm an expensive instance, or one with an unknown price."""
    usd = plan.price.usd_per_hour
    if not yes and (usd is None or usd > limit):
        confirm(f"{plan.instance_type} costs {_format_price(plan)}. Deploy?")


def _finish_others(account: "Account") -> None:
    """Delete the endpoints of commands that died; report those that cannot be deleted yet."""
    from sagechain.endpoints import finish_abandoned

    deleted, left = finish_abandoned(account, patient=False)
    if deleted:
        print_note(f"Left behind by a process that died, and deleted now: {', '.join(deleted)}.")
    for error in left:
        print_note(f"Left behind by a process that died: {error}")


def _facts(info: "EndpointInfo") -> dict[str, Any]:
    price = info.price
    return {name: value for name, value in asdict(info).items() if name != "price"} | {
        "usd_per_hour": _usd_per_hour(info),
        "price_dated": price.dated.isoformat() if price else None,
        "price_note": price.note if price else None,
        "seconds_left": info.seconds_left(),
    }


def _usd_per_hour(info: "EndpointInfo") -> float | None:
    from sagechain.endpoints import cost

    return cost(info.price, 3_600, info.instance_count)


def _rate(info: "EndpointInfo") -> str:
    usd = _usd_per_hour(info)
    noted = "~" if info.price and info.price.note else ""
    return "unknown" if usd is None else f"{noted}${usd:.3f}/h"


def _when(info: "EndpointInfo") -> str:
    from datetime import datetime

    return f"{datetime.fromtimestamp(info.expires_at):%Y-%m-%d %H:%M}" if info.expires_at else "it is deleted"


def _left(info: "EndpointInfo") -> str:
    from sagechain.endpoints import format_duration

    seconds = info.seconds_left()
    if seconds is None:
        return "no end"
    return format_duration(seconds) if seconds > 0 else "over: reap"


def _show(found: "Sequence[EndpointInfo]") -> None:
    from rich.console import Console
    from rich.table import Table
    from sagechain.endpoints import format_duration, format_usd

    if not found:
        print_note("There is no endpoint in this account and region.")
        return
    table = Table("endpoint", "status", "family", "wire", "instance", "age", box=None, pad_edge=False)
    for heading in ("price", "so far"):
        table.add_column(heading, justify="right")
    for heading in ("time left", "deployed by"):
        table.add_column(heading)
    for info in found:
        instance = f"{info.instance_count} × {info.instance_type}" if info.instance_type else "–"
        table.add_row(
            info.name, info.status, info.family or "–", info.wire or "–", instance, format_duration(info.age), _rate(info),
            format_usd(info.cost_so_far), _left(info), "sagechain" if info.ours else "others",
        )  # fmt: skip
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)
    for info in found:
        if info.reason:
            print_note(f"{info.name}: {info.reason}")
    for text in sorted({info.price.note for info in found if info.price} - {""}):
        print_note(f"(~ {text})")
