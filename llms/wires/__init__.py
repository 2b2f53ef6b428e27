"""The request and reply formats of containers on SageMaker: one small class a wire, found by name."""

from sagechain.prompts import check_known

from .base import Wire
from .chat_completions.wire import ChatCompletions
from .hf import HuggingFace
from .llama2 import Llama2Dialog, Llama2Text
from .lmi import LargeModelInference
from .tgi import TextGenerationInference

__all__ = ["DEFAULT_WIRES", "HuggingFace", "Wire", "get_wire", "list_wires"]

_CLASSES = (TextGenerationInference, LargeModelInference, ChatCompletions, HuggingFace, Llama2Dialog, Llama2Text)
_WIRES: dict[str, Wire] = {wire.name: wire() for wire in _CLASSES}

DEFAULT_WIRES = {
    "llama2": "tgi",
    "falcon": "tgi",
    "falcon180b": "tgi",
    "chatml": "lmi",
    "plain": "hf",
    "messages": "messages",
}
"""Family → the wire of its endpoints, unless another one is named."""


def list_wires() -> list[str]:
    """The names that `get_wire` accepts, sorted."""
    return sorted(_WIRES)


def get_wire(name: str) -> Wire:
    """The wire with that name.

    Raises:
        ValueError: the wire is unknown; the message lists the known ones.
    """
    check_known("wire", [name], _WIRES)
    return _WIRES[name]
