"""What LangChain's own methods of a model would ignore, or would refuse much later, is a ValueError at once.

LangChain passes a misspelt keyword of `bind` on to the request, ignores one of `with_config`, and shows the whole model in
the error of `configurable_fields`.
"""

from collections.abc import Mapping
from typing import Any

from langchain_core.prompt_values import ChatPromptValue, PromptValue, StringPromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.utils import AnyConfigurableField
from sagechain.prompts import check_known, convert_messages

from .keywords import ModelKeywords, ParameterKeywords, names


class CheckedCalls(Runnable[Any, Any]):
    """Checks the keywords of a model's `with_config` and `configurable_fields`; put before LangChain's class."""

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Runnable[Any, Any]:
        """As LangChain's. Raises ValueError on a name that LangChain would ignore, such as an inference parameter's."""
        for name in {**(config or {}), **kwargs}:
            if name in names(ParameterKeywords):
                raise ValueError(f"{name}: with_config has no inference parameters; write .bind({name}=…)")
            check_known("with_config", [name], RunnableConfig.__annotations__)
        return super().with_config(config, **kwargs)

    def configurable_fields(self, **fields: AnyConfigurableField) -> RunnableSerializable[Any, Any]:
        """As LangChain's. Raises ValueError on a name that is not a field of the model."""
        check_known("configurable_fields", fields, type(self).model_fields)  # type: ignore[attr-defined]
        configurable: RunnableSerializable[Any, Any] = super().configurable_fields(**fields)  # type: ignore[misc]
        return configurable


def check_request(options: Mapping[str, Any]) -> None:
    """Refuse options of a request that are not inference parameters; None is an option that is not given.

    Raises:
        ValueError: a name that is unknown, or one that is given when the model is loaded.
    """
    for name in (name for name, value in options.items() if value is not None):
        if name in names(ModelKeywords) and name not in names(ParameterKeywords):
            raise ValueError(
                f"{name}: it belongs to the model, not to one request; give it when the model is loaded, "
                f"as load_llm or load_chat_model(…, {name}=…)"
            )
        check_known("parameter", [name], names(ParameterKeywords))


def prompt_value(model_input: Any) -> PromptValue:
    """What a model is invoked with: text, messages, or the value of a prompt template.

    Raises:
        ValueError: something else, or an item that is not a message.
    """
    if isinstance(model_input, str):
        return StringPromptValue(text=model_input)
    if isinstance(model_input, PromptValue):
        return model_input
    if isinstance(model_input, list | tuple):
        return ChatPromptValue(messages=convert_messages(model_input))
    hint = "; pass the list of its 'messages'" if isinstance(model_input, dict) and "messages" in model_input else ""
    raise ValueError(
        f"input: {type(model_input).__name__} is neither text nor a list of messages, such as "
        f'[("human", "…")], nor the value of a prompt template{hint}'
    )
