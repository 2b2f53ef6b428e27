"""`sagechain local-aws`: SageMaker on this machine, in the foreground."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl

import typer
from sagechain.command import DEFAULT_MODEL, print_note

if TYPE_CHECKING:
    from sagechain.local_aws import LocalRuntime

CREATING_SECONDS = 3.0  # minutes on AWS
DELETING_SECONDS = 2.0


def local_aws(
    endpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME?family=…&wire=…&model=…&fault=…]...",
            help="Endpoints that exist from the start; a Llama 2 and a Falcon endpoint if not given.",
        ),
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option("--upstream", metavar="URL", help="Answer by the container at this address, instead of a model."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            envvar="SAGECHAIN_RUNTIME",
            show_default="the user's data folder",
            help="Where deployments and uploads are stored; for one runtime at a time.",
        ),
    ] = None,
    creating_seconds: Annotated[
        float, typer.Option("--creating-seconds", min=0, help="Seconds until a deployed endpoint is in service.")
    ] = CREATING_SECONDS,
    deleting_seconds: Annotated[
        float, typer.Option("--deleting-seconds", min=0, help="Seconds until a deleted endpoint is gone.")
    ] = DELETING_SECONDS,
    fail: Annotated[
        list[str] | None,
        typer.Option(
            "--fail",
            metavar="OPERATION=FAILURE[:TIMES]",
            help="Let an operation of AWS fail: CreateEndpoint=quota or DeleteEndpoint=throttled:2. Repeatable.",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The port; 0 for a free one.")] = 8080,
    allowed_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="A name beside localhost under which clients reach it: host.docker.internal. Repeatable.",
        ),
    ] = None,
    access_key: Annotated[
        str | None,
        typer.Option(
            "--access-key", metavar="ID", help="Refuse requests that are signed with another access key's id."
        ),
    ] = None,
    allow_anyone: Annotated[
        bool, typer.Option("--allow-anyone", help="Listen for other machines without an access key.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print one line for each request.")] = False,
) -> None:
    """Serve models as SageMaker endpoints on this machine, and let any AWS client deploy more, until Ctrl-C.

    Example: sagechain local-aws "my-falcon?family=falcon" --port 8080

    An endpoint with a fault: sagechain local-aws "busy?family=falcon&fault=throttled&times=2"
    """
    from sagechain.local_aws import LocalRuntime

    names = endpoints or (["upstream"] if upstream else [])
    models = {name: _model(query, upstream) for name, _, query in (text.partition("?") for text in names)}
    runtime = LocalRuntime(
        models or None,
        port=port,
        host=host,
        folder=folder or _default_folder(),
        creating_seconds=creating_seconds,
        deleting_seconds=deleting_seconds,
        upstream=upstream,
        failures=fail or (),
        allowed_hosts=allowed_hosts or (),
        access_key=access_key,
        allow_anyone=allow_anyone,
        print_line=print_note if verbose else None,
    )
    runtime.serve(lambda runtime: _announce(runtime, access_key or "local"))


def _default_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("sagechain") / "runtime"


def _model(query: str, upstream: str | None) -> dict[str, str]:
    default = {"upstream": upstream} if upstream else {"model": DEFAULT_MODEL}
    return {**default, **dict(parse_qsl(query))}


def _announce(runtime: "LocalRuntime", access_key: str) -> None:
    print_note(f"Serving {', '.join(runtime.endpoints)} at {runtime.url} (Ctrl-C ends).")
    print_note("For any boto3 or sagechain program, to use these endpoints and to deploy more:")
    print_note(f"  export AWS_ENDPOINT_URL={runtime.url} AWS_DEFAULT_REGION=us-east-1")
    print_note(f"  export AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY=local")
    print_note("  export NO_PROXY=localhost,.localhost,127.0.0.1,::1")
    print_note("  export SAGECHAIN_ROLE=arn:aws:iam::000000000000:role/local")
