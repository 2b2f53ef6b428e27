"""Model containers: what stands behind an endpoint and answers `/invocations`, one class a wire, found by its name."""

from collections.abc import Mapping

from .base import Container, ModelContainer, Reply, chunks_of, whole_body
from .hf import HfContainer
from .llama2 import DialogContainer, TextContainer
from .lmi import LmiContainer
from .messages import ChatContainer
from .tgi import TgiContainer
from .upstream import UpstreamContainer

__all__ = ["CONTAINERS", "Container", "Reply", "UpstreamContainer", "chunks_of", "whole_body"]

CONTAINERS: Mapping[str, type[ModelContainer]] = {
    "tgi": TgiContainer,
    "lmi": LmiContainer,
    "messages": ChatContainer,
    "hf": HfContainer,
    "llama2-dialog": DialogContainer,
    "llama2-text": TextContainer,
}
