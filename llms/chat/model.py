"""A chat model over any LLM that continues text: a prompt family lays the messages out, the LLM answers.

    chat = PromptedChatModel(llm=load_llm("sagemaker:my-falcon?family=falcon"), family="falcon", temperature=0.2)
    chat.invoke([("system", "Be brief."), ("human", "Hi")])
    chat.bind_tools([search]).invoke("A tent, please.").tool_calls
    chat.with_structured_output(Offer).invoke("Offer me a tent.")

The system text describes tools and JSON schemas (`prompts/tool_prompt.py`); tool calls are read from the answer
(`prompts/tool_calls`), and engines with constrained decoding enforce them. A server that knows tools gets them as they are.
`messages.py` builds the messages of an answer, `structured_output.py` the values of a schema.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLanguageModel, LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, GenerationChunk, LLMResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator
from sagechain.prompts import (
    NO_ESCAPING,
    Escaping,
    JsonFormat,
    OutputFormat,
    PromptFamily,
    ToolCallFormat,
    get_family,
    parse_tool_choice,
    to_function,
)
from sagechain.prompts.families import COMMON_ESCAPING, to_role_messages

from ..errors import StreamInterrupted
from ..generation import Prompt
from ..text_model import TextModel
from ..token_counting import estimate_tokens, load_tokenizer
from .messages import Replies
from .structured_output import Method, structured

# Call-time arguments of LangChain's that speak to the chat model itself.
NOT_FOR_THE_LLM = (
    "model",
    "stream",
    "ls_structured_output_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
)


ANSWER_SHARE = 4
"""Where no limit of the answer is set, so-manieth part of the context is left for it."""
LAYOUT_TOKENS = 8
"""At most what a chat template puts around a message (ChatML: 5)."""


@dataclass(frozen=True)
class _Asked:
    """What the LLM is asked: a prompt, the parameters of this call, and what the answer has to be."""

    prompt: Prompt
    options: dict[str, Any]
    output_format: OutputFormat | None

    @property
    def for_text_model(self) -> dict[str, Any]:
        return {**self.options, "output_format": self.output_format}


class PromptedChatModel(BaseChatModel):
    """Messages in, a message out, over an LLM that knows text only.

    Args:
        llm: any LangChain LLM.
        family: the prompt family of the LLM's model; if not given, the LLM's own, else `plain`. Where the LLM's wire
            takes roles only, the server lays them out and no family is used.
        temperature, max_tokens, stop: as in `GenerationParameters` (`max_tokens` is `max_new_tokens`); each replaces the
            LLM's own. The family's stop strings are always added.
        timeout, max_retries: replace the LLM's own.
        tokenizer: the model's own, to count by: a `tokenizer.json`, a folder with it, or the model's name on the Hugging
            Face hub; models on this machine have theirs.
        streaming: stream inside `invoke` too.
        api_key: taken, since every chat model of LangChain's has it, and not used: the LLM has its own credentials.

    Raises:
        ValueError: an unknown family, a value out of range, or a tokenizer that is not there or not needed.
    """

    model_config = ConfigDict(extra="forbid")

    llm: BaseLLM
    family: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    stop: list[str] | None = None
    max_retries: int | None = None
    tokenizer: str | Path | None = None
    streaming: bool = False
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)

    @field_validator("stop", mode="before")
    @classmethod
    def _stop_strings(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if self.family is None:
            own = getattr(self.llm, "family", None)
            self.family = own or (None if self._takes_roles else "plain")
        if self.family is not None:
            get_family(self.family)
        names = ("timeout", "max_retries", "tokenizer")
        changes = {name: value for name in names if (value := getattr(self, name)) is not None}
        if isinstance(self.llm, TextModel):
            if "tokenizer" in changes and "tokenizer" not in type(self.llm).model_fields:
                raise ValueError(f"tokenizer: {self.llm.display_name} has its own")
            self.llm = self.llm.with_fields(**changes) if changes else self.llm
        elif self.tokenizer is not None:
            self.custom_get_token_ids = load_tokenizer(str(self.tokenizer), self.llm._llm_type)
        return self

    @property
    def _takes_roles(self) -> bool:
        if not isinstance(self.llm, TextModel):
            return False
        capabilities = self.llm.capabilities
        return capabilities.requires_roles or (capabilities.takes_roles and self.family is None)

    @property
    def _escaping(self) -> Escaping:
        """What is escaped in what the model reads."""
        if not self._takes_roles:
            return self._layout.escaping + COMMON_ESCAPING
        assert isinstance(self.llm, TextModel)
        return self.llm.capabilities.role_escaping

    @property
    def _llm_type(self) -> str:
        return "sagechain-prompted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens, "stop": self.stop, "family": self.family}
        return {**self.llm._identifying_params, **{name: value for name, value in own.items() if value is not None}}

    def _resolve_model_profile(self) -> ModelProfile | None:
        """What LangChain's middleware asks: how much may go in, beside the answer's room."""
        able: ModelProfile = {"text_inputs": True, "text_outputs": True, "tool_calling": True, "tool_choice": True}
        size = self.llm.context_size if isinstance(self.llm, TextModel) else None
        if size is None:
            return able
        answer = self.max_tokens or getattr(self.llm, "max_new_tokens", None) or size // ANSWER_SHARE
        return {**able, "max_input_tokens": max(1, size - answer), "max_output_tokens": answer}

    def get_num_tokens(self, text: str) -> int:
        """How many tokens a text has, by the model's own tokenizer; where that is not at hand, rather too many."""
        llm = self.llm
        if isinstance(llm, TextModel):
            return llm.get_num_tokens(text)
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        counts = llm.custom_get_token_ids or type(llm).get_token_ids is not BaseLanguageModel.get_token_ids
        # LangChain's own would count by GPT-2's tokenizer, which it fetches.
        return llm.get_num_tokens(text) if counts else estimate_tokens(text)

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """How many tokens the prompt of these messages has, as it would be sent, with what is told of tools."""
        output_format = ToolCallFormat.from_tools(tools) if tools else None
        if not self._takes_roles:
            return self.get_num_tokens(self._layout.render(messages, output_format=output_format).text)
        assert isinstance(self.llm, TextModel)
        counted = self.llm.prompt_tokens(messages, output_format)
        if counted is not None:
            return counted
        # Only the server knows its layout: a few tokens around every message.
        turns = to_role_messages(messages, NO_ESCAPING, output_format)
        return sum(self.get_num_tokens(turn.text) + LAYOUT_TOKENS for turn in turns)

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model, with tools that it may call.

        Calls are held to the tools' schemas: one that does not fit, or that the token limit cut, is no call but stands in
        the message's `invalid_tool_calls`, with what is wrong.

        Args:
            tools: functions, pydantic classes, TypedDicts, JSON schemas or LangChain tools.
            tool_choice: `auto` (also None), `any` (also "required" and True), `none`, or a tool's name.
            parallel_tool_calls: whether one answer may call several; it may, if not given.
            strict: taken, since other chat models have it; schemas always hold here.
            kwargs: further arguments of a call.

        Raises:
            ValueError: a tool whose schema is none, or the choice of one that is not there; at a call: two different tools
                of one name.
        """
        functions = [to_function(tool) for tool in tools]
        kwargs["tools"] = [{"type": "function", "function": function} for function in functions]
        if tool_choice is not None:
            kwargs["tool_choice"] = parse_tool_choice(tool_choice, [function["name"] for function in functions])
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return cast(Runnable[LanguageModelInput, AIMessage], self.bind(**kwargs))

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        include_raw: bool = False,
        method: Method = "function_calling",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """A runnable whose answers are values of a schema. What does not fit is shown to the model once, with the reason.

        Args:
            schema: a pydantic class (instances come back), a TypedDict or a JSON schema (dicts come back); for `json_mode`
                it may be left out.
            include_raw: give `{"raw": message, "parsed": value, "parsing_error": error}`, and raise no
                StructuredOutputFailed.
            method: `function_calling` (the schema is a tool that has to be called), `json_schema` (the answer is JSON, and
                the model is told the schema) or `json_mode` (the prompt itself says what the JSON holds).
            strict: taken, since other chat models have it; the schema always holds here.
            kwargs: further arguments of every call.

        Raises:
            ValueError: an unknown method, or no schema where one is needed.
            StructuredOutputFailed: at a call: the second answer did not fit either; `raw_text` is that answer.
        """
        return structured(self, schema, method=method, include_raw=include_raw, options=kwargs)

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
        asked = self._asked(messages, stop, kwargs)
        if isinstance(self.llm, TextModel):
            return self._result(self.llm.complete(asked.prompt, **asked.for_text_model), asked, kwargs)
        return self._result(_chunks(self.llm.generate([_text(asked.prompt)], **asked.options)), asked, kwargs)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        asked = self._asked(messages, stop, kwargs)
        if isinstance(self.llm, TextModel):
            return self._result(await self.llm.acomplete(asked.prompt, **asked.for_text_model), asked, kwargs)
        return self._result(_chunks(await self.llm.agenerate([_text(asked.prompt)], **asked.options)), asked, kwargs)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with closing(self._messages(messages, stop, kwargs)) as parts:
            for part in parts:
                chunk = ChatGenerationChunk(message=part)
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
        async with aclosing(self._amessages(messages, stop, kwargs)) as parts:
            async for part in parts:
                chunk = ChatGenerationChunk(message=part)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _messages(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> Generator[AIMessageChunk, None, None]:
        asked = self._asked(messages, stop, kwargs)
        replies = self._replies(asked, kwargs)
        with closing(self._pieces(asked)) as pieces, _telling(replies):
            for piece in pieces:
                if (part := replies.chunk(piece)) is not None:
                    yield part
        if (part := replies.end()) is not None:
            yield part

    async def _amessages(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> AsyncGenerator[AIMessageChunk, None]:
        asked = self._asked(messages, stop, kwargs)
        replies = self._replies(asked, kwargs)
        async with aclosing(self._apieces(asked)) as pieces:
            with _telling(replies):
                async for piece in pieces:
                    if (part := replies.chunk(piece)) is not None:
                        yield part
        if (part := replies.end()) is not None:
            yield part

    def _pieces(self, asked: _Asked) -> Generator[GenerationChunk, None, None]:
        if isinstance(self.llm, TextModel):
            yield from self.llm.chunks(asked.prompt, **asked.for_text_model)
            return
        for text in self.llm.stream(_text(asked.prompt), **asked.options):
            yield GenerationChunk(text=text)

    async def _apieces(self, asked: _Asked) -> AsyncGenerator[GenerationChunk, None]:
        if isinstance(self.llm, TextModel):
            async with aclosing(self.llm.achunks(asked.prompt, **asked.for_text_model)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        async for text in self.llm.astream(_text(asked.prompt), **asked.options):
            yield GenerationChunk(text=text)

    def _asked(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> _Asked:
        options = {name: value for name, value in kwargs.items() if name not in NOT_FOR_THE_LLM}
        if self.temperature is not None:
            options.setdefault("temperature", self.temperature)
        limit = options.pop("max_tokens", self.max_tokens)
        if limit is not None:
            options.setdefault("max_new_tokens", limit)
        stops = [stop] if isinstance(stop, str) else stop if stop is not None else self.stop
        if stops is None:
            stops = list(getattr(self.llm, "stop", None) or ())
        output_format = _output_format(kwargs)
        if self._takes_roles:
            return _Asked(messages, {**options, "stop": stops}, output_format)
        rendered = self._layout.render(messages, output_format=output_format)
        return _Asked(rendered.text, {**options, "stop": list(dict.fromkeys([*stops, *rendered.stop]))}, output_format)

    @property
    def _layout(self) -> PromptFamily:
        assert self.family is not None
        return get_family(self.family)

    def _model_name(self, kwargs: dict[str, Any]) -> str:
        own = self.llm.display_name if isinstance(self.llm, TextModel) else self.llm._llm_type
        return str(kwargs.get("model") or own)

    def _replies(self, asked: _Asked, kwargs: dict[str, Any]) -> Replies:
        about = {"model_name": self._model_name(kwargs), "model_provider": "sagechain"}
        endpoint = getattr(self.llm, "endpoint_name", None)
        if endpoint:
            about["endpoint"] = endpoint
        told_apart = isinstance(self.llm, TextModel) and self.llm.capabilities.native_tools
        use = asked.output_format if isinstance(asked.output_format, ToolCallFormat) and not told_apart else None
        if not isinstance(self.llm, TextModel):
            own = self.custom_get_token_ids
            counted = (lambda text: None) if own is None else lambda text: len(own(text))
            return Replies(about, lambda: counted(_text(asked.prompt)), counted, use, self._escaping)
        asked_tokens = partial(self.llm.prompt_tokens, asked.prompt, asked.output_format)
        return Replies(about, asked_tokens, self.llm.text_tokens, use, self._escaping)

    def _result(self, answers: list[GenerationChunk], asked: _Asked, kwargs: dict[str, Any]) -> ChatResult:
        replies = self._replies(asked, kwargs)
        return ChatResult(generations=[ChatGeneration(message=replies.message(answer)) for answer in answers])


@contextmanager
def _telling(replies: Replies) -> Iterator[None]:
    """A stream that breaks tells the text that was shown of it, without the blanks that were kept back."""
    try:
        yield
    except StreamInterrupted as error:
        raise StreamInterrupted(error.endpoint, error.message, replies.shown) from error.__cause__


def _output_format(kwargs: dict[str, Any]) -> OutputFormat | None:
    """What the answer has to be, out of a call's arguments. Raises ValueError where they contradict each other."""
    tools, wanted = kwargs.get("tools"), kwargs.get("response_format")
    if tools and wanted:
        raise ValueError("response_format: give it or tools, not both")
    if tools:
        return ToolCallFormat.from_tools(tools, kwargs.get("tool_choice"), kwargs.get("parallel_tool_calls"))
    return None if wanted is None else JsonFormat.from_response_format(wanted)


def _text(prompt: Prompt) -> str:
    assert isinstance(prompt, str)
    return prompt


def _chunks(result: LLMResult) -> list[GenerationChunk]:
    return [GenerationChunk(text=each.text, generation_info=each.generation_info) for each in result.generations[0]]
