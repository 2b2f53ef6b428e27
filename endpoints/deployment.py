"""Deploy a model on SageMaker, and never leave an endpoint behind.

    with deployed("parrot", model_data="./parrot/model") as endpoint:
        llm = load_llm(endpoint.uri)

Whatever ends the block (its end, an exception, Ctrl-C, SIGTERM, the end of Python), the endpoint, its configuration and its
model are deleted; after a kill -9 the next command does it (`records.py`). `deploy` leaves an endpoint that runs until
`delete`, or until its time to live is over and somebody runs `reap`.
"""

import atexit
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from sagechain.llms.errors import (
    AccessDenied,
    DeploymentFailed,
    LeftBehind,
    LLMError,
    NameTaken,
    QuotaExceeded,
    RequestRejected,
    RoleRefused,
)
from sagechain.prompts import check_known

from . import upload as archive
from .aws import Account
from .journal import Held, Record, holding
from .listing import EndpointInfo, cost, endpoint_info, told_usd
from .plan import Plan, Request, plan_deployment
from .progress import Show, pauses, showing, told_span
from .teardown import IN_PROGRESS, WORDS, Teardown, Thing

# After these AWS has not done what it was asked for; after any other error it may have, or may yet.
REFUSALS = (AccessDenied, NameTaken, QuotaExceeded, RequestRejected, RoleRefused, ValueError)
ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


def deploy(
    name: str,
    *,
    model_id: str | None = None,
    image: str | None = None,
    model_data: str | Path | None = None,
    role: str | None = None,
    instance_type: str | None = None,
    family: str | None = None,
    wire: str | None = None,
    accept_eula: bool = False,
    ttl: float | str = "2h",
    poll_seconds: float = 15,
    timeout: float = 3_600,
    environment: Mapping[str, str] | None = None,
    region: str | None = None,
) -> EndpointInfo:
    """Deploy a model as an endpoint, and wait until it is in service. It bills from now on.

    Args:
        name: of endpoint, configuration and model.
        model_id: a JumpStart model: of the catalogue, or any other for text generation.
        image: a container of your own choice.
        model_data: the folder of a Hugging Face checkpoint, which is packed and uploaded; or an `s3://` address.
        role: ARN of the role that the endpoint runs as; `SAGECHAIN_ROLE` if not given.
        instance_type: the model's own if not given.
        family, wire: how the endpoint is talked to; follow from the model or the image where they can. They are written
            into tags, so `sagemaker:NAME` needs neither.
        accept_eula: that you accept the model's licence, where there is one to accept.
        ttl: how long it may live: seconds, or `90m`, `2h`, `1d`. `reap` deletes it after that.
        poll_seconds: between two looks at it, at most.
        timeout: seconds that it may take to come into service, and to go.
        environment: variables of the container, over the model's own.
        region: boto3's own choice if not given.

    Returns:
        The endpoint.

    Raises:
        ValueError: a field that is missing, unknown or out of range; before any request.
        EulaNotAccepted, NameTaken, QuotaExceeded, RoleRefused, NotPermitted, DeploymentFailed, other LLMErrors: it did not
            work; what had been made is deleted.
        LeftBehind: and that did not work either; the error names what is left.
        KeyboardInterrupt: Ctrl-C; what had been made is deleted first. A second Ctrl-C leaves that to the next command.
    """
    waits, account = Waits(poll_seconds, timeout), Account(region)
    planned = plan_deployment(
        name,
        region=account.region,
        model_id=model_id,
        image=image,
        model_data=model_data,
        role=role,
        instance_type=instance_type,
        family=family,
        wire=wire,
        accept_eula=accept_eula,
        ttl=ttl,
        environment=environment,
    )
    return carry_out(planned, account, waits)


@dataclass(frozen=True)
class Waits:
    """How often is looked at an endpoint, and how long it may take; seconds."""

    poll_seconds: float = 15
    timeout: float = 3_600

    def __post_init__(self) -> None:
        for name in ("poll_seconds", "timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)!r} is out of range; more than 0 seconds")


def carry_out(planned: Plan, account: Account, waits: Waits) -> EndpointInfo:
    """Do what a plan says. Errors as for `deploy`."""
    with _terminable(), holding(_record(planned, account)) as held:
        info = _create(planned, account, held, waits)
        held.settle()
    return info


@contextmanager
def deployed(
    name: str, *, poll_seconds: float = 15, timeout: float = 3_600, region: str | None = None, **given: Any
) -> Iterator[EndpointInfo]:
    """An endpoint for the length of a block. Arguments and errors as for `deploy`.

    The endpoint is gone when the block is left, or the error says what is not.
    """
    waits, account = Waits(poll_seconds, timeout), Account(region)
    check_known("parameter", given, signature(plan_deployment).parameters)
    planned = plan_deployment(name, region=account.region, **given)
    with _terminable(), holding(_record(planned, account)) as held:
        info = _create(planned, account, held, waits)

        def end() -> None:
            _tear_down(planned, account, held, waits)

        atexit.register(end)  # for who enters and never leaves
        try:
            yield info
        except BaseException as error:
            atexit.unregister(end)
            _undo(planned, account, held, waits, error)
            raise
        atexit.unregister(end)
        end()


def _record(planned: Plan, account: Account) -> Record:
    uploaded = planned.archive(account.number) if planned.checkpoint else ""
    return Record(planned.name, planned.region, account.number, account.address, planned.identity, uploaded)


def _create(planned: Plan, account: Account, held: Held, waits: Waits) -> EndpointInfo:
    """Make all three; a failure at any step undoes the steps before it."""
    held.write()
    expected: Thing | None = None
    with showing(planned.name) as show:
        try:
            if planned.checkpoint is not None:
                archive.upload(account, planned.name, planned.checkpoint, held.record.archive, show)
            for request in planned.requests(account.caller, account.number):
                expected = Thing(request.operation.removeprefix("create_"), planned.name)
                show(f"creating the {WORDS[expected.kind]}")
                _ask(account, planned, request, expected)
                expected = None
            _until_in_service(planned, account, waits, show)
            return endpoint_info(account, planned.name)
        except BaseException as error:
            if isinstance(error, REFUSALS):
                expected = None
            _undo(planned, account, held, waits, error, expected)
            raise


def _ask(account: Account, planned: Plan, request: Request, thing: Thing) -> None:
    try:
        account.ask(planned.name, request.operation, **request.parameters)
    except NameTaken:
        # boto3 sends a request again whose reply was lost: then the name is taken by ourselves.
        own = Teardown(account, planned.name, planned.identity)
        found = own.described(thing)
        if found is None or not own.is_ours(thing, found):
            raise


def _until_in_service(planned: Plan, account: Account, waits: Waits, show: Show) -> None:
    began, pause = time.monotonic(), pauses(waits.poll_seconds)
    while True:
        seconds = time.monotonic() - began
        try:
            found = account.ask(planned.name, "describe_endpoint", EndpointName=planned.name)
        except LLMError as error:
            # One lost question in half an hour is no reason to begin anew.
            if not error.retryable or seconds > waits.timeout:
                raise
            show(f"no answer, {told_span(seconds)}")
            time.sleep(next(pause))
            continue
        status = found["EndpointStatus"]
        if status == "InService":
            return
        if status not in IN_PROGRESS:
            raise DeploymentFailed(planned.name, f"it is {status}: {found.get('FailureReason', 'no reason is given')}.")
        if seconds > waits.timeout:
            raise DeploymentFailed(planned.name, f"it is still {status} after {told_span(seconds)}.")
        show(f"{status}, {told_span(seconds)}, {told_usd(cost(planned.price, seconds))}")
        time.sleep(next(pause))


def _undo(
    planned: Plan, account: Account, held: Held, waits: Waits, error: BaseException, expected: Thing | None = None
) -> None:
    """Tear down after an error, which stays the one that is raised, unless something is left behind."""
    try:
        # Who sends SIGTERM does not wait long; the record stays, and the next command goes on.
        _tear_down(planned, account, held, waits, patient=not isinstance(error, SystemExit), expected=expected)
    except LeftBehind as left:
        if isinstance(error, SystemExit):
            with showing(planned.name) as show:
                show(f"{left.message} {left.advice}")
            return
        reason = error.message if isinstance(error, LLMError) else f"{type(error).__name__} ended it."
        raise LeftBehind(planned.name, f"{reason} {left.message}", left.left) from error


def _tear_down(
    planned: Plan, account: Account, held: Held, waits: Waits, *, patient: bool = True, expected: Thing | None = None
) -> None:
    with showing(planned.name) as show:
        Teardown(
            account,
            planned.name,
            planned.identity,
            archive=held.record.archive,
            expected=expected,
            poll_seconds=waits.poll_seconds,
            timeout=waits.timeout,
            show=show,
        ).run(patient=patient)
    held.settle()


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM, and a terminal that closes, end the program as an exception does, so that blocks are left.

    Not in other threads than the main one, nor where somebody handles the signal already.
    """
    ours: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        ours = [each for each in ENDING if signal.getsignal(each) == signal.SIG_DFL]

    def restore() -> None:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)

    def end(number: int, frame: Any) -> None:
        restore()
        raise SystemExit(128 + number)

    for each in ours:
        signal.signal(each, end)
    try:
        yield
    finally:
        restore()
