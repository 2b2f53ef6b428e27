"""Faults that an endpoint of the local runtime shows on demand, so that programs can be tried against them.

`faults.yaml` describes them. Those of a stream or of the connection are carried out in `broken_responses.py`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sagechain.prompts import read_yaml, unknown_name


def faults() -> dict[str, dict[str, Any]]:
    """The description of each fault, by name."""
    descriptions: dict[str, dict[str, Any]] = read_yaml(__package__, "faults.yaml")
    return descriptions


def list_faults() -> list[str]:
    """The names of the faults that an endpoint of the local runtime can show, in the order of `faults.yaml`."""
    return list(faults())


class FaultPlan(BaseModel):
    """Which fault an endpoint shows, and how often.

    Args:
        fault: its name.
        times: the number of requests that meet it; None: all.
        frames: the number of intact frames before it, where it is in a stream.
        seconds: the delay of a `slow` response.

    Raises:
        ValueError: an unknown fault, or a number below 0.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    fault: str
    times: Annotated[int, Field(ge=0)] | None = None
    frames: Annotated[int, Field(ge=0)] = 2
    seconds: Annotated[float, Field(ge=0)] = 1.0

    @field_validator("fault")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in faults():
            raise unknown_name("fault", name, faults())
        return name

    def next_fault(self) -> Mapping[str, Any]:
        """The description of what the next request meets, with `frames` and `seconds`; empty once `times` is used up."""
        if self.times == 0:
            return {}
        self.times = None if self.times is None else self.times - 1
        return {**faults()[self.fault], "frames": self.frames, "seconds": self.seconds}
