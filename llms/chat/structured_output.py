"""Answers that are values of a schema, over a chat model that calls tools or writes JSON.

An answer is mended and made to fit as the arguments of a call are. One that does not fit is shown to the model once, with
what is wrong; then it is a `StructuredOutputFailed`, which has the raw text. One that the token limit cut never fits.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ValidationError
from pydantic.v1 import ValidationError as ValidationErrorV1
from sagechain.prompts import JsonFormat, check_known, correction_request
from sagechain.prompts.json_text import JsonSchema, extract_json

from ..errors import StructuredOutputFailed
from .messages import ERRORS

if TYPE_CHECKING:
    from .model import PromptedChatModel

Method = Literal["function_calling", "json_schema", "json_mode"]


def structured(
    chat: "PromptedChatModel",
    schema: Mapping[str, Any] | type | None,
    *,
    method: Method,
    include_raw: bool,
    options: Mapping[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """The runnable of `PromptedChatModel.with_structured_output`, whose arguments these are."""
    check_known("method", [method], get_args(Method))
    if schema is None and method != "json_mode":
        raise ValueError(f"schema: {method} needs one; only json_mode goes without")
    answering = _Answering(chat, schema, method, include_raw, options)
    return RunnableLambda(answering.invoke, afunc=answering.ainvoke, name="StructuredOutput")


class _Answering:
    """One question, at most two answers."""

    def __init__(
        self,
        chat: "PromptedChatModel",
        schema: Mapping[str, Any] | type | None,
        method: Method,
        include_raw: bool,
        options: Mapping[str, Any],
    ) -> None:
        self._chat, self._include_raw = chat, include_raw
        self._schema = schema
        self._wanted = JsonFormat() if schema is None else JsonFormat.from_schema(schema)
        self._fits = JsonSchema(self._wanted.schema or {"type": "object"}, "answer")
        traced = {"kwargs": {"method": method}, "schema": schema if schema is not None else {"type": "object"}}
        if method == "function_calling":
            self._model = chat.bind_tools(
                [self._wanted.function],
                tool_choice=self._wanted.name,
                parallel_tool_calls=False,
                ls_structured_output_format=traced,
                **options,
            )
        else:
            told = self._wanted if method == "json_schema" else JsonFormat()
            self._model = chat.bind(response_format=told.response_format, ls_structured_output_format=traced, **options)

    def invoke(self, asked: LanguageModelInput, config: RunnableConfig) -> Any:
        """A value of the schema. Raises StructuredOutputFailed."""
        messages = self._chat._convert_input(asked).to_messages()
        message = self._model.invoke(messages, config)
        value, error = self._read(message)
        if error is not None:
            message = self._model.invoke([*messages, *_shown(message, error)], config)
            value, error = self._read(message)
        return self._given(message, value, error)

    async def ainvoke(self, asked: LanguageModelInput, config: RunnableConfig) -> Any:
        """As `invoke`."""
        messages = self._chat._convert_input(asked).to_messages()
        message = await self._model.ainvoke(messages, config)
        value, error = self._read(message)
        if error is not None:
            message = await self._model.ainvoke([*messages, *_shown(message, error)], config)
            value, error = self._read(message)
        return self._given(message, value, error)

    def _given(self, message: AIMessage, value: Any, error: ValueError | None) -> Any:
        failed = None
        if error is not None:
            what = f"the answer is no {self._wanted.name}, the second try neither: {error}."
            failed = StructuredOutputFailed(self._chat._model_name({}), what, _raw(message))
            failed.__cause__ = error
        if self._include_raw:
            return {"raw": message, "parsed": value, "parsing_error": failed}
        if failed is not None:
            raise failed
        return value

    def _read(self, message: AIMessage) -> tuple[Any, ValueError | None]:
        """The value in an answer, or what is wrong with it."""
        try:
            return self._value(message), None
        except ValueError as error:
            return None, error

    def _value(self, message: AIMessage) -> Any:
        if message.tool_calls:
            value: Any = message.tool_calls[0]["args"]
        elif message.invalid_tool_calls:
            invalid = message.invalid_tool_calls[0]
            errors = message.response_metadata.get(ERRORS, {})
            raise ValueError(invalid["error"] or errors.get(invalid["id"]) or "the call is malformed")
        else:
            cut = message.response_metadata.get("finish_reason") == "length"
            value = self._chat._escaping.unescape_values(extract_json(message.text, truncated=cut))
        return self._made(self._fits.coerce(value))

    def _made(self, value: Any) -> Any:
        """A value that fits the schema, as what was asked for."""
        if isinstance(self._schema, type) and is_basemodel_subclass(self._schema):
            try:
                # LangChain takes pydantic's v1 classes too.
                schema: Any = self._schema
                return schema.model_validate(value) if issubclass(schema, BaseModel) else schema.parse_obj(value)
            except (ValidationError, ValidationErrorV1) as error:
                raise ValueError(_one_line(error)) from error
        return value


def _shown(message: AIMessage, error: ValueError) -> list[BaseMessage]:
    """An answer that does not fit, and what is wrong with it."""
    return [AIMessage(_raw(message) or "…"), HumanMessage(correction_request(str(error)))]


def _raw(message: AIMessage) -> str:
    """All that the model wrote, as text."""
    calls = [json.dumps({"name": c["name"], "arguments": c["args"]}, ensure_ascii=False) for c in message.tool_calls]
    invalid = [call["args"] or "" for call in message.invalid_tool_calls]
    return "\n".join(part for part in [message.text, *calls, *invalid] if part)


def _one_line(error: ValidationError | ValidationErrorV1) -> str:
    found: Any = error.errors()
    return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the value'}: {each['msg']}" for each in found)
