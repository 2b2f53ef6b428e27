"""Failures of AWS's operations on demand: refusals, lost connections, and endpoints that come to nothing.

`failures.yaml` names them, `operations.yaml` the operations. What an endpoint itself does wrong once it answers is
`inference/faults.py`'s.
"""

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from sagechain.prompts import read_yaml, unknown_name

from ..account import USER
from ..refusals import Refused


@cache
def failures() -> dict[str, dict[str, Any]]:
    """All failures by name."""
    found: dict[str, dict[str, Any]] = read_yaml(__package__, "failures.yaml")
    return found


@cache
def operations() -> dict[str, str]:
    """The IAM action of each operation."""
    actions: dict[str, str] = read_yaml(__package__, "operations.yaml")
    return actions


@dataclass(frozen=True)
class Failure:
    """What happens to one request."""

    operation: str
    facts: Mapping[str, Any]

    @property
    def at_once(self) -> bool:
        """Whether the request is refused whatever it says."""
        return "status" in self.facts and "operations" not in self.facts

    @property
    def connection(self) -> str | None:
        """`before` or `after`, if the connection is reset."""
        return self.facts.get("connection")

    @property
    def reason(self) -> str | None:
        """Why the endpoint fails, if it does."""
        return self.facts.get("reason")

    def lengthened(self, what: str, seconds: float) -> float:
        """How many seconds `creating` or `deleting` takes, if it usually takes these."""
        times = self.facts.get(what, 1)
        return math.inf if times == math.inf else seconds * float(times)

    def refuse(self, **request: Any) -> None:
        """Raise what AWS says, with what the request says in it; nothing where this is no refusal."""
        if "status" not in self.facts:
            return
        action = operations()[self.operation]
        said = {**self.facts, **(self.facts.get("s3", {}) if action.startswith("s3:") else {})}
        message = said["message"].format(action=action, user=USER, **request)
        raise Refused(said["code"], message, said["status"])


NO_FAILURE = Failure("", {})


class Failures:
    """The failures that are due, by operation, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._due: dict[str, list[tuple[str, float]]] = {}
        self._lock = threading.Lock()

    def add(self, operation: str, failure: str, times: int | None = None) -> None:
        """Let the next `times` requests (all, if None) for an operation fail, once those asked for before are through.

        Raises:
            ValueError: an operation or a failure that is unknown, one that the operation cannot have, or times below 1.
        """
        if operation not in operations():
            raise unknown_name("operation", operation, operations())
        if failure not in failures():
            raise unknown_name("failure", failure, failures())
        only = failures()[failure].get("operations", [operation])
        if operation not in only:
            raise ValueError(f"failure: {failure!r} can happen to {', '.join(only)}, not to {operation}")
        if times is not None and times < 1:
            raise ValueError(f"times: {times} is below 1")
        with self._lock:
            self._due.setdefault(operation, []).append((failure, math.inf if times is None else times))

    def clear(self) -> None:
        """Forget them all."""
        with self._lock:
            self._due.clear()

    def due(self, operation: str) -> Failure:
        """What happens to this request."""
        with self._lock:
            queue = self._due.get(operation)
            if not queue:
                return NO_FAILURE
            name, times = queue.pop(0)
            if times > 1:
                queue.insert(0, (name, times - 1))
            return Failure(operation, failures()[name])


def list_failures() -> list[str]:
    """The failures that an operation of the local runtime can have, in the order of `failures.yaml`."""
    return list(failures())


def asked_for(texts: Iterable[str]) -> Failures:
    """The failures that `OPERATION=FAILURE` or `OPERATION=FAILURE:TIMES` ask for.

    Raises:
        ValueError: neither of the two, or one that does not exist.
    """
    found = Failures()
    for text in texts:
        operation, equals, rest = text.partition("=")
        failure, colon, times = rest.partition(":")
        if not equals or (colon and not times.isdecimal()):
            raise ValueError(f"failure: {text!r} is not OPERATION=FAILURE or OPERATION=FAILURE:TIMES")
        found.add(operation, failure, int(times) if colon else None)
    return found
