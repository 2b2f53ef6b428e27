"""Deploy a model on SageMaker without ever leaving an endpoint behind.

    with deployed("parrot", model_data="./parrot/model") as endpoint:
        llm = load_llm(endpoint.uri)

However the block ends (normally, with an exception, by Ctrl-C, SIGTERM or the end of Python), the endpoint, its
configuration and its model are deleted; after a kill -9 the next command deletes them (`journal.py`). `deploy` leaves an
endpoint running until `delete`, or until `reap` runs after the end of its time to live.
"""

import atexit
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sagechain.llms.errors import (
    AccessDenied,
    DeploymentFailed,
    EndpointNotFound,
    LeftBehind,
    LLMError,
    NameTaken,
    QuotaExceeded,
    RequestRejected,
    RoleRefused,
)

from . import upload
from .aws import Account
from .journal import Deployment, JournalEntry, forget, locked_entry, remember
from .listing import EndpointInfo, endpoint_info
from .permissions import try_permissions, try_upload_permissions
from .plan import Plan, Request, plan_deployment
from .pricing import cost, format_usd
from .progress import ShowProgress, format_duration, poll, progress
from .request import DeploymentRequest
from .resources import LABELS, Resource
from .signals import signals_as_exceptions
from .teardown import IN_PROGRESS, LATE_SECONDS, Teardown

# After these errors AWS has not created anything; after any other one it may have, or still may.
REFUSALS = (AccessDenied, NameTaken, QuotaExceeded, RequestRejected, RoleRefused, ValueError)


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
    """Deploy a model as an endpoint and wait until it is in service. It bills from now on.

    Args:
        name: the name of endpoint, configuration and model.
        model_id: a JumpStart model: one of the catalogue, or any other text model.
        image: your own container.
        model_data: the folder of a Hugging Face checkpoint, which is packed and uploaded; or an `s3://` address.
        role: ARN of the role that the endpoint runs as; default: `SAGECHAIN_ROLE`.
        instance_type: default: the model's own.
        family, wire: how to talk to the endpoint; derived from the model or the image where possible. They are stored as
            tags, so `sagemaker:NAME` needs neither.
        accept_eula: that you accept the model's licence, where it has one to accept.
        ttl: its time to live: seconds, or `90m`, `2h`, `1d`. `reap` deletes it after that.
        poll_seconds: the longest pause between two looks at it.
        timeout: seconds that it may take to come into service, and to be deleted.
        environment: variables of the container, which override the model's own.
        region: default: boto3's own.

    Raises:
        ValueError: a field that is missing, unknown or out of range; before any request.
        EulaNotAccepted, NameTaken, QuotaExceeded, RoleRefused, NotPermitted, DeploymentFailed, other LLMErrors: it failed;
            everything created so far is deleted.
        LeftBehind: it failed, and so did the deletion; the error names what still exists.
        KeyboardInterrupt: Ctrl-C; everything created so far is deleted first. A second Ctrl-C leaves that to the next
            command.
    """
    request = DeploymentRequest(
        name,
        model_id=model_id,
        image=image,
        model_data=model_data,
        role=role,
        instance_type=instance_type,
        family=family,
        wire=wire,
        accept_eula=accept_eula,
        ttl=ttl,
        environment=environment or {},
        poll_seconds=poll_seconds,
        timeout=timeout,
    )
    account = Account(region)
    return carry_out(plan_deployment(request, account.region), account)


def carry_out(plan: Plan, account: Account) -> EndpointInfo:
    """Deploy as planned. Errors as for `deploy`."""
    with signals_as_exceptions(), locked_entry(_deployment(plan, account)) as entry:
        endpoint = _Rollout(plan, account, entry).create(is_kept=True)
        entry.remove()
    return endpoint


@contextmanager
def deployed(
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
) -> Iterator[EndpointInfo]:
    """An endpoint for the duration of a block. Arguments and errors as for `deploy`.

    When the block has been left, the endpoint is gone, or the error names what still exists.
    """
    request = DeploymentRequest(
        name,
        model_id=model_id,
        image=image,
        model_data=model_data,
        role=role,
        instance_type=instance_type,
        family=family,
        wire=wire,
        accept_eula=accept_eula,
        ttl=ttl,
        environment=environment or {},
        poll_seconds=poll_seconds,
        timeout=timeout,
    )
    account = Account(region)
    plan = plan_deployment(request, account.region)
    with signals_as_exceptions(), locked_entry(_deployment(plan, account)) as entry:
        rollout = _Rollout(plan, account, entry)
        endpoint = rollout.create(is_kept=False)
        atexit.register(rollout.tear_down)  # for a program that ends without leaving the block
        try:
            yield endpoint
        except BaseException as error:
            atexit.unregister(rollout.tear_down)
            rollout.undo(error)
            raise
        atexit.unregister(rollout.tear_down)
        rollout.tear_down()


def _deployment(plan: Plan, account: Account) -> Deployment:
    archive = plan.archive(account.number)
    return Deployment(plan.name, plan.region, account.number, account.address, plan.identity, archive)


class _Rollout:
    """A plan that is carried out: its resources are created, and deleted again on failure."""

    def __init__(self, plan: Plan, account: Account, entry: JournalEntry) -> None:
        self._plan, self._account, self._entry = plan, account, entry
        self._process = os.getpid()
        self._expected: set[Resource] = set()  # requested, and not seen yet

    def create(self, *, is_kept: bool) -> EndpointInfo:
        """Create all three resources; a failure at any step undoes the steps before it.

        Args:
            is_kept: whether the endpoint remains when this process ends.
        """
        plan, account = self._plan, self._account
        with progress(plan.name) as show:
            show("checking permissions")
            try_permissions(account, plan, self._entry.deployment.archive, is_kept=is_kept)
            self._entry.write()
            try:
                if plan.checkpoint is not None:
                    self._upload(plan.checkpoint, show, is_kept=is_kept)
                requests = plan.requests(account.caller, account.number)
                for request in requests:
                    resource = Resource(request.operation.removeprefix("create_"), plan.name)
                    show(f"creating the {LABELS[resource.kind]}")
                    self._send(request, resource)
                    self._entry.write(created=(*self._entry.deployment.created, resource.kind))
                description = self._await_in_service(show)
                self._expected.clear()
                tags = {tag["Key"]: tag["Value"] for tag in requests[-1].parameters["Tags"]}
                info = endpoint_info(account, description, tags)
            except BaseException as error:
                self.undo(error)
                raise
        remember(self._entry.deployment)
        return info

    def undo(self, error: BaseException) -> None:
        """Delete everything after an error, which is raised again unless something is left behind."""
        try:
            # The sender of a SIGTERM does not wait long; the journal's entry stays, and the next command continues.
            self.tear_down(patient=not isinstance(error, SystemExit))
        except LeftBehind as left_behind:
            if isinstance(error, SystemExit):
                with progress(self._plan.name) as show:
                    show(f"{left_behind.message} {left_behind.advice}")
                return
            reason = error.message if isinstance(error, LLMError) else f"{type(error).__name__} ended it."
            raise LeftBehind(self._plan.name, f"{reason} {left_behind.message}", left_behind.left) from error

    def tear_down(self, *, patient: bool = True) -> None:
        """Delete everything, unless this is a forked child: the endpoint is its parent's. Arguments as for `Teardown`."""
        if os.getpid() != self._process:
            return
        with progress(self._plan.name) as show:
            Teardown(
                self._account,
                self._entry.deployment,
                expected=self._expected,
                poll_seconds=self._plan.poll_seconds,
                timeout=self._plan.timeout,
                show=show,
            ).run(patient=patient)
        self._entry.remove()
        forget(self._entry.deployment)

    def _upload(self, checkpoint: Path, show: ShowProgress, *, is_kept: bool) -> None:
        deployment, account, name = self._entry.deployment, self._account, self._plan.name
        if upload.ensure_bucket(account, name, deployment.archive):
            try_upload_permissions(account, name, deployment.archive, is_kept=is_kept)
        upload.upload(account, name, checkpoint, deployment.archive, deployment.identity, show)

    def _send(self, request: Request, resource: Resource) -> None:
        self._expected.add(resource)
        try:
            self._account.send(self._plan.name, request.operation, **request.parameters)
        except REFUSALS as error:
            # boto3 sends a request again whose response was lost: then the name is taken by this deployment itself.
            if not (isinstance(error, NameTaken) and self._is_own(resource)):
                self._expected.discard(resource)
                raise

    def _is_own(self, resource: Resource) -> bool:
        teardown = Teardown(self._account, self._entry.deployment)
        description = teardown.describe(resource)
        return description is not None and teardown.is_own(resource, description)

    def _await_in_service(self, show: ShowProgress) -> dict[str, Any]:
        """The endpoint's description once it is in service."""
        plan = self._plan
        for seconds in poll(plan.poll_seconds):
            try:
                description = self._account.send(plan.name, "describe_endpoint", EndpointName=plan.name)
            except LLMError as error:
                # One lost response in half an hour must not end the deployment; a description may be late.
                is_late = isinstance(error, EndpointNotFound) and seconds < LATE_SECONDS
                if not (error.retryable or is_late) or seconds > plan.timeout:
                    raise
                show(f"no answer, {format_duration(seconds)}")
                continue
            if not self._entry.deployment.endpoint_created:
                self._entry.write(endpoint_created=description["CreationTime"].timestamp())
            status = description["EndpointStatus"]
            if status == "InService":
                return description
            if status not in IN_PROGRESS:
                reason = description.get("FailureReason", "no reason is given")
                raise DeploymentFailed(plan.name, f"it is {status}: {reason}.")
            if seconds > plan.timeout:
                raise DeploymentFailed(plan.name, f"it is still {status} after {format_duration(seconds)}.")
            show(f"{status}, {format_duration(seconds)}, {format_usd(cost(plan.price, seconds))}")
        raise AssertionError("poll ends only with its reader")
