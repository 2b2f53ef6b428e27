"""Model containers: what stands behind an endpoint and answers `/invocations`, one class a wire, found by its name."""

from collections.abc import Mapping

from sagechain.endpoints.runtime.containers.base import Container, Reply
from sagechain.endpoints.runtime.containers.llama2 import DialogContainer
from sagechain.endpoints.runtime.containers.tgi import TgiContainer

__all__ = ["CONTAINERS", "Container", "Reply"]

CONTAINERS: Mapping[str, type[Container]] = {"tgi": TgiContainer, "llama2-dialog": DialogContainer}
