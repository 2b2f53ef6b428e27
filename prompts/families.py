"""The families by name."""

from sagechain.prompts.chatml import ChatML
from sagechain.prompts.falcon import Falcon, Falcon180B
from sagechain.prompts.family import PromptFamily
from sagechain.prompts.llama2 import Llama2
from sagechain.prompts.messages import Messages
from sagechain.prompts.names import unknown
from sagechain.prompts.plain import Plain

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
