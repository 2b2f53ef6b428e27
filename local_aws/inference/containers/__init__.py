"""The containers behind endpoints, one class a wire, by the wire's name: each answers `/invocations`."""

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
