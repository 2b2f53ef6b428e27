"""Delete an endpoint, its configuration and its model, in this order, as far as they are ours.

Each step finds out by itself whether there is something to do, so a tear-down can be stopped anywhere and done again.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sagechain.llms.errors import EndpointNotFound, LeftBehind, LLMError
from sagechain.llms.sagemaker import TOOL_TAG

from . import upload as archive
from .aws import Account
from .plan import DEPLOYMENT
from .progress import Show, pauses, told_span

# An endpoint cannot be deleted in these states; SageMaker ends each of them by itself, within its own limits.
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack")
KINDS = ("endpoint", "endpoint_config", "model")  # in the order in which they are deleted
LATE_SECONDS = 30.0  # after which a request whose reply was lost has been carried out, or never is
WORDS = {"endpoint": "endpoint", "endpoint_config": "configuration", "model": "model"}


@dataclass(frozen=True)
class Thing:
    """An endpoint, configuration or model."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{WORDS[self.kind]} {self.name}"

    @property
    def words(self) -> str:
        """`EndpointConfig`, as AWS's parameters spell the kind."""
        return "".join(part.capitalize() for part in self.kind.split("_"))


def things(name: str) -> list[Thing]:
    """What `deploy` makes under one name."""
    return [Thing(kind, name) for kind in KINDS]


@dataclass
class Teardown:
    """The end of an endpoint and what belongs to it.

    Args:
        account: where it is.
        name: of the endpoint.
        identity: the tag of the deployment whose things may go; empty: of any deployment of sagechain's.
        forced: these things, ours or not, instead of what is ours under the name.
        archive: `s3://…` of a checkpoint that was uploaded for it.
        expected: what may still come to be there: its request was sent, and nobody knows what became of it.
        poll_seconds: between two looks at an endpoint, at most.
        timeout: seconds that it may take until it can be deleted, and again until it is gone.
        show: is told what happens.
    """

    account: Account
    name: str
    identity: str = ""
    forced: Sequence[Thing] = ()
    archive: str = ""
    expected: Thing | None = None
    poll_seconds: float = 15
    timeout: float = 3_600
    show: Show = lambda text: None
    deleted: list[str] = field(default_factory=list)
    """What went, so far."""

    def run(self, *, patient: bool = True) -> list[str]:
        """Delete all, and wait until it is gone.

        Args:
            patient: wait for an endpoint that cannot be deleted yet, else leave all to a later call; and until one
                that was deleted is gone, else SageMaker is trusted with it.

        Returns:
            What was deleted: `endpoint NAME` …

        Raises:
            LeftBehind: something is still there; the error names it.
        """
        waiting = list(self.forced or things(self.name))
        try:
            while waiting:
                self._delete(waiting[0], patient=patient)
                waiting.pop(0)
            self._remove_archive(self.archive)
        except LLMError as error:
            left = self._left(waiting)
            raise LeftBehind(self.name, f"still there: {', '.join(left)}; {error.message}", left) from error
        except (KeyboardInterrupt, SystemExit):
            self.show(f"stopped; still there: {', '.join(self._left(waiting))}. `sagechain endpoints reap` deletes it")
            raise
        return self.deleted

    def described(self, thing: Thing) -> dict[str, Any] | None:
        """What SageMaker says of it; None where there is none."""
        try:
            return self.account.ask(self.name, f"describe_{thing.kind}", **{f"{thing.words}Name": thing.name})
        except EndpointNotFound:
            return None

    def is_ours(self, thing: Thing, found: Mapping[str, Any]) -> bool:
        """Whether sagechain made it, and the deployment in question, if one is."""
        try:
            tags = self.account.tags(self.name, found[f"{thing.words}Arn"])
        except EndpointNotFound:
            return False  # gone in between
        return TOOL_TAG in tags and self.identity in ("", tags.get(DEPLOYMENT))

    def _may_go(self, thing: Thing) -> dict[str, Any] | None:
        """What SageMaker says of it, if it is there and may be deleted."""
        found = self._once_it_is_there(thing) if thing == self.expected else self.described(thing)
        return found if found is not None and (self.forced or self.is_ours(thing, found)) else None

    def _delete(self, thing: Thing, *, patient: bool) -> None:
        found = self._may_go(thing)
        if found is not None and thing.kind == "endpoint":
            found = self._until_it_can_be_deleted(thing, found, patient=patient)
        if found is None:
            return
        if thing.kind == "model":  # while it still tells where its archive is
            self._remove_archive(_uploaded(thing.name, found))
        if found.get("EndpointStatus") != "Deleting":
            self.show(f"deleting the {WORDS[thing.kind]}")
            # Another process may have been quicker.
            with suppress(EndpointNotFound):
                self.account.ask(self.name, f"delete_{thing.kind}", **{f"{thing.words}Name": thing.name})
        if thing.kind == "endpoint" and patient:
            self._until_it_is_gone(thing)
        self.deleted.append(str(thing))

    def _once_it_is_there(self, thing: Thing) -> dict[str, Any] | None:
        """What SageMaker says of it; None where it does not come to be there."""
        began, pause = time.monotonic(), pauses(self.poll_seconds)
        while (found := self.described(thing)) is None and time.monotonic() - began < LATE_SECONDS:
            self.show(f"looking whether the {WORDS[thing.kind]} was made after all")
            time.sleep(next(pause))
        return found

    def _remove_archive(self, address: str) -> None:
        if address:
            archive.remove(self.account, self.name, address)
            self.archive = "" if address == self.archive else self.archive

    def _until_it_can_be_deleted(
        self, endpoint: Thing, found: dict[str, Any], *, patient: bool
    ) -> dict[str, Any] | None:
        began, pause = time.monotonic(), pauses(self.poll_seconds)
        now: dict[str, Any] | None = found
        while now is not None and (status := now["EndpointStatus"]) in IN_PROGRESS:
            seconds = time.monotonic() - began
            if not patient or seconds > self.timeout:
                raise LLMError(self.name, f"an endpoint that is {status} cannot be deleted yet.")
            self.show(f"{status}, and cannot be deleted before that is over, {told_span(seconds)}")
            time.sleep(next(pause))
            now = self.described(endpoint)
        return now

    def _until_it_is_gone(self, endpoint: Thing) -> None:
        began, pause = time.monotonic(), pauses(self.poll_seconds)
        while (now := self.described(endpoint)) is not None:
            status, seconds = now["EndpointStatus"], time.monotonic() - began
            # Just after the request it may still be told to be in service.
            if status == "Failed" or seconds > self.timeout:
                why = now.get("FailureReason", f"{told_span(seconds)} after it was asked to be")
                raise LLMError(self.name, f"the endpoint is {status} and not gone: {why}.")
            self.show(f"{status}, {told_span(seconds)}")
            time.sleep(next(pause))

    def _left(self, waiting: Sequence[Thing]) -> tuple[str, ...]:
        """What of the rest is there; where AWS cannot be asked, all of it may be."""
        left = []
        for thing in waiting:
            try:
                if self._may_go(thing) is not None:
                    left.append(str(thing))
            except LLMError:
                left.append(f"perhaps {thing}")
        return (*left, *([self.archive] if self.archive else []))


def _uploaded(name: str, model: Mapping[str, Any]) -> str:
    """The archive that was uploaded for this very model; empty where its data is somebody else's."""
    address: str = model.get("PrimaryContainer", {}).get("ModelDataUrl", "")
    return address if f"/sagechain/{name}/" in address else ""
