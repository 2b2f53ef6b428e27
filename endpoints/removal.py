"""Delete endpoints: one by name, or all of sagechain's whose time to live is over or whose process died."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from botocore.exceptions import BotoCoreError
from sagechain.llms.errors import AccessDenied, EndpointNotFound, LeftBehind, LLMError, NotOurs
from sagechain.llms.sagemaker import TOOL_TAG, check_name

from . import upload
from .aws import Account
from .foreign import unshared_resources
from .journal import Deployment, JournalEntry, forget, recall, try_locked_entry, unfinished_entries
from .listing import expires_at
from .plan import DEPLOYMENT_TAG
from .progress import note, progress
from .request import check_seconds
from .resources import KINDS, Resource, resources_of
from .teardown import Teardown

POLL_SECONDS = 15.0
UPLOAD_SECONDS = 86_400  # that an upload may take; parts that are older belong to one that was interrupted


def delete(
    name: str, *, force: bool = False, poll_seconds: float = POLL_SECONDS, region: str | None = None
) -> list[str]:
    """Delete an endpoint, its configuration and its model, and wait until they are gone.

    A checkpoint that sagechain uploaded for it is deleted too, unless another model uses it; other data in S3 never is.

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
        ValueError: a name that no endpoint can have, or `poll_seconds` is not above 0; before any request.
    """
    check_name("name", name)
    check_seconds("poll_seconds", poll_seconds)
    account = Account(region)
    teardown = Teardown(account, _deployment(account, name), poll_seconds=poll_seconds)
    # The endpoint decides whose it is; without one, its configuration, else its model.
    descriptions = ((each, found) for each in resources_of(name) if (found := teardown.describe(each)) is not None)
    if (first := next(descriptions, None)) is None:
        raise EndpointNotFound(name, "no endpoint, configuration or model has that name.")
    resource, description = first
    if (known := recall(teardown.deployment)) is not None:
        teardown.deployment = known
    if not teardown.is_recorded(resource, description):
        try:
            tags = teardown.tags_of(resource, description)
        except AccessDenied:
            if not force:
                raise
            tags = {}
        if TOOL_TAG in tags:
            teardown.deployment = _deployment(account, name, tags.get(DEPLOYMENT_TAG, ""))
        elif force:
            with progress(name) as show:
                teardown.forced = unshared_resources(account, resource, show)
        else:
            raise NotOurs(name, "sagechain did not deploy it; nothing was changed.")
    deleted = _run(teardown)
    forget(teardown.deployment)
    return deleted


def reap(*, now: float | None = None, poll_seconds: float = POLL_SECONDS, region: str | None = None) -> list[str]:
    """Delete all endpoints of sagechain whose time to live is over, and what processes that died left.

    The latter in all regions of the account, unless one is given. What belongs to another account is reported.

    Args:
        now: seconds since the epoch; default: the clock's.
        poll_seconds: the longest pause between two looks at an endpoint.
        region: default: boto3's own.

    Returns:
        The deleted resources: `endpoint NAME`, `configuration NAME`, `model NAME`, `unfinished upload s3://…`.

    Raises:
        LeftBehind: something still exists; everything else was deleted.
        ValueError: `poll_seconds` is not above 0; before any request.
    """
    check_seconds("poll_seconds", poll_seconds)
    account, now = Account(region), time.time() if now is None else now
    deleted, errors = finish_abandoned(account, patient=True, poll_seconds=poll_seconds, everywhere=region is None)
    for deployment in _expired(account, now, errors):
        try:
            deleted += _run(Teardown(account, deployment, poll_seconds=poll_seconds))
        except LLMError as error:
            errors.append(error)
    try:
        unfinished = upload.abort_unfinished(account, now - UPLOAD_SECONDS)
        deleted += [f"unfinished upload {address}" for address in unfinished]
    except AccessDenied as error:
        note(f"Unfinished uploads were not looked for: {error}")
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
    account: Account, *, patient: bool, poll_seconds: float = POLL_SECONDS, everywhere: bool = True
) -> tuple[list[str], list[LLMError]]:
    """Delete the endpoints of processes that died while they deployed, used or deleted them.

    Those of other accounts and addresses, and those that another machine may be working on, are reported on standard error.

    Args:
        patient: wait for endpoints that cannot be deleted yet; otherwise leave them for later.
        everywhere: in all regions; otherwise those of other regions are reported too.

    Returns:
        The deleted resources, and the errors of deletions that failed.
    """
    deleted: list[str] = []
    errors: list[LLMError] = []
    for entry in unfinished_entries():
        place = None if entry.host else _account_of(entry.deployment, account, everywhere=everywhere)
        if place is None:
            note(_report(entry))
            continue
        with progress(entry.deployment.name) as show:
            try:
                teardown = Teardown(place, entry.deployment, poll_seconds=poll_seconds, show=show)
                deleted += teardown.run(patient=patient)
                entry.remove()
            except LLMError as error:
                errors.append(error)
    return deleted, errors


def _account_of(deployment: Deployment, account: Account, *, everywhere: bool) -> Account | None:
    """The account with a deployment, in its region; None if these credentials or this address belong to another one."""
    if deployment.account != account.number or not (everywhere or deployment.region == account.region):
        return None
    try:
        place = account if deployment.region == account.region else Account(deployment.region)
        return place if deployment.address == place.address else None
    except BotoCoreError:  # there is no such region
        return None


def _report(entry: JournalEntry) -> str:
    """What a person has to know of a deployment that is not deleted from here."""
    deployment, command = entry.deployment, "sagechain endpoints"
    name, region = deployment.name, deployment.region
    what = f"endpoint {name} (region {region}, account {deployment.account}, {deployment.address})"
    remove = f"if nothing is left of it, remove {entry.path}."
    if entry.host:
        return (
            f"The machine {entry.host} is working on {what}. If it no longer is, `{command} delete {name} "
            f"--region {region}` deletes it; {remove}"
        )
    return (
        f"Left behind by a process that died: {what}. With the credentials and the address of that account, "
        f"`{command} reap --region {region}` deletes it; {remove}"
    )


def _run(teardown: Teardown) -> list[str]:
    """Run a teardown with an entry in the journal, if it can be written: then the next command continues after a stop."""
    with progress(teardown.name) as teardown.show, ExitStack() as stack:
        try:
            entry = stack.enter_context(try_locked_entry(teardown.deployment))
            # Resources that sagechain did not create are deleted on request only, never by a later command.
            if entry is not None and teardown.deployment.identity and not teardown.forced:
                entry.write()
        except LLMError as error:  # a full disk must not keep an endpoint alive
            teardown.show(error.message)
            entry = None
        deleted = teardown.run()
        if entry is not None:
            entry.remove()
    return deleted


def _deployment(account: Account, name: str, identity: str = "") -> Deployment:
    return Deployment(name, account.region, account.number, account.address, identity)


def _expired(account: Account, now: float, errors: list[LLMError]) -> list[Deployment]:
    """The deployments whose time to live is over, by the tags of their endpoint, else of their other resources.

    Failed requests are added to `errors`. What cannot be read is not over: a configuration's tags do not know of an
    extension of its endpoint.
    """
    ends: dict[str, tuple[float, str]] = {}
    for kind in KINDS:
        try:
            for name, end, identity in _ends(account, kind, ends, errors):
                ends[name] = end, identity
        except LLMError as error:
            errors.append(error)
            break  # the other kinds do not decide without this one
    return [_deployment(account, name, identity) for name, (end, identity) in ends.items() if end <= now]


def _ends(
    account: Account, kind: str, known: dict[str, tuple[float, str]], errors: list[LLMError]
) -> Iterator[tuple[str, float, str]]:
    """Name, end of the time to live, and identity of each resource of a kind whose name is not known."""
    api_name = Resource(kind, "").api_name
    for row in account.rows(f"list_{kind}s", f"{api_name}s"):
        name = row[f"{api_name}Name"]
        if name in known:
            continue
        try:
            tags = account.tags(name, row[f"{api_name}Arn"])
        except EndpointNotFound:
            continue  # deleted since the page was read
        except LLMError as error:
            errors.append(type(error)(name, f"whose the {Resource(kind, name)} is cannot be read: {error.message}"))
            yield name, float("inf"), ""
            continue
        if TOOL_TAG in tags:
            yield name, expires_at(tags) or float("inf"), tags.get(DEPLOYMENT_TAG, "")
