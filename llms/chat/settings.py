"""Settings of a chat model over an LLM that is not sagechain's: how they reach it, or that they cannot.

LangChain's LLMs take settings in different ways: as fields (OpenAI, vLLM, Ollama, llama.cpp), as arguments of a request
(`_call(prompt, stop, run_manager, **kwargs)`), or not at all. Many accept `**kwargs` and never read them, so a method
counts as taking a setting if it names it, or uses its `**kwargs` for anything.
"""

import dis
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from langchain_core.globals import get_llm_cache
from langchain_core.language_models.llms import LLM, BaseLLM

from ..parameters import PARAMETER_NAMES, GenerationParameters
from ..wires import HuggingFace

NAMES = {"max_new_tokens": ("max_new_tokens", "max_tokens"), "num_return_sequences": ("num_return_sequences", "n")}
"""Other names of a setting in LangChain's LLMs."""
AT_CONSTRUCTION = ("timeout", "max_retries", *BaseLLM.model_fields)
"""What an LLM reads when it is made: another value later would change nothing."""
SAMPLING = {"do_sample", "temperature", "top_k", "top_p"}
METHODS = ("_call", "_generate", "_stream", "_acall", "_agenerate", "_astream")


def configure_llm(llm: BaseLLM, settings: Mapping[str, Any]) -> tuple[BaseLLM, dict[str, Any]]:
    """The LLM with settings as its fields, and the options of a request for the others.

    Raises:
        ValueError: a value out of range, or a setting that the LLM cannot honour.
    """
    settings = {name: value for name, value in settings.items() if name != "stop"}  # always cut by the chat model
    known = {name: value for name, value in settings.items() if name in PARAMETER_NAMES}
    # Whether the LLM samples is not known; a number of answers alone is not refused.
    GenerationParameters(**{"temperature": 1.0, **known})
    if "pipeline_kwargs" in type(llm).model_fields:
        return _uncached(llm), _pipeline_options(llm, settings)
    fields: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in settings.items():
        names = NAMES.get(name, (name,))
        if field := next((each for each in names if _is_setting(llm, each)), None):
            fields[field] = value
        elif argument := next((each for each in names if all(_takes(m, each) for m in _methods(llm))), None):
            options[argument] = value
        else:
            raise _refused(llm, name)
    llm = llm.model_copy(update=fields) if fields else llm
    return _uncached(llm) if settings else llm, options


def _uncached(llm: BaseLLM) -> BaseLLM:
    """The LLM without LangChain's cache, whose key lacks the settings of a request; the chat model's own has them."""
    is_cached = get_llm_cache() is not None if llm.cache is None else llm.cache is not False
    return llm.model_copy(update={"cache": False}) if is_cached else llm


def check_settings(llm: BaseLLM, settings: Mapping[str, Any]) -> None:
    """Raises ValueError on what `configure_llm` would refuse, and on settings that an LLM reads only when it is made."""
    for name in settings:
        if name in AT_CONSTRUCTION:
            raise _refused(llm, name)
    configure_llm(llm, settings)


def can_honour(llm: BaseLLM, settings: Mapping[str, Any]) -> bool:
    """Whether `check_settings` accepts these."""
    try:
        check_settings(llm, settings)
    except ValueError:
        return False
    return True


def stop_to_send(llm: BaseLLM, stop: Sequence[str]) -> list[str] | None:
    """The stop strings for a request; None for an LLM that would cut in other places."""
    return None if _misreads_stop(type(llm)) else list(stop) or None


@cache
def _misreads_stop(llm_class: type[BaseLLM]) -> bool:
    """Whether an LLM cuts by LangChain's `enforce_stop_tokens`.

    langchain-aws 1.9.1 (SagemakerEndpoint, BedrockLLM) and langchain-community join stop strings into a regular expression,
    unescaped, so that `<|im_end|>` cuts at every `<`; in a stream each chunk is cut for itself, and the next one follows.
    """
    functions = (each for base in llm_class.__mro__ for each in vars(base).values() if inspect.isfunction(each))
    return any("enforce_stop_tokens" in inspect.unwrap(each).__code__.co_names for each in functions)


def _refused(llm: BaseLLM, name: str) -> ValueError:
    shown = "max_tokens (max_new_tokens)" if name == "max_new_tokens" else name
    return ValueError(f"{shown}: {type(llm).__name__} cannot be given it by the chat model; set it on the LLM itself")


def _is_setting(llm: BaseLLM, name: str) -> bool:
    return name in type(llm).model_fields and name not in AT_CONSTRUCTION


def _pipeline_options(llm: BaseLLM, settings: Mapping[str, Any]) -> dict[str, Any]:
    """langchain-huggingface 1.2.3 takes settings of a request in `pipeline_kwargs` only, and ignores all others.

    Of several answers it returns the first; before a whole one stands the prompt, unless the pipeline leaves it out. How
    the pipeline samples stays as it is where no setting is about that.
    """
    for name in settings:
        if name not in HuggingFace.parameter_names or name == "num_return_sequences":
            raise _refused(llm, name)
    sent = HuggingFace().encode_parameters(GenerationParameters(**settings)) if settings else {}
    if not settings.keys() & SAMPLING:
        sent.pop("do_sample", None)
    continues_text = getattr(getattr(llm, "pipeline", None), "task", None) == "text-generation"
    return {"pipeline_kwargs": {**(HuggingFace.fixed_parameters if continues_text else {}), **sent}}


def _methods(llm: BaseLLM) -> Iterator[Callable[..., Any]]:
    """The methods that answer requests, as far as the LLM's class has its own."""
    own = {name: getattr(type(llm), name) for name in METHODS if hasattr(type(llm), name)}
    for name, method in own.items():
        is_langchains = method in (getattr(LLM, name, None), getattr(BaseLLM, name, None))
        is_unused = name == "_call" and own["_generate"] is not LLM._generate
        if not is_langchains and not is_unused:
            yield method


def _takes(method: Callable[..., Any], name: str) -> bool:
    method = inspect.unwrap(method)
    parameters = inspect.signature(method).parameters
    if name in parameters:
        return True
    code = getattr(method, "__code__", None)
    rest = next((each.name for each in parameters.values() if each.kind is each.VAR_KEYWORD), None)
    if rest is None or code is None:
        return rest is not None
    return any(step.argval == rest and step.opname.startswith("LOAD") for step in dis.get_instructions(code))
