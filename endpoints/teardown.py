"""Delete a deployment's endpoint, configuration and model, in this order, if they are its own.

Each step checks first whether there is something to delete, so a teardown can be stopped anywhere and repeated.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sagechain.llms.errors import EndpointNotFound, LeftBehind, LLMError, RequestRejected
from sagechain.llms.sagemaker import TOOL_TAG

from . import upload
from .aws import Account
from .journal import Deployment
from .plan import DEPLOYMENT_TAG
from .progress import ShowProgress, format_duration, poll
from .resources import LABELS, Resource, resources_of

# An endpoint in these states cannot be deleted; SageMaker ends each of them within its own limits.
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack")
# For so long a request whose response was lost may still be carried out, and descriptions may be of an earlier state.
LATE_SECONDS = 30.0
MAX_DELETE_REQUESTS = 3  # for one endpoint that is not deleted, each LATE_SECONDS after the one before


@dataclass
class Teardown:
    """The deletion of a deployment.

    Args:
        account: the account with its resources.
        deployment: only resources with its identity are deleted; with an empty identity, all that sagechain created under
            its name.
        forced: these resources, regardless of who created them, instead of the deployment's own. Nothing in S3 is deleted.
        expected: resources that may still appear: their creation was requested, and they have not been seen yet.
        poll_seconds: the longest pause between two looks at an endpoint.
        timeout: seconds to wait until the endpoint can be deleted, and again until it is gone.
        show: receives the progress.
    """

    account: Account
    deployment: Deployment
    forced: Sequence[Resource] = ()
    expected: Collection[Resource] = ()
    poll_seconds: float = 15
    timeout: float = 3_600
    show: ShowProgress = lambda text: None
    deleted: list[str] = field(default_factory=list)
    """The resources deleted so far."""
    _has_archive: bool = False
    _record_is_valid: bool = True

    def __post_init__(self) -> None:
        self._has_archive = bool(self.deployment.archive)

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
            if self._has_archive:  # its model was never created, or is gone
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
            return self.account.send(self.name, f"describe_{resource.kind}", **resource.parameters)
        except EndpointNotFound:
            return None

    def tags_of(self, resource: Resource, description: Mapping[str, Any]) -> dict[str, str]:
        """The tags of a resource; none if it was deleted in between."""
        try:
            return self.account.tags(self.name, description[f"{resource.api_name}Arn"])
        except EndpointNotFound:
            return {}

    def is_own(self, resource: Resource, description: Mapping[str, Any]) -> bool:
        """Whether this deployment created it: by its own record, else by the tags.

        Without an identity: whether sagechain created it.
        """
        if self.is_recorded(resource, description) or self._has_own_configuration(resource, description):
            return True
        tags = self.tags_of(resource, description)
        return TOOL_TAG in tags and self.deployment.identity in ("", tags.get(DEPLOYMENT_TAG))

    def is_recorded(self, resource: Resource, description: Mapping[str, Any] | None) -> bool:
        """Whether the deployment's own record shows that it created this resource.

        Not if its endpoint is gone or another one has its name: since then anybody may have created the other resources.
        """
        recorded = self.deployment.endpoint_created
        if resource.kind == "endpoint" and recorded:
            self._record_is_valid = description is not None and description["CreationTime"].timestamp() == recorded
        return self._record_is_valid and resource.kind in self.deployment.created

    def _has_own_configuration(self, resource: Resource, description: Mapping[str, Any]) -> bool:
        """Whether it is the requested endpoint, its response lost: it has the configuration of this deployment."""
        return (
            resource.kind == "endpoint"
            and resource in self.expected
            and "endpoint_config" in self.deployment.created
            and description["EndpointConfigName"] == self.name
        )

    def _describe_deletable(self, resource: Resource) -> dict[str, Any] | None:
        """The description of a resource that exists and may be deleted."""
        description = self._await(resource) if resource in self.expected else self.describe(resource)
        if description is None:
            self.is_recorded(resource, None)
            return None
        return description if self.forced or self.is_own(resource, description) else None

    def _delete(self, resource: Resource, *, patient: bool) -> None:
        description = self._describe_deletable(resource)
        if description is None:
            return
        if resource.kind == "endpoint":
            self._delete_endpoint(resource, description, patient=patient)
        else:
            if resource.kind == "model" and not self.forced:  # it is the record of its archive, and goes after it
                self._delete_archive_of(description)
            self.show(f"deleting the {LABELS[resource.kind]}")
            self._request_deletion(resource)
        self.deleted.append(str(resource))

    def _request_deletion(self, resource: Resource) -> None:
        # Another process may have deleted it first.
        with suppress(EndpointNotFound):
            self.account.send(self.name, f"delete_{resource.kind}", **resource.parameters)

    def _await(self, resource: Resource) -> dict[str, Any] | None:
        """The description of an expected resource; None if it does not appear."""
        for seconds in poll(self.poll_seconds):
            if (description := self.describe(resource)) is not None or seconds >= LATE_SECONDS:
                return description
            self.show(f"checking whether the {LABELS[resource.kind]} was created after all")
        return None

    def _delete_endpoint(self, endpoint: Resource, first: dict[str, Any], *, patient: bool) -> None:
        """Delete an endpoint as soon as SageMaker accepts it, and wait until it is gone.

        Descriptions may be of an earlier state, so a status alone ends nothing: the request is sent again instead.
        """
        description: dict[str, Any] | None = first
        requests, since = 0, 0.0
        for seconds in poll(self.poll_seconds):
            # Once it is gone, another owner may use its name.
            if description is None or description["CreationTime"] != first["CreationTime"]:
                return
            status, waited = description["EndpointStatus"], seconds - since
            is_due = status not in (*IN_PROGRESS, "Deleting") and (not requests or waited >= LATE_SECONDS)
            if waited > self.timeout or (is_due and requests == MAX_DELETE_REQUESTS):
                raise LLMError(self.name, _not_deleted(description, waited, is_requested=requests > 0))
            if is_due:
                self.show("deleting the endpoint")
                try:
                    self._request_deletion(endpoint)
                except RequestRejected as error:
                    if "in-progress" not in error.message:
                        raise
                    status = "in progress"
                else:
                    requests, since = requests + 1, seconds
            if not patient and (requests or status == "Deleting"):
                return
            if not patient:
                raise LLMError(self.name, f"an endpoint that is {status} cannot be deleted yet.")
            waits = "" if requests or status == "Deleting" else ", and cannot be deleted before that is over"
            self.show(f"{status}{waits}, {format_duration(waited)}")
            description = self.describe(endpoint)

    def _delete_archive_of(self, model: Mapping[str, Any]) -> None:
        """Delete the checkpoint that was uploaded for this deployment's model; never data of another origin."""
        deployment = self.deployment
        address = upload.archive_address(deployment.region, deployment.account, self.name, deployment.identity)
        if model.get("PrimaryContainer", {}).get("ModelDataUrl") != address:
            return
        users = self._other_models_with(address, model)
        if users:
            self._has_archive = False
            self.show(f"keeping {address}: it is also the data of {', '.join(users)}")
        else:
            self._delete_archive(address)

    def _other_models_with(self, address: str, model: Mapping[str, Any]) -> list[str]:
        """The names of the models, created after this one, whose data is at the address or under a prefix of it."""
        created = model["CreationTime"] - timedelta(seconds=1)
        names = (row["ModelName"] for row in self.account.rows("list_models", "Models", CreationTimeAfter=created))
        return [
            name
            for name in names
            if name != model["ModelName"] and _uses(self.describe(Resource("model", name)), address)
        ]

    def _delete_archive(self, address: str) -> None:
        is_known = address == self.deployment.archive
        upload.remove(self.account, self.name, address, self.deployment.identity, is_known=is_known)
        self._has_archive = False

    def _left(self, remaining: Sequence[Resource]) -> tuple[str, ...]:
        """What still exists; where AWS does not answer, everything may."""
        left = []
        for resource in remaining:
            try:
                if self._describe_deletable(resource) is not None:
                    left.append(str(resource))
            except LLMError:
                left.append(f"perhaps {resource}")
        return (*left, *([self.deployment.archive] if self._has_archive else []))


def _uses(model: Mapping[str, Any] | None, address: str) -> bool:
    """Whether a model's description contains an S3 address, or a prefix of it: that of a multi-model endpoint."""
    text = json.dumps(model, default=str)
    return address in text or any(address.startswith(each) for each in re.findall(r'"(s3://[^"]+/)"', text))


def _not_deleted(description: Mapping[str, Any], seconds: float, *, is_requested: bool) -> str:
    status = description["EndpointStatus"]
    if not is_requested:
        return f"an endpoint that is {status} cannot be deleted yet."
    reason = description.get("FailureReason", f"{format_duration(seconds)} after its deletion was requested")
    return f"the endpoint is {status}, not deleted: {reason}."
