"""The arguments of a deployment in one value, checked before any request.

DeploymentRequest("parrot", model_data="./parrot/model", ttl="1h").seconds   # 3600.0
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sagechain.llms.sagemaker import check_name
from sagechain.llms.wires import get_wire
from sagechain.prompts import get_family

ROLE_VARIABLE = "SAGECHAIN_ROLE"
ROLE = re.compile(r"arn:aws[a-z\-]*:iam::\d{12}:role/[a-zA-Z_0-9+=,.@\-_/]+")
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}  # seconds
MAX_SECONDS = 365 * 86_400


@dataclass(frozen=True)
class DeploymentRequest:
    """A deployment as the user describes it; the fields are the arguments of `deploy`.

    Raises:
        ValueError: a field that is missing, unknown or out of range.
    """

    name: str
    model_id: str | None = None
    image: str | None = None
    model_data: str | Path | None = None
    role: str | None = None
    instance_type: str | None = None
    family: str | None = None
    wire: str | None = None
    accept_eula: bool = False
    ttl: float | str = "2h"
    environment: Mapping[str, str] = field(default_factory=dict)
    poll_seconds: float = 15
    timeout: float = 3_600

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if self.family is not None:
            get_family(self.family)
        if self.wire is not None:
            get_wire(self.wire)
        check_seconds("poll_seconds", self.poll_seconds)
        check_seconds("timeout", self.timeout)
        for variable, value in self.environment.items():
            if not (isinstance(variable, str) and isinstance(value, str)):  # the value may be a secret
                raise ValueError(f"environment: {variable!r} is {type(value).__name__}; give name and value as text")
        _ = self.role_arn, self.seconds  # raise for a bad role or time to live
        if self.model_id is not None and (self.image is not None or self.model_data is not None):
            raise ValueError("model_id: it is given, and so is image or model_data; give one or the other")
        if self.model_id is None and self.image is None and self.model_data is None:
            raise ValueError(
                "model_id: no model is given; give model_id (`sagechain endpoints catalogue` lists them), or model_data "
                "(the folder of a checkpoint, or an s3:// address), or an image"
            )

    @property
    def seconds(self) -> float:
        """The time to live."""
        return parse_duration(self.ttl)

    @property
    def role_arn(self) -> str:
        """The role that the endpoint runs as; `SAGECHAIN_ROLE` if none is given."""
        role = self.role or os.environ.get(ROLE_VARIABLE)
        if not role:
            raise ValueError(
                f"role: not given; give the ARN of the role that the endpoint runs as, or set {ROLE_VARIABLE} "
                "(docs/endpoints.md explains how to create one)"
            )
        if not ROLE.fullmatch(role):
            raise ValueError(f"role: {role!r} is not the ARN of a role, such as arn:aws:iam::123456789012:role/NAME")
        return role


def check_seconds(field: str, seconds: float) -> None:
    """Raise ValueError unless it is a number of seconds above 0."""
    if not seconds > 0:
        raise ValueError(f"{field}: {seconds!r} is out of range; more than 0 seconds")


def parse_duration(ttl: float | str) -> float:
    """A time to live in seconds: from a number of seconds, or `90m`, `2h`, `1d`. Raises ValueError for anything else."""
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(ttl).strip())
    seconds = float(parts[1]) * UNITS[parts[2] or "s"] if parts else 0.0
    if not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"ttl: {ttl!r} is not a duration above 0 and up to a year; give seconds, or 90m, 2h, 1d")
    return seconds
