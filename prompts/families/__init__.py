"""The prompt families by name. A new family is one module with one class, and one entry here."""

from ..suggestions import check_known
from .base import COMMON_ESCAPING, PromptFamily, RenderedPrompt, RoleMessage, alternate_roles, to_role_messages
from .chatml import ChatML
from .falcon import Falcon, Falcon180B
from .llama2 import Llama2
from .plain import Plain
from .server_side import Messages

__all__ = [
    "COMMON_ESCAPING",
    "ChatML",
    "Llama2",
    "PromptFamily",
    "RenderedPrompt",
    "RoleMessage",
    "alternate_roles",
    "get_family",
    "list_families",
    "to_role_messages",
]

_FAMILIES: dict[str, PromptFamily] = {
    family.name: family for family in (ChatML(), Falcon(), Falcon180B(), Llama2(), Messages(), Plain())
}


def list_families() -> list[str]:
    """The names that `get_family` knows, sorted."""
    return sorted(_FAMILIES)


def get_family(name: str) -> PromptFamily:
    """The family with this name.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
    """
    check_known("family", [name], _FAMILIES)
    return _FAMILIES[name]
