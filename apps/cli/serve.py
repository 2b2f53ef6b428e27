"""`sagechain serve`: the local SageMaker runtime in the foreground."""

import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl

import typer
from sagechain.apps.cli.options import DEFAULT_MODEL

if TYPE_CHECKING:
    from sagechain.endpoints import LocalRuntime


def serve(
    endpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME?family=…&wire=…&model=…&fault=…]...",
            help="Endpoints to serve; a Llama 2 and a Falcon endpoint if none is given.",
        ),
    ] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            "--upstream", metavar="URL", help="Put the container at this address behind the endpoints, not a model."
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8080,
) -> None:
    """Serve models as SageMaker endpoints on this machine, until Ctrl-C.

    Example: sagechain serve "my-falcon?family=falcon" --port 8080

    An endpoint may show a fault on purpose: sagechain serve "busy?family=falcon&fault=throttled&times=2"
    """
    from sagechain.endpoints import LocalRuntime

    named = endpoints or (["upstream"] if upstream else [])
    models = {name: _settings(query, upstream) for name, _, query in (text.partition("?") for text in named)}
    LocalRuntime(models or None, port=port, host=host).serve(_announce)


def _settings(query: str, upstream: str | None) -> dict[str, str]:
    behind = {"upstream": upstream} if upstream else {"model": DEFAULT_MODEL}
    return {**behind, **dict(parse_qsl(query))}


def _announce(runtime: "LocalRuntime") -> None:
    print(f"Serving {', '.join(runtime.endpoints)} at {runtime.url} (Ctrl-C ends).", file=sys.stderr)
    print("For any boto3 or sagechain program:", file=sys.stderr)
    print(f"  export AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME={runtime.url} AWS_DEFAULT_REGION=us-east-1", file=sys.stderr)
    print("  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local", file=sys.stderr, flush=True)
