"""A chat model over any LLM that continues text: a prompt family lays the messages out, the LLM answers.

    chat = PromptedChatModel(llm=load_llm("sagemaker:my-falcon?family=falcon"), family="falcon", temperature=0.2)
    chat.invoke([("system", "Be brief."), ("human", "Hi")])
    chat.bind_tools([search]).invoke("A tent, please.").tool_calls
    chat.with_structured_output(Offer).invoke("Offer me a tent.")

`request.py` builds the prompt, `messages.py` the messages of the answer, `structured_output.py` the values of a schema. The
prompt describes tools and schemas, unless the LLM accepts roles, tools or schemas itself (`capabilities.py`).
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, Unpack, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams, LanguageModelInput, ModelProfile
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableSerializable
from langchain_core.runnables.utils import AnyConfigurableField
from pydantic import ConfigDict, Field, SecretStr, model_validator
from sagechain.prompts import (
    NO_ESCAPING,
    AnyTool,
    Escaping,
    PromptFamily,
    ToolCallFormat,
    check_known,
    convert_messages,
    get_family,
    parse_tool_choice,
    text_messages,
    to_function,
)
from sagechain.prompts.families import COMMON_ESCAPING, to_role_messages

from ..checked_calls import CheckedCalls, check_request, prompt_value
from ..keywords import PromptedKeywords
from ..model_defaults import ModelDefaults
from ..parameters import GenerationFields, GenerationParameters, stop_strings, with_one_name
from ..text_model import TextModel
from ..token_counting import load_tokenizer
from .messages import MessageBuilder, MessageStream
from .other_llm import OtherLLM
from .request import CHAT_OPTIONS, ChatRequest, chat_request
from .settings import can_honour, check_settings
from .structured_output import Method, structured_output

ANSWER_SHARE = 4
"""Without a limit on the answer, the context divided by this is reserved for it."""
LAYOUT_TOKENS = 8
"""At most what a chat template puts around a message (ChatML: 5)."""


LIMIT = {"max_new_tokens": "max_tokens"}


class PromptedChatModel(CheckedCalls, GenerationFields, BaseChatModel):
    """Messages in, a message out, over an LLM that continues text.

    Args:
        llm: any LangChain LLM.
        family: the prompt family of the LLM's model; if not given, the LLM's own, else `plain`. An LLM that takes roles
            only gets the messages as they are.
        temperature, max_tokens, stop …: the fields of `GenerationParameters` (`max_tokens` is `max_new_tokens`), sent with
            every request in place of the LLM's own. The family's stop strings are always added, and cut over every LLM.
        timeout, max_retries: replace those of an LLM of sagechain; on another LLM they are set on the LLM itself.
        tokenizer: the model's own, to count by: a `tokenizer.json`, a folder with it, or the model's name on the Hugging
            Face hub; models on this machine have theirs.
        streaming: stream inside `invoke` too.
        defaults: a system text and parameters for requests that have none of their own; `load_chat_model` gives a model
            of the catalogue those of its entry.
        api_key: accepted, because every chat model of LangChain's has it, and not used: the LLM has its own credentials.

    Raises:
        ValueError: an unknown family, a value out of range, a setting that the LLM cannot honour (also at a call), or a
            tokenizer that does not exist or is not needed.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    llm: BaseLLM
    family: str | None = None
    max_tokens: Annotated[int | None, Field(ge=1, strict=True)] = None
    timeout: float | None = None
    max_retries: int | None = None
    tokenizer: str | Path | None = None
    streaming: bool = False
    defaults: ModelDefaults | None = None
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)

    if TYPE_CHECKING:

        def __init__(self, *, llm: BaseLLM, **keywords: Unpack[PromptedKeywords]) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _one_limit(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_known("parameter", values, cls.model_fields)
        if not isinstance(llm := values.get("llm"), BaseLLM):
            shown = "it is missing; give" if llm is None else f"{type(llm).__name__} does not continue text; give"
            raise ValueError(f'llm: {shown} an LLM, such as load_llm("local:smollm2")')
        values = with_one_name(values)
        limit = values.pop("max_new_tokens", None)
        return values if limit is None else {**values, "max_tokens": limit}

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        """The parameters are checked together with the LLM's own, by `_configure_llm`."""
        return self

    @model_validator(mode="after")
    def _configure_llm(self) -> Self:
        if self.family is None:
            self.family = getattr(self.llm, "family", None) or (None if self._sends_roles else "plain")
        if self.family is not None:
            get_family(self.family)
        given = {name: getattr(self, name) for name in ("timeout", "max_retries", "tokenizer")}
        given = {name: value for name, value in given.items() if value is not None}
        if isinstance(self.llm, TextModel):
            if "tokenizer" in given and "tokenizer" not in type(self.llm).model_fields:
                raise ValueError(f"tokenizer: {self.llm.display_name} has its own")
            changes = {name: value for name, value in given.items() if value != getattr(self.llm, name)}
            self.llm = self.llm.with_fields(**changes) if changes else self.llm
            GenerationParameters(**self.llm.given()).updated(self.given())
            return self
        if given.pop("tokenizer", None) is not None:
            self.custom_get_token_ids = load_tokenizer(str(self.tokenizer), self.llm._llm_type)
        check_settings(self.llm, {**self.given(), **given})
        return self

    def configurable_fields(self, **fields: AnyConfigurableField) -> RunnableSerializable[Any, Any]:
        """As LangChain's; `max_new_tokens` is `max_tokens` here too."""
        return super().configurable_fields(**{LIMIT.get(name, name): field for name, field in fields.items()})

    def given(self) -> dict[str, Any]:
        """The parameters that are set here, and replace the LLM's own, by their names in `GenerationParameters`."""
        return {**super().given(), **({} if self.max_tokens is None else {"max_new_tokens": self.max_tokens})}

    def honoured(self, **settings: Any) -> dict[str, Any]:
        """Those of these settings that the LLM can honour; every other one would be a ValueError."""
        if isinstance(self.llm, TextModel):
            return settings
        return {name: value for name, value in settings.items() if can_honour(self.llm, with_one_name({name: value}))}

    @property
    def _text_model(self) -> TextModel | OtherLLM:
        return self.llm if isinstance(self.llm, TextModel) else OtherLLM(self.llm, self.custom_get_token_ids)

    @property
    def _sends_roles(self) -> bool:
        capabilities = self._text_model.capabilities
        return capabilities.requires_roles or (capabilities.takes_roles and self.family is None)

    @property
    def _layout(self) -> PromptFamily | None:
        """The family that lays messages out; None if they are sent as roles."""
        return None if self._sends_roles or self.family is None else get_family(self.family)

    @property
    def _escaping(self) -> Escaping:
        """What is escaped in prompts."""
        layout = self._layout
        return self._text_model.capabilities.role_escaping if layout is None else layout.escaping + COMMON_ESCAPING

    @property
    def _llm_type(self) -> str:
        return "sagechain-prompted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        defaults = {} if self.defaults is None else {"defaults": self.defaults.model_dump(exclude_none=True)}
        return {**self.llm._identifying_params, **self.given(), "family": self.family, **defaults}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "sagechain"
        params["ls_model_name"] = self._model_name(kwargs)
        return params

    def _model_name(self, options: dict[str, Any]) -> str:
        return str(options.get("model") or self._text_model.display_name)

    def _resolve_model_profile(self) -> ModelProfile | None:
        """For LangChain's middleware: how many tokens a prompt may have, with room for the answer."""
        profile: ModelProfile = {"text_inputs": True, "text_outputs": True, "tool_calling": True, "tool_choice": True}
        context = self._text_model.context_size
        if context is None:
            return profile
        share = context // ANSWER_SHARE
        default = self._default_parameters({}).get("max_new_tokens", share)
        answer = self.max_tokens or getattr(self.llm, "max_new_tokens", None) or min(default, share)
        return {**profile, "max_input_tokens": max(1, context - answer), "max_output_tokens": answer}

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        return prompt_value(model_input)

    if not TYPE_CHECKING:  # the type of what LangChain's own version returns is private

        def bind(self, **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
            """As LangChain's. Raises ValueError on a name that no request has."""
            if isinstance(self.llm, TextModel):
                check_request({name: value for name, value in kwargs.items() if name not in CHAT_OPTIONS})
            return super().bind(**kwargs)

    def get_num_tokens(self, text: str) -> int:
        """Number of tokens of a text, by the model's own tokenizer; without one an estimate (a third of the bytes)."""
        return self._text_model.get_num_tokens(text)

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[AnyTool] | None = None) -> int:
        """Number of tokens of the prompt that these messages make, the description of the tools included."""
        if not messages:
            return 0
        messages = self._with_system(text_messages(convert_messages(messages)))
        output_format = ToolCallFormat.from_tools(tools) if tools else None
        if self._layout is not None:
            return self.get_num_tokens(self._layout.render(messages, output_format=output_format).text)
        counted = self._text_model.prompt_tokens(messages, output_format)
        if counted is not None:
            return counted
        # The layout is the server's: a few tokens around every message.
        role_messages = to_role_messages(messages, NO_ESCAPING, output_format)
        return sum(self.get_num_tokens(message.text) + LAYOUT_TOKENS for message in role_messages)

    def bind_tools(
        self,
        tools: Sequence[AnyTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model, with tools that it may call.

        A tool call that does not match its tool's schema, or that the token limit cut, is in the message's
        `invalid_tool_calls`, with the reason.

        Args:
            tools: functions, pydantic classes, TypedDicts, JSON schemas or LangChain tools.
            tool_choice: `auto` (also None), `any` (also "required" and True), `none`, or a tool's name.
            parallel_tool_calls: whether one answer may call several tools; the default is that it may.
            strict: accepted, because other chat models have it; schemas always apply here.
            kwargs: further options of every request.

        Raises:
            ValueError: a tool without a valid schema, or the choice of an unknown one; when called: two different tools
                with one name.
        """
        if isinstance(tools, str) or not isinstance(tools, Sequence):
            raise ValueError(f"tools: {type(tools).__name__} is not a list of tools; write [tool]")
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
        """A runnable whose answers are values of a schema. The model may correct an answer that does not match once.

        Args:
            schema: a pydantic class (instances are returned), a TypedDict or a JSON schema (dicts are returned); optional
                for `json_mode`.
            include_raw: return `{"raw": message, "parsed": value, "parsing_error": error}`, and raise no
                StructuredOutputFailed.
            method: `function_calling` (the schema is a tool that must be called), `json_schema` (the answer is JSON, and
                the prompt has the schema) or `json_mode` (the prompt of the caller describes the JSON).
            strict: accepted, because other chat models have it; the schema always applies here.
            kwargs: further options of every request.

        Raises:
            ValueError: an unknown method, or no schema where one is needed.
            StructuredOutputFailed: when called: the corrected answer does not match either; it is in `raw_text`.
        """
        return structured_output(
            self,
            schema,
            method=method,
            include_raw=include_raw,
            options=kwargs,
            escaping=self._escaping,
            model_name=self._model_name({}),
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._request(messages, stop, kwargs)
        answers = self._text_model.complete(request.prompt, output_format=request.output_format, **request.options)
        return self._message_builder(request, kwargs).result(answers)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        request = self._request(messages, stop, kwargs)
        answers = await self._text_model.acomplete(
            request.prompt, output_format=request.output_format, **request.options
        )
        return self._message_builder(request, kwargs).result(answers)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        request = self._request(messages, stop, kwargs)
        stream = MessageStream(self._message_builder(request, kwargs))
        chunks = self._text_model.chunks(request.prompt, output_format=request.output_format, **request.options)
        with closing(chunks):
            for message in stream.messages(chunks):
                chunk = ChatGenerationChunk(message=message)
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
        request = self._request(messages, stop, kwargs)
        stream = MessageStream(self._message_builder(request, kwargs))
        chunks = self._text_model.achunks(request.prompt, output_format=request.output_format, **request.options)
        async with aclosing(chunks), aclosing(stream.amessages(chunks)) as stream_messages:
            async for message in stream_messages:
                chunk = ChatGenerationChunk(message=message)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def preview(self, model_input: LanguageModelInput, stop: list[str] | None = None, **kwargs: Any) -> ChatRequest:
        """What `invoke` with these arguments sends to the LLM: the prompt, the parameters, the format of the answer."""
        request = self._request(self._convert_input(model_input).to_messages(), stop, kwargs)
        own = self.llm.given() if isinstance(self.llm, TextModel) else {}
        return replace(request, options={**own, **request.options})

    def _request(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]) -> ChatRequest:
        given = self.given() | with_one_name({name: value for name, value in kwargs.items() if value is not None})
        options = self._default_parameters(given) | given
        own_stops = options.pop("stop", None)
        stops = own_stops if stop is None else stop_strings(stop)
        if stops is None:
            stops = getattr(self.llm, "stop", None) or ()
        native_tools = self._text_model.capabilities.native_tools
        return chat_request(self._with_system(messages), stops, options, self._layout, native_tools=native_tools)

    def _with_system(self, messages: list[BaseMessage]) -> list[BaseMessage]:
        return messages if self.defaults is None else self.defaults.with_system(messages)

    def _default_parameters(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters that neither a request's options nor the LLM sets."""
        if self.defaults is None:
            return {}
        set_on_llm = self.llm.given() if isinstance(self.llm, TextModel) else {}
        has_format = bool(options.get("tools") or options.get("response_format"))
        return self.honoured(**self.defaults.missing({**set_on_llm, **options}, has_format=has_format))

    def _message_builder(self, request: ChatRequest, options: dict[str, Any]) -> MessageBuilder:
        capabilities = self._text_model.capabilities
        metadata = {"model_name": self._model_name(options), "model_provider": "sagechain"}
        if endpoint := getattr(self.llm, "endpoint_name", None):
            metadata["endpoint"] = endpoint
        return MessageBuilder(
            metadata,
            prompt_tokens=partial(self._text_model.prompt_tokens, request.prompt, request.output_format),
            text_tokens=self._text_model.text_tokens,
            tools=None if capabilities.native_tools else request.tools,
            constrained=capabilities.constrained_decoding,
            escaping=self._escaping,
        )
