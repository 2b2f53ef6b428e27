"""The body of a chat completion, checked as by OpenAI and vLLM: messages, tools, and the form of the answer.

Source: OpenAI's API reference, "Chat completions"; vLLM's `entrypoints/openai/protocol.py`.
"""

import json
from typing import Annotated, Any, Literal, Self

from langchain_core.messages import BaseMessage, convert_to_messages
from pydantic import AfterValidator, Field, field_validator, model_validator
from sagechain.prompts import JsonFormat, OutputFormat, ToolCallFormat
from sagechain.prompts.json_text import checked_schema

from .base import RequestModel

NO_PARAMETERS = {"type": "object", "properties": {}}


def _checked_schema(schema: dict[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = checked_schema(schema, "schema")
    return checked


JsonSchema = Annotated[dict[str, Any], AfterValidator(_checked_schema)]


class FunctionCall(RequestModel):
    """The function that a tool call is for, and its arguments in JSON."""

    name: Annotated[str, Field(min_length=1)]
    arguments: str

    @field_validator("arguments")
    @classmethod
    def _is_an_object(cls, arguments: str) -> str:
        try:
            is_object = isinstance(json.loads(arguments or "{}"), dict)
        except ValueError as error:
            raise ValueError(f"they are not JSON: {error}") from error
        if not is_object:
            raise ValueError("they are not a JSON object")
        return arguments or "{}"


class AssistantToolCall(RequestModel):
    """A tool call of the assistant."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class ChatMessage(RequestModel):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[AssistantToolCall] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of role 'tool' needs `tool_call_id`")
        if self.content is None and not (self.role == "assistant" and self.tool_calls):
            raise ValueError("`content` is missing; only an assistant's message with `tool_calls` may lack it")
        return self


class Function(RequestModel):
    """The name, purpose and parameters of a function."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: JsonSchema | None = None


class Tool(RequestModel):
    """A tool that may be called; all are functions."""

    type: Literal["function"]
    function: Function


class _Name(RequestModel):
    name: str


class NamedTool(RequestModel):
    """The one function that must be called."""

    type: Literal["function"] = "function"
    function: _Name


class NamedSchema(RequestModel):
    """The schema that an answer must fit."""

    name: str
    schema_: JsonSchema = Field(alias="schema")


class ResponseFormat(RequestModel):
    """The form that an answer must have."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> Self:
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("`json_schema` is missing")
        return self


class ChatRequest(RequestModel):
    """The body of a request."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    max_completion_tokens: Annotated[int, Field(gt=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    seed: int | None = None
    stop: Annotated[list[str], Field(max_length=4)] | str | None = None
    tools: Annotated[list[Tool], Field(min_length=1)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known_calls: set[str] = set()
        for position, message in enumerate(self.messages):
            if message.role == "tool" and message.tool_call_id not in known_calls:
                raise ValueError(f"`messages.{position}`: no earlier message has a call {message.tool_call_id!r}")
            known_calls |= {call.id for call in message.tool_calls or ()}
        names = [tool.function.name for tool in self.tools or ()]
        if not self.tools and self.tool_choice not in (None, "none"):
            raise ValueError("`tool_choice`: there are no `tools` to choose from")
        if isinstance(self.tool_choice, NamedTool) and self.tool_choice.function.name not in names:
            raise ValueError(f"`tool_choice`: {self.tool_choice.function.name!r} is not one of the `tools`: {names}")
        if len(names) > len(set(names)):
            raise ValueError(f"`tools`: two functions have one name: {names}")
        _ = self.output_format  # a ValueError where a function's parameters are not an object
        return self

    @property
    def token_limit(self) -> int | None:
        """The number of tokens that the answer may have; the newer name of the parameter goes first, as in vLLM."""
        return self.max_completion_tokens or self.max_tokens

    def conversation(self) -> list[BaseMessage]:
        """The messages as LangChain's."""
        return convert_to_messages(
            [{"content": None, **message.model_dump(exclude_none=True)} for message in self.messages]
        )

    @property
    def tool_call_format(self) -> ToolCallFormat | None:
        """The tools that the answer may or must call."""
        if not self.tools or self.tool_choice == "none":
            return None
        tools = [tool.function.model_dump(exclude_none=True) for tool in self.tools]
        choice = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else self.tool_choice
        return ToolCallFormat(
            tuple({"name": tool["name"], "description": "", "parameters": NO_PARAMETERS, **tool} for tool in tools),
            choice="any" if choice == "required" else choice or "auto",
            parallel=self.parallel_tool_calls is not False,
        )

    @property
    def output_format(self) -> OutputFormat | None:
        """The form that the answer must have; tools go before `response_format`."""
        required = self.response_format
        if self.tool_call_format is not None or required is None or required.type == "text":
            return self.tool_call_format
        schema = required.json_schema
        return JsonFormat(schema.schema_, schema.name) if schema else JsonFormat()
