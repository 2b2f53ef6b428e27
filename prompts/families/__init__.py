"""The families by name."""

from ..suggestions import unknown
from .base import COMMON_TAGS, PromptFamily, RenderedPrompt, Turn, alternating, turns_of
from .chatml import ChatML
from .falcon import Falcon, Falcon180B
from .llama2 import Llama2
from .plain import Plain
from .server_side import Messages

__all__ = [
    "COMMON_TAGS",
    "ChatML",
    "Llama2",
    "PromptFamily",
    "RenderedPrompt",
    "Turn",
    "alternating",
    "get_family",
    "list_families",
    "turns_of",
]

_ALL = (ChatML(), Falcon(), Falcon180B(), Llama2(), Messages(), Plain())
_FAMILIES: dict[str, PromptFamily] = {family.name: family for family in _ALL}


def list_families() -> list[str]:
    """The names that `get_family` knows, sorted."""
    return sorted(_FAMILIES)


def get_family(name: str) -> PromptFamily:
    """The family of that name.

    Raises:
        ValueError: no such family; the message lists those there are.
    """
    if name not in _FAMILIES:
        raise unknown("family", name, _FAMILIES)
    return _FAMILIES[name]
