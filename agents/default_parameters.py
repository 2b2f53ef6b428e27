"""Parameters that suit an agent, put under a model as suggestions; and which wires and engines carry a parameter.

Somebody's own choice always wins, and a suggestion that a wire does not carry is left out without a word: else no recipe
could be asked of Llama 2, whose wire has no `seed`. A parameter that somebody chose is still refused there.
"""

from collections.abc import Collection, Mapping
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from sagechain.llms import ENGINES, PARAMETER_NAMES, LlamaCppLLM, PromptedChatModel, SageMakerLLM, TextModel
from sagechain.llms.local.llama_cpp import CARRIES
from sagechain.llms.wires import get_wire, list_wires

SAME_MATTER = {"max_length": "max_new_tokens", "do_sample": "temperature", "max_tokens": "max_new_tokens"}
"""A parameter that somebody chose, and the suggestion that would outdo it."""


def suited(model: BaseLanguageModel[Any], suggested: Mapping[str, Any]) -> BaseChatModel:
    """A chat model over `model` with those suggestions that nobody chose otherwise and that its wire carries.

    Models that are not sagechain's have parameters of their own, and stay as they are.

    Raises:
        ValueError: a model that is none.
    """
    chat = PromptedChatModel(llm=model) if isinstance(model, BaseLLM) else model
    if not isinstance(chat, BaseChatModel):
        raise ValueError(f"model: give a chat model or an LLM, not {type(model).__name__}; set parameters on the model")
    if not isinstance(chat, PromptedChatModel) or not isinstance(chat.llm, TextModel):
        return chat
    chosen = {name for name in (*PARAMETER_NAMES, "max_tokens") if _is_set(chat, name) or _is_set(chat.llm, name)}
    settled = chosen | {SAME_MATTER[name] for name in chosen if name in SAME_MATTER}
    known = carried(chat.llm)
    # Every wire takes `stop`: it is cut on this side too.
    added = {
        name: value for name, value in suggested.items() if name not in settled and (name in known or name == "stop")
    }
    if not added:
        return chat
    own = {name: getattr(chat, name) for name in chat.model_fields_set - {"llm", "profile"}}
    return PromptedChatModel(llm=chat.llm.with_fields(**added), **own)


def carried(llm: TextModel) -> Collection[str]:
    """The parameters that reach the model."""
    if isinstance(llm, SageMakerLLM):
        return get_wire(llm.wire).parameter_names
    return CARRIES if isinstance(llm, LlamaCppLLM) else PARAMETER_NAMES


def carriers(parameter: str) -> tuple[list[str], list[str]]:
    """Which wires and engines carry a parameter, and which refuse it."""
    tables: dict[str, Collection[str]] = {f"the {name} wire": get_wire(name).parameter_names for name in list_wires()}
    tables |= {name: CARRIES if name == "llama.cpp" else PARAMETER_NAMES for name in ENGINES}
    return [n for n, table in tables.items() if parameter in table], [
        n for n, table in tables.items() if parameter not in table
    ]


def _is_set(model: object, name: str) -> bool:
    return getattr(model, name, None) is not None
