"""Delete a deployment's endpoint, configuration and model, in this order, if they are its own.

Each step checks first whether there is something to delete, so a teardown can be stopped anywhere and repeated.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sagechain.llms.errors import EndpointNotFound, LeftBehind, LLMError
from sagechain.llms.sagemaker import TOOL_TAG

from . import upload
from .aws import Account
from .journal import Deployment
from .plan import DEPLOYMENT_TAG
from .progress import ShowProgress, format_duration, poll

# An endpoint in these states cannot be deleted; SageMaker ends each of them within its own limits.
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack")
KINDS = ("endpoint", "endpoint_config", "model")  # in the order of deletion
LATE_SECONDS = 30.0  # after which a request whose response was lost has been carried out, or never will be
LABELS = {"endpoint": "endpoint", "endpoint_config": "configuration", "model": "model"}


@dataclass(frozen=True)
class Resource:
    """An endpoint, configuration or model."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{LABELS[self.kind]} {self.name}"

    @property
    def api_name(self) -> str:
        """`EndpointConfig`: the kind as AWS's parameters spell it."""
        return "".join(part.capitalize() for part in self.kind.split("_"))


def resources_of(name: str) -> list[Resource]:
    """The resources that `deploy` creates under one name."""
    return [Resource(kind, name) for kind in KINDS]


@dataclass
class Teardown:
    """The deletion of a deployment.

    Args:
        account: the account with its resources.
        deployment: only resources with its identity are deleted; with an empty identity, all that sagechain created under
            its name.
        forced: these resources, regardless of who created them, instead of the deployment's own.
        expected: a resource that may still appear: its creation was requested, and the response was lost.
        poll_seconds: the longest pause between two looks at an endpoint.
        timeout: seconds to wait until the endpoint can be deleted, and again until it is gone.
        show: receives the progress.
    """

    account: Account
    deployment: Deployment
    forced: Sequence[Resource] = ()
    expected: Resource | None = None
    poll_seconds: float = 15
    timeout: float = 3_600
    show: ShowProgress = lambda text: None
    deleted: list[str] = field(default_factory=list)
    """The resources deleted so far."""
    _archive_deleted: bool = False

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.deployment.name

    def run(self, *, patient: bool = True) -> list[str]:
        """Delete everything and wait until it is gone.

        Args:
            patient: wait for an endpoint that cannot be deleted yet, and until a deleted one is gone. Otherwise an endpoint
                that cannot be deleted yet is left for a later teardown, and SageMaker is trusted to finish a deletion.

        Returns:
            The deleted resources: `endpoint NAME` …

        Raises:
            LeftBehind: something still exists; the error names it.
        """
        remaining = list(self.forced or resources_of(self.name))
        try:
            while remaining:
                self._delete(remaining[0], patient=patient)
                remaining.pop(0)
            self._delete_archive(self.deployment.archive)
        except LLMError as error:
            left = self._left(remaining)
            raise LeftBehind(self.name, f"still there: {', '.join(left)}; {error.message}", left) from error
        except (KeyboardInterrupt, SystemExit):
            left = self._left(remaining)
            self.show(f"stopped; still there: {', '.join(left)}. `sagechain endpoints reap` deletes it")
            raise
        return self.deleted

    def describe(self, resource: Resource) -> dict[str, Any] | None:
        """SageMaker's description; None if it does not exist."""
        try:
            return self.account.send(
                self.name, f"describe_{resource.kind}", **{f"{resource.api_name}Name": resource.name}
            )
        except EndpointNotFound:
            return None

    def tags_of(self, resource: Resource, description: Mapping[str, Any]) -> dict[str, str]:
        """The tags of a resource; none if it was deleted in between."""
        try:
            return self.account.tags(self.name, description[f"{resource.api_name}Arn"])
        except EndpointNotFound:
            return {}

    def is_own(self, resource: Resource, description: Mapping[str, Any]) -> bool:
        """Whether sagechain created it; with an identity: whether this deployment did."""
        tags = self.tags_of(resource, description)
        return TOOL_TAG in tags and self.deployment.identity in ("", tags.get(DEPLOYMENT_TAG))

    def _describe_deletable(self, resource: Resource) -> dict[str, Any] | None:
        """The description of a resource that exists and may be deleted."""
        description = self._await(resource) if resource == self.expected else self.describe(resource)
        if description is None or not (self.forced or self.is_own(resource, description)):
            return None
        return description

    def _delete(self, resource: Resource, *, patient: bool) -> None:
        description = self._describe_deletable(resource)
        if description is not None and resource.kind == "endpoint":
            description = self._await_deletable(resource, description, patient=patient)
        if description is None:
            return
        if resource.kind == "model":  # its description contains the address of its archive
            self._delete_archive(_uploaded_archive(resource.name, description))
        if description.get("EndpointStatus") != "Deleting":
            self.show(f"deleting the {LABELS[resource.kind]}")
            # Another process may have deleted it first.
            with suppress(EndpointNotFound):
                self.account.send(self.name, f"delete_{resource.kind}", **{f"{resource.api_name}Name": resource.name})
        if resource.kind == "endpoint" and patient:
            self._await_deleted(resource)
        self.deleted.append(str(resource))

    def _await(self, resource: Resource) -> dict[str, Any] | None:
        """The description of an expected resource; None if it does not appear."""
        for seconds in poll(self.poll_seconds):
            if (description := self.describe(resource)) is not None or seconds >= LATE_SECONDS:
                return description
            self.show(f"checking whether the {LABELS[resource.kind]} was created after all")
        return None

    def _await_deletable(
        self, endpoint: Resource, description: dict[str, Any] | None, *, patient: bool
    ) -> dict[str, Any] | None:
        for seconds in poll(self.poll_seconds):
            if description is None or (status := description["EndpointStatus"]) not in IN_PROGRESS:
                break
            if not patient or seconds > self.timeout:
                raise LLMError(self.name, f"an endpoint that is {status} cannot be deleted yet.")
            self.show(f"{status}, and cannot be deleted before that is over, {format_duration(seconds)}")
            description = self.describe(endpoint)
        return description

    def _await_deleted(self, endpoint: Resource) -> None:
        for seconds in poll(self.poll_seconds):
            if (description := self.describe(endpoint)) is None:
                return
            status = description["EndpointStatus"]
            # Just after the request it may still be reported as in service.
            if status == "Failed" or seconds > self.timeout:
                reason = description.get(
                    "FailureReason", f"{format_duration(seconds)} after its deletion was requested"
                )
                raise LLMError(self.name, f"the endpoint is {status}, not deleted: {reason}.")
            self.show(f"{status}, {format_duration(seconds)}")

    def _delete_archive(self, address: str) -> None:
        if address:
            upload.remove(self.account, self.name, address)
            self._archive_deleted |= address == self.deployment.archive

    def _left(self, remaining: Sequence[Resource]) -> tuple[str, ...]:
        """What still exists; where AWS does not answer, everything may."""
        left = []
        for resource in remaining:
            try:
                if self._describe_deletable(resource) is not None:
                    left.append(str(resource))
            except LLMError:
                left.append(f"perhaps {resource}")
        archive = [] if self._archive_deleted or not self.deployment.archive else [self.deployment.archive]
        return (*left, *archive)


def _uploaded_archive(name: str, model: Mapping[str, Any]) -> str:
    """The archive that sagechain uploaded for this model; empty if its data has another origin."""
    address: str = model.get("PrimaryContainer", {}).get("ModelDataUrl", "")
    return address if f"/sagechain/{name}/" in address else ""
