"""Failures of AWS's operations on demand: error responses, lost connections, and endpoints that end `Failed`.

`failures.yaml` describes them, `operations.yaml` lists the operations. Faults of an endpoint that is in service are in
`inference/faults.py`.
"""

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from sagechain.prompts import read_yaml, unknown_name

from .account import USER
from .errors import AwsError


def failures() -> dict[str, dict[str, Any]]:
    """The description of each failure, by name."""
    descriptions: dict[str, dict[str, Any]] = read_yaml(__package__, "failures.yaml")
    return descriptions


def operations() -> dict[str, str]:
    """The IAM action of each operation."""
    actions: dict[str, str] = read_yaml(__package__, "operations.yaml")
    return actions


def list_failures() -> list[str]:
    """The names of the failures that `LocalRuntime.fail` accepts, in the order of `failures.yaml`."""
    return list(failures())


@dataclass(frozen=True)
class Failure:
    """What goes wrong with one request.

    Args:
        description: its entry in `failures.yaml`; empty: nothing goes wrong.
    """

    operation: str
    description: Mapping[str, Any]

    @property
    def is_immediate(self) -> bool:
        """Whether the request is refused without being read."""
        return "status" in self.description and "operations" not in self.description

    @property
    def connection(self) -> str | None:
        """`before` or `after`, if the connection is reset."""
        return self.description.get("connection")

    @property
    def reason(self) -> str | None:
        """The endpoint's FailureReason, if it is to end `Failed`."""
        return self.description.get("reason")

    def scaled_seconds(self, phase: str, seconds: float) -> float:
        """How many seconds the phase `creating` or `deleting` lasts, if it lasts `seconds` without a failure."""
        factor = self.description.get(phase, 1)
        return math.inf if factor == math.inf else seconds * float(factor)

    def raise_error(self, **fields: Any) -> None:
        """Raise the AwsError that this failure is, if it is one; `fields` are filled into its message."""
        if "status" not in self.description:
            return
        action = operations()[self.operation]
        error = {**self.description, **(self.description.get("s3", {}) if action.startswith("s3:") else {})}
        raise AwsError(error["code"], error["message"].format(action=action, user=USER, **fields), error["status"])


NO_FAILURE = Failure("", {})


class Failures:
    """The failures that are due: a queue for each operation."""

    def __init__(self) -> None:
        self._queues: dict[str, list[tuple[str, float]]] = {}
        self._lock = threading.Lock()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """The failures of texts in the form `OPERATION=FAILURE` or `OPERATION=FAILURE:TIMES`.

        Raises:
            ValueError: a text has another form, or an operation or a failure that does not exist.
        """
        parsed = cls()
        for text in texts:
            operation, equals, rest = text.partition("=")
            failure, colon, times = rest.partition(":")
            if not equals or (colon and not times.isdecimal()):
                raise ValueError(f"failure: {text!r} is not OPERATION=FAILURE or OPERATION=FAILURE:TIMES")
            parsed.add(operation, failure, int(times) if colon else None)
        return parsed

    def add(self, operation: str, failure: str, times: int | None = None) -> None:
        """Let requests for an operation fail, after the failures that it has been given before.

        Args:
            times: the number of requests; None: all.

        Raises:
            ValueError: an unknown operation or failure, one that the operation cannot have, or `times` below 1.
        """
        if operation not in operations():
            raise unknown_name("operation", operation, operations())
        if failure not in failures():
            raise unknown_name("failure", failure, failures())
        possible = failures()[failure].get("operations", [operation])
        if operation not in possible:
            raise ValueError(f"failure: {failure!r} can happen to {', '.join(possible)}, not to {operation}")
        if times is not None and times < 1:
            raise ValueError(f"times: {times} is below 1")
        with self._lock:
            self._queues.setdefault(operation, []).append((failure, math.inf if times is None else times))

    def clear(self) -> None:
        """Let nothing fail any more."""
        with self._lock:
            self._queues.clear()

    def next(self, operation: str) -> Failure:
        """What goes wrong with the next request for an operation."""
        with self._lock:
            queue = self._queues.get(operation)
            if not queue:
                return NO_FAILURE
            name, times = queue.pop(0)
            if times > 1:
                queue.insert(0, (name, times - 1))
            return Failure(operation, failures()[name])
