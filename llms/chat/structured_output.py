"""Answers that are values of a schema, from a chat model that calls tools or writes JSON.

An answer is repaired and coerced as the arguments of a tool call are. One that does not match is shown to the model once,
with the reason; a second mismatch is a `StructuredOutputFailed` with the raw text. A truncated answer never matches.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic.v1 import ValidationError as ValidationErrorV1
from sagechain.prompts import Escaping, JsonFormat, ValueType, check_known, correction_request, is_python_type
from sagechain.prompts.json_text import JsonSchema, extract_json

from ..errors import StructuredOutputFailed
from .messages import TOOL_CALL_ERRORS

Method = Literal["function_calling", "json_schema", "json_mode"]


def structured_output(
    chat: BaseChatModel,
    schema: Mapping[str, Any] | type | None,
    *,
    method: Method,
    include_raw: bool,
    options: Mapping[str, Any],
    escaping: Escaping,
    model_name: str,
) -> Runnable[LanguageModelInput, Any]:
    """The runnable of `PromptedChatModel.with_structured_output`.

    Args:
        chat: the model; `schema`, `method`, `include_raw` and `options` are the arguments of its method.
        escaping: what is escaped in prompts; text of the answer that repeats it is unescaped.
        model_name: for errors.
    """
    check_known("method", [method], get_args(Method))
    if schema is None and method != "json_mode":
        raise ValueError(f"schema: {method} needs one; only json_mode goes without")
    reader = _ValueReader(schema, escaping, model_name)
    model = _bound(chat, reader.json_format, method, schema, options)

    def invoke(messages: LanguageModelInput, config: RunnableConfig) -> Any:
        messages = chat._convert_input(messages).to_messages()
        answer = model.invoke(messages, config)
        value, error = reader.read(answer)
        if error is not None:
            answer = model.invoke([*messages, *_correction(answer, error)], config)
            value, error = reader.read(answer)
        return reader.result(answer, value, error, include_raw=include_raw)

    async def ainvoke(messages: LanguageModelInput, config: RunnableConfig) -> Any:
        messages = chat._convert_input(messages).to_messages()
        answer = await model.ainvoke(messages, config)
        value, error = reader.read(answer)
        if error is not None:
            answer = await model.ainvoke([*messages, *_correction(answer, error)], config)
            value, error = reader.read(answer)
        return reader.result(answer, value, error, include_raw=include_raw)

    return RunnableLambda(invoke, afunc=ainvoke, name="StructuredOutput")


def _bound(
    chat: BaseChatModel,
    json_format: JsonFormat,
    method: Method,
    schema: Mapping[str, Any] | type | None,
    options: Mapping[str, Any],
) -> Runnable[LanguageModelInput, AIMessage]:
    """The chat model with the schema as a tool that it must call, or as the format of its answer."""
    described = {"title": json_format.name, "description": json_format.description}
    json_schema = schema if isinstance(schema, Mapping) else {**described, **(json_format.schema or {"type": "object"})}
    traced = {"kwargs": {"method": method}, "schema": json_schema}
    if method == "function_calling":
        return chat.bind_tools(
            [json_format.function],
            tool_choice=json_format.name,
            parallel_tool_calls=False,
            ls_structured_output_format=traced,
            **options,
        )
    shown_format = json_format if method == "json_schema" else JsonFormat()
    return chat.bind(response_format=shown_format.response_format, ls_structured_output_format=traced, **options)


class _ValueReader:
    """Reads values of one schema out of answers."""

    def __init__(self, schema: Mapping[str, Any] | type | None, escaping: Escaping, model_name: str) -> None:
        self._schema, self._escaping, self._model_name = schema, escaping, model_name
        self.json_format = JsonFormat() if schema is None else JsonFormat.from_schema(schema)
        self._json_schema = JsonSchema(self.json_format.schema or {"type": "object"}, "answer")
        self._value_type = ValueType(schema) if is_python_type(schema) else None

    def read(self, answer: AIMessage) -> tuple[Any, ValueError | None]:
        """The value in an answer, or what is wrong with it."""
        try:
            return self._value(answer), None
        except ValueError as error:
            return None, error

    def result(self, answer: AIMessage, value: Any, error: ValueError | None, *, include_raw: bool) -> Any:
        """What the runnable returns. Raises StructuredOutputFailed if there is an error, unless `include_raw`."""
        failure = None
        if error is not None:
            message = f"the answer does not match the schema {self.json_format.name}, even after one retry: {error}."
            failure = StructuredOutputFailed(self._model_name, message, _raw_text(answer))
            failure.__cause__ = error
        if include_raw:
            return {"raw": answer, "parsed": value, "parsing_error": failure}
        if failure is not None:
            raise failure
        return value

    def _value(self, answer: AIMessage) -> Any:
        if answer.tool_calls:
            return self._read(self._unwrapped(answer.tool_calls[0]["args"]))
        if answer.invalid_tool_calls:
            invalid = answer.invalid_tool_calls[0]
            errors = answer.response_metadata.get(TOOL_CALL_ERRORS, {})
            raise ValueError(invalid["error"] or errors.get(invalid["id"]) or "the tool call is malformed")
        truncated = answer.response_metadata.get("finish_reason") == "length"
        return extract_json(answer.text, self._read_text, truncated=truncated)

    def _unwrapped(self, value: Any) -> Any:
        """The value in the arguments of a call: the only one, where the value is not an object (`JsonFormat.function`)."""
        is_wrapped = not self.json_format.is_object and isinstance(value, dict) and value.keys() == {"value"}
        return value["value"] if is_wrapped else value

    def _read_text(self, value: Any) -> Any:
        value = self._escaping.unescape_values(value)
        try:
            return self._read(value)
        except ValueError:
            if self._unwrapped(value) is value:
                raise
            return self._read(self._unwrapped(value))

    def _read(self, value: Any) -> Any:
        """The value, coerced to the schema; as an instance of the schema, if that is a Python type."""
        coerced = self._json_schema.coerce(value)
        if self._value_type is not None:
            return self._value_type.read(coerced)
        schema: Any = self._schema
        if not (isinstance(schema, type) and issubclass(schema, BaseModelV1)):
            return coerced
        try:
            return schema.parse_obj(coerced)
        except ValidationErrorV1 as error:
            reasons = (f"{'.'.join(map(str, each['loc'])) or 'the value'}: {each['msg']}" for each in error.errors())
            raise ValueError("; ".join(reasons)) from error


def _correction(answer: AIMessage, error: ValueError) -> list[BaseMessage]:
    """An answer that does not match, and the request to correct it."""
    return [AIMessage(_raw_text(answer) or "…"), HumanMessage(correction_request(str(error)))]


def _raw_text(answer: AIMessage) -> str:
    """All that the model wrote, as text."""
    calls = [json.dumps({"name": c["name"], "arguments": c["args"]}, ensure_ascii=False) for c in answer.tool_calls]
    invalid = [call["args"] or "" for call in answer.invalid_tool_calls]
    return "\n".join(part for part in [answer.text, *calls, *invalid] if part)
