"""Delete endpoints: one by name, or all of ours whose time is over or whose process died."""

import time
from collections.abc import Iterator

from sagechain.llms.errors import EndpointNotFound, LeftBehind, LLMError, NotOurs
from sagechain.llms.sagemaker import TOOL_TAG

from .aws import Account
from .journal import Record, holding_if_free, unfinished
from .listing import expiry
from .plan import DEPLOYMENT
from .progress import showing
from .teardown import KINDS, Teardown, Thing, things

POLL_SECONDS = 15.0


def delete(
    name: str, *, force: bool = False, poll_seconds: float = POLL_SECONDS, region: str | None = None
) -> list[str]:
    """Delete an endpoint, its configuration and its model, and wait until they are gone.

    Args:
        name: of the endpoint.
        force: delete it also where sagechain did not deploy it; then with the configuration and the models that it names,
            as far as nothing else uses them.
        poll_seconds: between two looks at it, at most.
        region: boto3's own choice if not given.

    Returns:
        What was deleted: `endpoint NAME`, `configuration NAME`, `model NAME`.

    Raises:
        EndpointNotFound: there is nothing of that name.
        NotOurs: sagechain did not deploy it, and `force` is not given. Nothing was changed.
        LeftBehind: something is still there; `reap` goes on with it.
    """
    account = Account(region)
    teardown = Teardown(account, name, poll_seconds=poll_seconds)
    existing = ((thing, found) for thing in things(name) if (found := teardown.described(thing)) is not None)
    first = next(existing, None)
    if first is None:
        raise EndpointNotFound(name, "there is no endpoint, configuration or model of that name.")
    # Whose the endpoint is decides; without one, its configuration, else its model.
    thing, found = first
    if teardown.is_ours(thing, found):
        teardown.identity = account.tags(name, found[f"{thing.words}Arn"]).get(DEPLOYMENT, "")
    elif force:
        teardown.forced = list(_of_others(account, thing))
    else:
        raise NotOurs(name, "sagechain did not deploy it; nothing was changed.")
    return _finished(teardown)


def reap(*, now: float | None = None, poll_seconds: float = POLL_SECONDS, region: str | None = None) -> list[str]:
    """Delete all of ours whose time is over, and what processes left that died.

    Args:
        now: seconds since the epoch; the clock's if not given.
        poll_seconds: between two looks at an endpoint, at most.
        region: boto3's own choice if not given.

    Returns:
        What was deleted: `endpoint NAME`, `configuration NAME`, `model NAME`.

    Raises:
        LeftBehind: something is still there; all else was deleted.
    """
    account = Account(region)
    deleted, left = finish_unfinished(account, patient=True, poll_seconds=poll_seconds)
    for name, identity in _expired(account, time.time() if now is None else now, left):
        try:
            deleted += _finished(Teardown(account, name, identity, poll_seconds=poll_seconds))
        except LLMError as error:
            left.append(error)
    if left:
        raise LeftBehind(
            ", ".join(error.endpoint for error in left),
            " ".join(error.message for error in left),
            tuple(thing for error in left for thing in getattr(error, "left", ())),
        ) from left[0]
    return deleted


def finish_unfinished(
    account: Account, *, patient: bool, poll_seconds: float = POLL_SECONDS
) -> tuple[list[str], list[LLMError]]:
    """Delete what processes left that died while they deployed, used or deleted an endpoint.

    Args:
        patient: wait for endpoints that cannot be deleted yet; else leave them for later.

    Returns:
        What was deleted, and what was not.
    """
    deleted: list[str] = []
    left: list[LLMError] = []
    for held in unfinished(account.number, account.region, account.address):
        record = held.record
        with showing(record.name) as show:
            teardown = Teardown(
                account, record.name, record.identity, archive=record.archive, poll_seconds=poll_seconds, show=show
            )
            try:
                deleted += teardown.run(patient=patient)
                held.settle()
            except LLMError as error:
                left.append(error)
    return deleted, left


def _finished(teardown: Teardown) -> list[str]:
    """Tear down, under a record: if it is stopped half-way, the next command goes on."""
    account = teardown.account
    record = Record(teardown.name, account.region, account.number, account.address, teardown.identity)
    with showing(teardown.name) as teardown.show, holding_if_free(record) as held:
        # What is not ours is only deleted by who asks for it, so it is nothing to go on with later.
        if held is not None and teardown.identity:
            held.write()
        deleted = teardown.run()
        if held is not None:
            held.settle()
    return deleted


def _expired(account: Account, now: float, left: list[LLMError]) -> list[tuple[str, str]]:
    """Of what is ours and has had its time, name and deployment. Where there is an endpoint, its own tags decide.

    What cannot be asked is added to `left`.
    """
    times: dict[str, tuple[float, str]] = {}
    for kind in KINDS:
        words = Thing(kind, "").words
        for row in account.pages(f"list_{kind}s", f"{words}s"):
            name = row[f"{words}Name"]
            if name in times:
                continue
            try:
                tags = account.tags(name, row[f"{words}Arn"])
            except EndpointNotFound:
                continue  # gone since the page was read
            except LLMError as error:
                left.append(error)
                continue
            if TOOL_TAG in tags:
                times[name] = (expiry(tags) or float("inf"), tags.get(DEPLOYMENT, ""))
    return [(name, identity) for name, (time_over, identity) in times.items() if time_over <= now]


def _of_others(account: Account, thing: Thing) -> Iterator[Thing]:
    """An endpoint that is not ours, with the configuration and the models that nothing else uses; or one of these alone."""
    name = thing.name
    if thing.kind != "endpoint":
        yield thing
        return
    endpoint = account.ask(name, "describe_endpoint", EndpointName=name)
    yield Thing("endpoint", name)
    config = endpoint["EndpointConfigName"]
    others = (
        row["EndpointName"] for row in account.pages("list_endpoints", "Endpoints") if row["EndpointName"] != name
    )
    if any(
        account.ask(other, "describe_endpoint", EndpointName=other)["EndpointConfigName"] == config for other in others
    ):
        return
    yield Thing("endpoint_config", config)
    used: set[str] = set()
    for row in account.pages("list_endpoint_configs", "EndpointConfigs"):
        if row["EndpointConfigName"] != config:
            used |= _models(account, row["EndpointConfigName"])
    yield from (Thing("model", model) for model in sorted(_models(account, config) - used))


def _models(account: Account, config: str) -> set[str]:
    found = account.ask(config, "describe_endpoint_config", EndpointConfigName=config)
    variants = [*found["ProductionVariants"], *found.get("ShadowProductionVariants", ())]
    return {variant["ModelName"] for variant in variants if "ModelName" in variant}
