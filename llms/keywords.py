"""The keywords of `load_llm`, `load_chat_model` and the model classes: names and types, for editors and at run time.

The names stand here once: `load.py` refuses every other keyword, and a test compares the inference parameters with the
fields of `GenerationParameters`, from which their meaning, their ranges and the guide's table come.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from langchain_aws.llms.sagemaker_endpoint import LLMContentHandler
    from langchain_core.caches import BaseCache
    from langchain_core.callbacks import Callbacks
    from langchain_core.language_models import ModelProfile
    from langchain_core.rate_limiters import BaseRateLimiter
    from pydantic import SecretStr

    from .model_defaults import ModelDefaults
    from .wires.base import OnUnsupported


class ParameterKeywords(TypedDict, total=False):
    """The inference parameters: the fields of `GenerationParameters`, and LangChain's word for one of them."""

    max_length: int | None
    max_new_tokens: int | None
    max_tokens: int | None
    min_length: int | None
    num_beams: int | None
    early_stopping: bool | None
    length_penalty: float | None
    no_repeat_ngram_size: int | None
    repetition_penalty: float | None
    do_sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    num_return_sequences: int | None
    return_full_text: bool | None
    stop: str | Sequence[str] | None
    seed: int | None


class LangChainKeywords(TypedDict, total=False):
    """Those of every LangChain model."""

    callbacks: "Callbacks"
    tags: list[str] | None
    metadata: dict[str, Any] | None
    verbose: bool | None
    cache: "BaseCache | bool | None"
    name: str | None
    custom_get_token_ids: Callable[[str], list[int]] | None


class UriKeywords(TypedDict, total=False):
    """Settings that a URI may have instead (`sagemaker:e?family=falcon`)."""

    engine: Literal["llama.cpp", "transformers"] | None
    slots: int | None
    family: str | None
    wire: str | None
    region: str | None
    component: str | None
    variant: str | None
    model: str | None
    context: int | None
    tokenizer: str | Path | None


class EndpointKeywords(TypedDict, total=False):
    """Those of a SageMaker endpoint, which every URI accepts, and which have no effect on local models."""

    accept_eula: bool | None
    client: Any
    streaming: bool | None
    endpoint_kwargs: Mapping[str, Any] | None
    on_unsupported: "OnUnsupported | None"
    region_name: str | None
    inference_component_name: str | None
    variant_name: str | None
    credentials_profile_name: str | None
    endpoint_url: str | None
    config: Any
    aws_access_key_id: "str | SecretStr | None"
    aws_secret_access_key: "str | SecretStr | None"
    aws_session_token: "str | SecretStr | None"


class RequestKeywords(TypedDict, total=False):
    """How a model sends its requests."""

    timeout: float | None
    max_retries: int | None
    max_concurrency: int | None


class ChatOnlyKeywords(TypedDict, total=False):
    """Those of LangChain's chat models only."""

    disable_streaming: bool | Literal["tool_calling"] | None
    rate_limiter: "BaseRateLimiter | None"
    output_version: str | None
    profile: "ModelProfile | None"


class ModelKeywords(ParameterKeywords, RequestKeywords, EndpointKeywords, LangChainKeywords, UriKeywords, total=False):
    """All keywords of `load_llm`."""


class ChatModelKeywords(ModelKeywords, ChatOnlyKeywords, total=False):
    """All keywords of `load_chat_model`: those of `load_llm`, and those of LangChain's chat models."""


class PromptedKeywords(ParameterKeywords, LangChainKeywords, ChatOnlyKeywords, total=False):
    """The keywords of `PromptedChatModel` beside `llm`."""

    family: str | None
    timeout: float | None
    max_retries: int | None
    tokenizer: str | Path | None
    streaming: bool
    defaults: "ModelDefaults | None"
    api_key: "str | SecretStr | None"


class SageMakerKeywords(ParameterKeywords, RequestKeywords, EndpointKeywords, LangChainKeywords, total=False):
    """The keywords of `SageMakerLLM` beside `endpoint_name`."""

    family: str | None
    wire: str
    model: str | None
    context: int | None
    tokenizer: str | Path | None
    content_handler: "LLMContentHandler"
    model_kwargs: Mapping[str, Any] | None


@cache
def names(keywords: Any) -> tuple[str, ...]:
    """The names in one of these, inherited ones included."""
    return tuple(keywords.__annotations__)
