"""A chat model over any LLM that continues text: a prompt family lays the messages out, the LLM answers.

chat = PromptedChatModel(llm=load_llm("sagemaker:my-falcon?family=falcon"), family="falcon", temperature=0.2)
chat.invoke([("system", "Be brief."), ("human", "Hi")])
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, GenerationChunk
from pydantic import ConfigDict, model_validator
from sagechain.llms.calls import Prompt
from sagechain.llms.text_model import TextModel
from sagechain.prompts import PromptFamily, get_family

# Call-time arguments of LangChain's that speak to the chat model itself.
NOT_FOR_THE_LLM = ("model", "stream", "ls_structured_output_format")


class PromptedChatModel(BaseChatModel):
    """Messages in, a message out, over an LLM that knows text only.

    Args:
        llm: any LangChain LLM.
        family: the prompt family of the LLM's model; if not given, the LLM's own, else `plain`. Where the LLM's wire
            takes roles only, the server lays them out and no family is used.
        temperature, max_tokens, stop: as in `GenerationParameters` (`max_tokens` is `max_new_tokens`); each replaces the
            LLM's own. The family's stop strings are always added.
        timeout, max_retries: replace the LLM's own.
        streaming: stream inside `invoke` too.

    Raises:
        ValueError: an unknown family, or a value out of range.
    """

    model_config = ConfigDict(extra="forbid")

    llm: BaseLLM
    family: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    stop: list[str] | None = None
    max_retries: int | None = None
    streaming: bool = False

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.family is None:
            own = getattr(self.llm, "family", None)
            self.family = own or (None if self._takes_roles else "plain")
        if self.family is not None:
            get_family(self.family)
        changes = {name: value for name in ("timeout", "max_retries") if (value := getattr(self, name)) is not None}
        if changes and isinstance(self.llm, TextModel):
            self.llm = self.llm.renewed(**changes)
        return self

    @property
    def _takes_roles(self) -> bool:
        llm = self.llm
        return isinstance(llm, TextModel) and (llm.takes_only_roles or (llm.takes_roles and self.family is None))

    @property
    def _llm_type(self) -> str:
        return "sagechain-prompted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens, "stop": self.stop, "family": self.family}
        return {**self.llm._identifying_params, **{name: value for name, value in own.items() if value is not None}}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "sagechain"
        params["ls_model_name"] = self._model_name(kwargs)
        return params

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prompt, options = self._asked(messages, stop, kwargs)
        if isinstance(self.llm, TextModel):
            return self._result(self.llm.complete(prompt, **options), kwargs)
        generations = self.llm.generate([_text(prompt)], **options).generations[0]
        return self._result(
            [GenerationChunk(text=g.text, generation_info=g.generation_info) for g in generations], kwargs
        )

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prompt, options = self._asked(messages, stop, kwargs)
        if isinstance(self.llm, TextModel):
            return self._result(await self.llm.acomplete(prompt, **options), kwargs)
        result = await self.llm.agenerate([_text(prompt)], **options)
        generations = result.generations[0]
        return self._result(
            [GenerationChunk(text=g.text, generation_info=g.generation_info) for g in generations], kwargs
        )

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        prompt, options = self._asked(messages, stop, kwargs)
        stripper = _Stripper()
        for piece in self._pieces(prompt, options):
            if (chunk := self._chunk(piece, stripper, kwargs)) is not None:
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        prompt, options = self._asked(messages, stop, kwargs)
        stripper = _Stripper()
        async for piece in self._apieces(prompt, options):
            if (chunk := self._chunk(piece, stripper, kwargs)) is not None:
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _pieces(self, prompt: Prompt, options: dict[str, Any]) -> Iterator[GenerationChunk]:
        if isinstance(self.llm, TextModel):
            yield from self.llm.pieces(prompt, **options)
            return
        for text in self.llm.stream(_text(prompt), **options):
            yield GenerationChunk(text=text)

    async def _apieces(self, prompt: Prompt, options: dict[str, Any]) -> AsyncIterator[GenerationChunk]:
        if isinstance(self.llm, TextModel):
            async for piece in self.llm.apieces(prompt, **options):
                yield piece
            return
        async for text in self.llm.astream(_text(prompt), **options):
            yield GenerationChunk(text=text)

    def _asked(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[Prompt, dict[str, Any]]:
        """What the LLM is asked: a prompt, and the parameters of this call."""
        options = {name: value for name, value in kwargs.items() if name not in NOT_FOR_THE_LLM}
        if self.temperature is not None:
            options.setdefault("temperature", self.temperature)
        limit = options.pop("max_tokens", self.max_tokens)
        if limit is not None:
            options.setdefault("max_new_tokens", limit)
        stops = stop if stop is not None else self.stop
        if stops is None:
            stops = list(getattr(self.llm, "stop", None) or ())
        if self._takes_roles:
            return messages, {**options, "stop": stops}
        rendered = self._layout.render(messages)
        return rendered.text, {**options, "stop": list(dict.fromkeys([*stops, *rendered.stop]))}

    @property
    def _layout(self) -> PromptFamily:
        assert self.family is not None
        return get_family(self.family)

    def _model_name(self, kwargs: dict[str, Any]) -> str:
        own = self.llm.name_of_model if isinstance(self.llm, TextModel) else self.llm._llm_type
        return str(kwargs.get("model") or own)

    def _result(self, answers: list[GenerationChunk], kwargs: dict[str, Any]) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._message(answer, kwargs)) for answer in answers])

    def _message(self, answer: GenerationChunk, kwargs: dict[str, Any]) -> AIMessage:
        info = answer.generation_info or {}
        return AIMessage(
            content=answer.text.strip(),
            response_metadata={**_reason(info), "model_name": self._model_name(kwargs), "model_provider": "sagechain"},
            usage_metadata=_usage(info),
        )

    def _chunk(
        self, piece: GenerationChunk, stripper: "_Stripper", kwargs: dict[str, Any]
    ) -> ChatGenerationChunk | None:
        text, info = stripper.feed(piece.text), piece.generation_info or {}
        if not text and not info and not stripper.first:
            return None
        stripper.first = False
        metadata = (
            {**_reason(info), "model_name": self._model_name(kwargs), "model_provider": "sagechain"}
            if "finish_reason" in info
            else {}
        )
        message = AIMessageChunk(content=text, response_metadata=metadata, usage_metadata=_usage(info))
        return ChatGenerationChunk(message=message)


class _Stripper:
    """Keeps blanks around a streamed answer back, so that its pieces come to what `invoke` gives."""

    def __init__(self) -> None:
        self._held, self._begun = "", False
        self.first = True  # one piece at least is shown, also of an empty answer

    def feed(self, text: str) -> str:
        text = self._held + text
        text = text if self._begun else text.lstrip()
        shown = text.rstrip()
        self._held, self._begun = text[len(shown) :], self._begun or bool(shown)
        return shown


def _text(prompt: Prompt) -> str:
    assert isinstance(prompt, str)
    return prompt


def _reason(info: dict[str, Any]) -> dict[str, Any]:
    return {"finish_reason": info["finish_reason"]} if "finish_reason" in info else {}


def _usage(info: dict[str, Any]) -> UsageMetadata | None:
    if "input_tokens" not in info or "output_tokens" not in info:
        return None
    asked, answered = info["input_tokens"], info["output_tokens"]
    return UsageMetadata(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)
