"""A text model as a LangChain LLM: what LangChain calls, over the methods of `TextGenerator`.

LangChain's own `_generate` runs a batch one prompt after another, and its cache does not know a request's parameters.
"""

from abc import ABC
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams, LanguageModelInput
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableSerializable
from langchain_core.runnables.config import get_config_list, merge_configs
from langchain_core.runnables.utils import AnyConfigurableField

from .checked_calls import CheckedCalls, check_request, prompt_value
from .parameters import PARAMETER_NAMES, with_one_name
from .text_generation import TextGenerator


class TextModel(CheckedCalls, TextGenerator, LLM, ABC):
    """A text model: the prompt is sent as it is, and text comes back. Usable from several threads and event loops."""

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """All that an answer depends on: the key of LangChain's cache."""
        return {"model": self.display_name, "family": self.family, **self._parameters(None, {}).given()}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """The names in traces: those of the chat model over this model."""
        params = super()._get_ls_params(stop=stop, **kwargs)
        return {**params, "ls_provider": "sagechain", "ls_model_name": str(kwargs.get("model") or self.display_name)}

    def configurable_fields(self, **fields: AnyConfigurableField) -> RunnableSerializable[Any, Any]:
        """As LangChain's; `max_tokens` is `max_new_tokens` here too."""
        return super().configurable_fields(**with_one_name(fields))

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        return prompt_value(model_input)

    def bind(self, **kwargs: Any) -> Runnable[LanguageModelInput, str]:
        """As LangChain's. Raises ValueError on a name that no request has."""
        check_request(kwargs)
        return super().bind(**kwargs)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """As LangChain's; with `return_exceptions` each input is a generation of its own, so one failure is one item.

        LangChain's own version returns the first exception for every input.
        """
        if not return_exceptions or not inputs:
            return super().batch(inputs, config, **kwargs)
        limit = RunnableConfig(max_concurrency=self.max_concurrency)
        configs = [merge_configs(limit, each) for each in get_config_list(config, len(inputs))]
        return Runnable.batch(self, inputs, configs, return_exceptions=True, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[str]:
        """As `batch`."""
        if not return_exceptions:
            return await super().abatch(inputs, config, **kwargs)
        return await Runnable.abatch(self, inputs, config, return_exceptions=True, **kwargs)

    def generate(self, prompts: list[str], stop: list[str] | None = None, *args: Any, **options: Any) -> LLMResult:
        """As LangChain's. A request's parameters become the model's, because LangChain's cache is keyed by the model."""
        model, rest = self._with_parameters(options)
        return super(TextModel, model).generate(prompts, stop, *args, **rest)

    async def agenerate(
        self, prompts: list[str], stop: list[str] | None = None, *args: Any, **options: Any
    ) -> LLMResult:
        """As `generate`."""
        model, rest = self._with_parameters(options)
        return await super(TextModel, model).agenerate(prompts, stop, *args, **rest)

    def _with_parameters(self, options: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        options = with_one_name(options)
        changes = {name: value for name, value in options.items() if name in PARAMETER_NAMES and value is not None}
        rest = {name: value for name, value in options.items() if name not in PARAMETER_NAMES}
        return self.model_copy(update=changes) if changes else self, rest

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> str:
        return self.complete(prompt, stop, **kwargs)[0].text

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        return self._result(self.complete_all(prompts, stop, **kwargs))

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        return self._result(await self.acomplete_all(prompts, stop, **kwargs))

    def _result(self, answers: list[list[GenerationChunk]]) -> LLMResult:
        generations = [[Generation(text=a.text, generation_info=a.generation_info) for a in each] for each in answers]
        return LLMResult(generations=list(generations), llm_output={"model_name": self.display_name})

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        with closing(self.chunks(prompt, stop, **kwargs)) as chunks:
            for chunk in chunks:
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        async with aclosing(self.achunks(prompt, stop, **kwargs)) as chunks:
            async for chunk in chunks:
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
