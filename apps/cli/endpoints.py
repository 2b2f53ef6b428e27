"""`sagechain endpoints`: models behind SageMaker endpoints, from choosing one to deleting it.

Every command first deletes what a command that was killed left behind (`sagechain.endpoints.finish_abandoned`).
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from sagechain.command import print_note, print_text

from .catalogue import show_catalogue
from .confirmation import confirm
from .endpoint_table import expiry_time, hourly_price, print_endpoints

if TYPE_CHECKING:
    from sagechain.endpoints import Account, EndpointInfo, Plan

app = typer.Typer(
    help="SageMaker endpoints: choose, deploy, list with their cost, delete, reap.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.command("catalogue")(show_catalogue)

PRICE_LIMIT = 5.0  # US dollars an hour

RegionOption = Annotated[str | None, typer.Option("--region", help="The AWS region; boto3's default if not given.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
PollOption = Annotated[
    float, typer.Option("--poll-seconds", min=0.01, help="Seconds between two requests for an endpoint's status.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("deploy")
def deploy(
    name: Annotated[str, typer.Argument(help="The endpoint's name.")],
    model: Annotated[
        str | None,
        typer.Argument(help="A JumpStart id (`sagechain endpoints catalogue`), a checkpoint's folder, or s3://…"),
    ] = None,
    image: Annotated[
        str | None, typer.Option("--image", help="The container's image; the model's if not given.")
    ] = None,
    role: Annotated[
        str | None, typer.Option("--role", envvar="SAGECHAIN_ROLE", help="ARN of the role that the endpoint runs as.")
    ] = None,
    instance_type: Annotated[
        str | None, typer.Option("--instance-type", help="The instance type; the model's if not given.")
    ] = None,
    family: Annotated[str | None, typer.Option("--family", help="The prompt family; the model's if not given.")] = None,
    wire: Annotated[
        str | None, typer.Option("--wire", help="The container's protocol; the image's if not given.")
    ] = None,
    accept_eula: Annotated[bool, typer.Option("--accept-eula", help="Accept the model's licence.")] = False,
    ttl: Annotated[str, typer.Option("--ttl", help="Time to live: 90m, 2h, 1d.")] = "2h",
    environment: Annotated[
        list[str] | None, typer.Option("-e", "--env", metavar="NAME=TEXT", help="An environment variable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the requests and the price, and send nothing to AWS.")
    ] = False,
    price_limit: Annotated[
        float, typer.Option("--price-limit", help="Ask for confirmation above this price, in US dollars an hour.")
    ] = PRICE_LIMIT,
    yes: YesOption = False,
    poll_seconds: PollOption = 15.0,
    region: RegionOption = None,
) -> None:
    """Deploy a model, and wait until it is in service. It is billed until it is deleted.

    Example: sagechain endpoints deploy parrot parrot/model --ttl 1h
    """
    from sagechain.endpoints import Account, DeploymentRequest, carry_out, plan_deployment

    request = DeploymentRequest(
        name,
        **_model_argument(model),
        image=image,
        role=role,
        instance_type=instance_type,
        family=family,
        wire=wire,
        accept_eula=accept_eula,
        ttl=ttl,
        environment=dict(_environment_variable(text) for text in environment or ()),
        poll_seconds=poll_seconds,
    )
    account = Account(region)
    plan = plan_deployment(request, account.region)
    if dry_run:
        _print_plan(plan, model)
        return
    usd = plan.price.usd_per_hour
    if not yes and (usd is None or usd > price_limit):
        confirm(f"{plan.instance_type} costs {_price_with_note(plan)}. Deploy?")
    _delete_leftovers(account, everywhere=region is None)
    info = carry_out(plan, account)
    print_note(
        f"{name} is in service, at {hourly_price(info)}, until {expiry_time(info)}. "
        f"To end it: sagechain endpoints delete {name}"
    )
    print(info.uri)


@app.command("list")
def list_all(as_json: JsonOption = False, region: RegionOption = None) -> None:
    """List all endpoints of the account: who deployed them, their cost so far, and the time they have left.

    Example: sagechain endpoints list --json
    """
    from sagechain.endpoints import Account, list_endpoints

    _delete_leftovers(Account(region), everywhere=region is None)
    endpoints = list_endpoints(region)
    if as_json:
        print(json.dumps([_as_json(info) for info in endpoints], indent=2))
    else:
        print_endpoints(endpoints)


@app.command("delete")
def delete(
    name: Annotated[str, typer.Argument(help="The endpoint's name in `sagechain endpoints list`.")],
    force: Annotated[
        bool, typer.Option("--force", help="Delete it even if sagechain did not deploy it; you type its name again.")
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

    _delete_leftovers(Account(region), everywhere=region is None)
    if force:
        print_note(f"Type {name} to delete it, even if sagechain did not deploy it:")
        if sys.stdin.readline().strip() != name:
            raise typer.BadParameter("that is another name; nothing was changed.")
    elif not yes:
        confirm(f"Delete {name}?")
    for resource in delete_endpoint(name, force=force, poll_seconds=poll_seconds, region=region):
        print_text(resource)


@app.command("reap")
def reap(poll_seconds: PollOption = 15.0, region: RegionOption = None) -> None:
    """Delete the endpoints of sagechain that have exceeded their time to live, and what killed commands left behind.

    Example: sagechain endpoints reap
    """
    from sagechain.endpoints import reap as reap_endpoints

    for resource in reap_endpoints(poll_seconds=poll_seconds, region=region):
        print_text(resource)


def _model_argument(model: str | None) -> dict[str, Any]:
    """The keyword argument for MODEL. A JumpStart id has neither slash nor dot; an existing folder has precedence."""
    if model is None:
        return {}
    is_location = model.startswith(("s3://", ".", "~")) or "/" in model or Path(model).is_dir()
    return {"model_data" if is_location else "model_id": model}


def _environment_variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"-e {text!r} is not NAME=TEXT")
    return name, value


def _print_plan(plan: "Plan", model: str | None) -> None:
    """Print the requests and the price of a deployment."""
    from sagechain.endpoints import catalogue

    reads_jumpstart = "model_id" in _model_argument(model) and model not in [entry.model_id for entry in catalogue()]
    content: dict[str, Any] = {}
    if plan.checkpoint is not None:
        content["upload"] = {"from": str(plan.checkpoint), "to": plan.archive("ACCOUNT")}
    content["requests"] = [{request.operation: request.parameters} for request in plan.requests()]
    content["usd_per_hour"] = plan.price.usd_per_hour
    print(json.dumps(content, indent=2))
    sent = "JumpStart's public files were read; nothing else was" if reads_jumpstart else "Nothing was"
    print_note(f"{sent} sent to AWS. It would cost {_price_with_note(plan)}.")


def _price_with_note(plan: "Plan") -> str:
    price = plan.price
    text = "an unknown price" if price.usd_per_hour is None else f"${price.usd_per_hour:.3f} an hour"
    return f"{text} ({price.note})" if price.note else text


def _delete_leftovers(account: "Account", *, everywhere: bool) -> None:
    """Delete what killed commands left behind; what cannot be deleted yet is reported, and left to the next command."""
    from sagechain.endpoints import finish_abandoned

    deleted, errors = finish_abandoned(account, patient=False, everywhere=everywhere)
    if deleted:
        print_note(f"Left behind by a process that died, and deleted now: {', '.join(deleted)}.")
    for error in errors:
        print_note(f"Left behind by a process that died: {error}")


def _as_json(info: "EndpointInfo") -> dict[str, Any]:
    prices = info.bill.prices
    return {name: value for name, value in asdict(info).items() if name != "bill"} | {
        "instance_count": info.instance_count,
        "instances": info.bill.instances,
        "usd_per_hour": info.bill.usd_per_hour,
        "price_dated": min(price.dated for price in prices).isoformat() if prices else None,
        "price_note": "; ".join(sorted({price.note for price in prices} - {""})) if prices else None,
        "seconds_left": info.seconds_left(),
    }
