"""The typed keywords are exactly those that are accepted, with the types of the fields that they set."""

import typing
from collections.abc import Sequence
from typing import Any, get_type_hints

import pytest
from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler
from langchain_core.caches import BaseCache
from langchain_core.callbacks import Callbacks
from langchain_core.language_models import ModelProfile
from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import SecretStr
from sagechain.llms import (
    DEFAULT_MODEL,
    ChatModelKeywords,
    GenerationParameters,
    LlamaCppLLM,
    ModelKeywords,
    ParameterKeywords,
    PromptedChatModel,
    SageMakerLLM,
    load_chat_model,
    load_llm,
)
from sagechain.llms.keywords import PromptedKeywords, SageMakerKeywords
from sagechain.llms.model_defaults import ModelDefaults
from sagechain.llms.wires.base import OnUnsupported

ONLY_IN_LOAD = {"engine", "slots", "region", "component", "variant", "max_tokens"}
"""Keywords that are no field of `SageMakerLLM`: settings of local models, short names of its fields, LangChain's word."""


def types_of(keywords: Any) -> dict[str, Any]:
    names: list[Any] = [LLMContentHandler, ModelDefaults, BaseCache, ModelProfile, BaseRateLimiter, SecretStr]
    return get_type_hints(
        keywords,
        localns={each.__name__: each for each in names} | {"Callbacks": Callbacks, "OnUnsupported": OnUnsupported},
    )


def test_the_typed_parameters_are_the_fields_of_generation_parameters_with_their_types() -> None:
    fields = {name: field.annotation for name, field in GenerationParameters.model_fields.items()}
    stop: Any = str | Sequence[str] | None
    accepted: dict[str, Any] = {**fields, "max_tokens": fields["max_new_tokens"], "stop": stop}
    assert types_of(ParameterKeywords) == accepted


def test_the_typed_keywords_of_load_llm_are_the_fields_of_an_endpoint_and_the_settings_of_a_uri() -> None:
    not_in_load = {"endpoint_name", "content_handler", "model_kwargs"}
    assert set(types_of(ModelKeywords)) - ONLY_IN_LOAD == set(SageMakerLLM.model_fields) - not_in_load


def test_the_typed_keywords_of_load_chat_model_are_those_of_load_llm_and_the_fields_of_the_chat_model() -> None:
    chat_only = set(types_of(ChatModelKeywords)) - set(types_of(ModelKeywords))
    assert chat_only == set(PromptedChatModel.model_fields) - set(types_of(ModelKeywords)) - {
        "llm",
        "api_key",
        "defaults",
    }


@pytest.mark.parametrize("load", [load_llm, load_chat_model])
def test_an_editor_sees_the_typed_keywords(load: Any) -> None:
    [keywords] = typing.get_args(load.__annotations__["parameters"])
    assert {"temperature", "timeout", "tokenizer", "callbacks"} <= set(types_of(keywords))


def test_without_a_uri_the_environment_names_the_model_and_else_it_is_the_embedded_one(
    monkeypatch: pytest.MonkeyPatch, smollm2: Any
) -> None:
    monkeypatch.setenv("SAGECHAIN_MODEL", "sagemaker:e?family=falcon&region=eu-west-1")
    llm, chat = load_llm(temperature=0.5), load_chat_model(max_tokens=3)
    assert isinstance(llm, SageMakerLLM)
    assert (llm.endpoint_name, llm.temperature) == ("e", 0.5)
    assert chat.max_tokens == 3 or getattr(chat.llm, "max_new_tokens", None) == 3
    for nothing in ("", " "):
        monkeypatch.setenv("SAGECHAIN_MODEL", nothing)
        local = load_llm()
        assert isinstance(local, LlamaCppLLM)
        assert local.path == load_llm(DEFAULT_MODEL).path  # type: ignore[attr-defined]


def test_the_typed_keywords_of_the_classes_are_their_fields() -> None:
    assert {*types_of(PromptedKeywords), "llm"} == set(PromptedChatModel.model_fields)
    assert {*types_of(SageMakerKeywords), "endpoint_name"} == {*SageMakerLLM.model_fields, "max_tokens"}
