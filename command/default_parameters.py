"""Default generation parameters for a model; they give way to every choice of the user and to the model's wire.

A default that the wire does not carry is left out silently: otherwise the recipe prompt, which sets `seed`, could not be
sent over Llama 2's wire. A parameter that the user chose is still refused there.
"""

from collections.abc import Collection, Mapping
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from sagechain.llms import ENGINES, PARAMETER_NAMES, LlamaCppLLM, PromptedChatModel, SageMakerLLM, TextModel
from sagechain.llms.local.llama_cpp import LLAMA_CPP_NAMES
from sagechain.llms.wires import get_wire, list_wires

OVERRIDES = {"max_length": "max_new_tokens", "do_sample": "temperature", "max_tokens": "max_new_tokens"}
"""A parameter that the user may choose → the default that would contradict it."""


def with_defaults(model: BaseLanguageModel[Any], defaults: Mapping[str, Any]) -> BaseChatModel:
    """A chat model over `model` with those defaults that are not set on it and that its wire carries.

    A model that is not sagechain's has other parameters, and stays as it is.

    Raises:
        ValueError: `model` is neither a chat model nor an LLM.
    """
    chat = PromptedChatModel(llm=model) if isinstance(model, BaseLLM) else model
    if not isinstance(chat, BaseChatModel):
        raise ValueError(f"model: give a chat model or an LLM, not {type(model).__name__}; set parameters on the model")
    if not isinstance(chat, PromptedChatModel) or not isinstance(chat.llm, TextModel):
        return chat
    chosen = {name for name in (*PARAMETER_NAMES, "max_tokens") if _is_set(chat, name) or _is_set(chat.llm, name)}
    excluded = chosen | {OVERRIDES[name] for name in chosen if name in OVERRIDES}
    # `stop` works over every wire: sagechain cuts the answer itself.
    carried = {*_carried_parameters(chat.llm), "stop"}
    added = {name: value for name, value in defaults.items() if name in carried and name not in excluded}
    if not added:
        return chat
    chat_fields = {name: getattr(chat, name) for name in chat.model_fields_set - {"llm", "profile"}}
    return PromptedChatModel(llm=chat.llm.with_fields(**added), **chat_fields)


def carriers(parameter: str) -> tuple[list[str], list[str]]:
    """The wires and engines that carry a parameter, and those that refuse it."""
    tables: dict[str, Collection[str]] = {f"the {name} wire": get_wire(name).parameter_names for name in list_wires()}
    tables |= {name: LLAMA_CPP_NAMES if name == "llama.cpp" else PARAMETER_NAMES for name in ENGINES}
    carrying = [name for name, table in tables.items() if parameter in table]
    return carrying, [name for name in tables if name not in carrying]


def _carried_parameters(llm: TextModel) -> Collection[str]:
    if isinstance(llm, SageMakerLLM):
        return get_wire(llm.wire).parameter_names
    return LLAMA_CPP_NAMES if isinstance(llm, LlamaCppLLM) else PARAMETER_NAMES


def _is_set(model: object, name: str) -> bool:
    return getattr(model, name, None) is not None
