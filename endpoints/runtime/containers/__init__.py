"""Model containers: what stands behind an endpoint and answers `/invocations`, one class a wire, found by its name."""

from collections.abc import Mapping

from sagechain.endpoints.runtime.containers.base import Container, ModelContainer, Reply, chunks_of
from sagechain.endpoints.runtime.containers.hf import HfContainer
from sagechain.endpoints.runtime.containers.llama2 import DialogContainer, TextContainer
from sagechain.endpoints.runtime.containers.lmi import LmiContainer
from sagechain.endpoints.runtime.containers.messages import ChatContainer
from sagechain.endpoints.runtime.containers.tgi import TgiContainer
from sagechain.endpoints.runtime.containers.upstream import UpstreamContainer

__all__ = ["CONTAINERS", "Container", "Reply", "UpstreamContainer", "chunks_of"]

CONTAINERS: Mapping[str, type[ModelContainer]] = {
    "tgi": TgiContainer,
    "lmi": LmiContainer,
    "messages": ChatContainer,
    "hf": HfContainer,
    "llama2-dialog": DialogContainer,
    "llama2-text": TextContainer,
}
