"""Delete endpoints: one by name, or all of sagechain's whose time to live is over or whose process died."""

import time
from collections.abc import Iterator
from dataclasses import replace

from sagechain.llms.errors import EndpointNotFound, LeftBehind, LLMError, NotOurs
from sagechain.llms.sagemaker import TOOL_TAG

from .aws import Account
from .journal import Deployment, abandoned_entries, try_locked_entry
from .listing import expires_at
from .plan import DEPLOYMENT_TAG
from .progress import progress
from .teardown import KINDS, Resource, Teardown, resources_of

POLL_SECONDS = 15.0


def delete(
    name: str, *, force: bool = False, poll_seconds: float = POLL_SECONDS, region: str | None = None
) -> list[str]:
    """Delete an endpoint, its configuration and its model, and wait until they are gone.

    Args:
        name: the endpoint's name.
        force: delete it even if sagechain did not deploy it; then with its configuration and models, as far as no other
            endpoint uses them.
        poll_seconds: the longest pause between two looks at it.
        region: default: boto3's own.

    Returns:
        The deleted resources: `endpoint NAME`, `configuration NAME`, `model NAME`.

    Raises:
        EndpointNotFound: no resource has that name.
        NotOurs: sagechain did not deploy it, and `force` is not given. Nothing was changed.
        LeftBehind: something still exists; `reap` continues.
    """
    account = Account(region)
    teardown = Teardown(account, _deployment(account, name), poll_seconds=poll_seconds)
    # The endpoint decides whose it is; without one, its configuration, else its model.
    descriptions = ((each, found) for each in resources_of(name) if (found := teardown.describe(each)) is not None)
    if (first := next(descriptions, None)) is None:
        raise EndpointNotFound(name, "no endpoint, configuration or model has that name.")
    resource, description = first
    tags = teardown.tags_of(resource, description)
    if TOOL_TAG in tags:
        teardown.deployment = replace(teardown.deployment, identity=tags.get(DEPLOYMENT_TAG, ""))
    elif force:
        teardown.forced = list(_foreign_resources(account, resource))
    else:
        raise NotOurs(name, "sagechain did not deploy it; nothing was changed.")
    return _run(teardown)


def reap(*, now: float | None = None, poll_seconds: float = POLL_SECONDS, region: str | None = None) -> list[str]:
    """Delete all endpoints of sagechain whose time to live is over, and those of processes that died.

    Args:
        now: seconds since the epoch; default: the clock's.
        poll_seconds: the longest pause between two looks at an endpoint.
        region: default: boto3's own.

    Returns:
        The deleted resources: `endpoint NAME`, `configuration NAME`, `model NAME`.

    Raises:
        LeftBehind: something still exists; everything else was deleted.
    """
    account = Account(region)
    deleted, errors = finish_abandoned(account, patient=True, poll_seconds=poll_seconds)
    for deployment in _expired(account, time.time() if now is None else now, errors):
        try:
            deleted += _run(Teardown(account, deployment, poll_seconds=poll_seconds))
        except LLMError as error:
            errors.append(error)
    if errors:
        raise LeftBehind(
            ", ".join(error.endpoint for error in errors),
            " ".join(error.message for error in errors),
            tuple(resource for error in errors for resource in getattr(error, "left", ())),
        ) from errors[0]
    return deleted


def finish_abandoned(
    account: Account, *, patient: bool, poll_seconds: float = POLL_SECONDS
) -> tuple[list[str], list[LLMError]]:
    """Delete the endpoints of processes that died while they deployed, used or deleted them.

    Args:
        patient: wait for endpoints that cannot be deleted yet; otherwise leave them for later.

    Returns:
        The deleted resources, and the errors of deletions that failed.
    """
    deleted: list[str] = []
    errors: list[LLMError] = []
    for entry in abandoned_entries(account.number, account.region, account.address):
        with progress(entry.deployment.name) as show:
            try:
                teardown = Teardown(account, entry.deployment, poll_seconds=poll_seconds, show=show)
                deleted += teardown.run(patient=patient)
                entry.remove()
            except LLMError as error:
                errors.append(error)
    return deleted, errors


def _run(teardown: Teardown) -> list[str]:
    """Run a teardown with an entry in the journal: if it is interrupted, the next command continues."""
    with progress(teardown.name) as teardown.show, try_locked_entry(teardown.deployment) as entry:
        # Resources that sagechain did not create are deleted on request only, never by a later command.
        if entry is not None and teardown.deployment.identity:
            entry.write()
        deleted = teardown.run()
        if entry is not None:
            entry.remove()
    return deleted


def _deployment(account: Account, name: str, identity: str = "") -> Deployment:
    return Deployment(name, account.region, account.number, account.address, identity)


def _expired(account: Account, now: float, errors: list[LLMError]) -> list[Deployment]:
    """The deployments whose time to live is over, by the tags of their endpoint, else of their other resources.

    Failed requests are added to `errors`.
    """
    ends: dict[str, tuple[float, str]] = {}
    for kind in KINDS:
        api_name = Resource(kind, "").api_name
        for row in account.rows(f"list_{kind}s", f"{api_name}s"):
            name = row[f"{api_name}Name"]
            if name in ends:
                continue
            try:
                tags = account.tags(name, row[f"{api_name}Arn"])
            except EndpointNotFound:
                continue  # deleted since the page was read
            except LLMError as error:
                errors.append(error)
                continue
            if TOOL_TAG in tags:
                ends[name] = (expires_at(tags) or float("inf"), tags.get(DEPLOYMENT_TAG, ""))
    return [_deployment(account, name, identity) for name, (end, identity) in ends.items() if end <= now]


def _foreign_resources(account: Account, resource: Resource) -> Iterator[Resource]:
    """An endpoint that sagechain did not deploy, with the configuration and models that no other one uses."""
    yield resource
    if resource.kind != "endpoint":
        return
    name = resource.name
    config = _config_of(account, name)
    others = (row["EndpointName"] for row in account.rows("list_endpoints", "Endpoints"))
    if any(_config_of(account, other) == config for other in others if other != name):
        return
    yield Resource("endpoint_config", config)
    used: set[str] = set()
    for row in account.rows("list_endpoint_configs", "EndpointConfigs"):
        if row["EndpointConfigName"] != config:
            used |= _models(account, row["EndpointConfigName"])
    yield from (Resource("model", model) for model in sorted(_models(account, config) - used))


def _config_of(account: Account, name: str) -> str:
    return str(account.send(name, "describe_endpoint", EndpointName=name)["EndpointConfigName"])


def _models(account: Account, config: str) -> set[str]:
    description = account.send(config, "describe_endpoint_config", EndpointConfigName=config)
    variants = [*description["ProductionVariants"], *description.get("ShadowProductionVariants", ())]
    return {variant["ModelName"] for variant in variants if "ModelName" in variant}
