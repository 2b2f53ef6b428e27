"""`sagechain local-aws`: SageMaker on this machine, in the foreground."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl

import typer
from sagechain.command import DEFAULT_MODEL

if TYPE_CHECKING:
    from sagechain.local_aws import LocalRuntime

CREATING_SECONDS = 3.0  # on AWS it is minutes
DELETING_SECONDS = 2.0


def local_aws(
    endpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME?family=…&wire=…&model=…&fault=…]...",
            help="Endpoints to serve from the start; a Llama 2 and a Falcon endpoint if none is given.",
        ),
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            "--upstream", metavar="URL", help="Put the container at this address behind the endpoints, not a model."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            envvar="SAGECHAIN_RUNTIME",
            show_default="the user's data folder",
            help="Where what is deployed and uploaded is kept. One runtime at a time has it.",
        ),
    ] = None,
    creating_seconds: Annotated[
        float, typer.Option("--creating-seconds", min=0, help="How long a deployed endpoint is being created.")
    ] = CREATING_SECONDS,
    deleting_seconds: Annotated[
        float, typer.Option("--deleting-seconds", min=0, help="How long it is being deleted.")
    ] = DELETING_SECONDS,
    fail: Annotated[
        list[str] | None,
        typer.Option(
            "--fail",
            metavar="OPERATION=FAILURE[:TIMES]",
            help="Let an operation of AWS fail, e.g. CreateEndpoint=quota or DeleteEndpoint=throttled:2. Repeatable.",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8080,
) -> None:
    """Serve models as SageMaker endpoints on this machine, and let any AWS client deploy more, until Ctrl-C.

    Example: sagechain local-aws "my-falcon?family=falcon" --port 8080

    An endpoint may show a fault on purpose: sagechain local-aws "busy?family=falcon&fault=throttled&times=2"
    """
    from sagechain.local_aws import LocalRuntime

    named = endpoints or (["upstream"] if upstream else [])
    models = {name: _settings(query, upstream) for name, _, query in (text.partition("?") for text in named)}
    runtime = LocalRuntime(
        models or None,
        port=port,
        host=host,
        folder=folder or _usual_folder(),
        creating_seconds=creating_seconds,
        deleting_seconds=deleting_seconds,
        upstream=upstream,
        failures=fail or (),
    )
    runtime.serve(_announce)


def _usual_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("sagechain") / "runtime"


def _settings(query: str, upstream: str | None) -> dict[str, str]:
    behind = {"upstream": upstream} if upstream else {"model": DEFAULT_MODEL}
    return {**behind, **dict(parse_qsl(query))}


def _announce(runtime: "LocalRuntime") -> None:
    print(f"Serving {', '.join(runtime.endpoints)} at {runtime.url} (Ctrl-C ends).", file=sys.stderr)
    print("For any boto3 or sagechain program, to ask endpoints and to deploy more:", file=sys.stderr)
    print(f"  export AWS_ENDPOINT_URL={runtime.url} AWS_DEFAULT_REGION=us-east-1", file=sys.stderr)
    print("  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local", file=sys.stderr)
    print("  export SAGECHAIN_ROLE=arn:aws:iam::000000000000:role/local", file=sys.stderr, flush=True)
