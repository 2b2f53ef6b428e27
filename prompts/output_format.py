"""What an answer must be if it is not just text: one that may or must call tools, or JSON for a schema.

    output_format = ToolCallFormat.from_tools([search, place_order], choice="any")
    get_family("chatml").render(messages, output_format=output_format)

A prompt family describes it to the model in the system text; an engine with constrained decoding enforces it; a server with
its own tool calls or JSON mode gets it in OpenAI's form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from .json_text.schema_check import checked_schema, reference_lookup, subschemas
from .python_types import ValueType, is_python_type
from .suggestions import check_known

AnyTool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
"""What LangChain accepts as a tool: a JSON schema, a pydantic class or TypedDict, a function, a tool."""
CHOICES = ("auto", "any", "none")


@dataclass(frozen=True)
class ToolCallFormat:
    """The tools that an answer may or must call.

    Attributes:
        tools: each with `name`, `description` and `parameters`, a JSON schema.
        choice: `auto` (the model decides), `any` (at least one call), `none`, or the name of the tool that must be called.
        parallel: whether one answer may contain several calls. None: it may, but where a call is forced and the decoding is
            constrained, the answer ends after the first; a small model would repeat it.

    Raises:
        ValueError: the parameters of a tool are not a JSON schema of an object; the message names the tool and the part.
    """

    tools: tuple[Mapping[str, Any], ...]
    choice: str = "auto"
    parallel: bool | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tools", tuple(map(_checked_tool, self.tools)))

    @classmethod
    def from_tools(
        cls,
        tools: Sequence[AnyTool],
        choice: str | bool | Mapping[str, Any] | None = None,
        parallel: bool | None = None,
    ) -> "ToolCallFormat":
        """The format for tools and a choice in any of LangChain's or OpenAI's forms.

        Raises:
            ValueError: as for the class; a tool that only a server can run; two different tools with one name; the choice
                of an unknown tool.
        """
        functions: dict[str, Mapping[str, Any]] = {}
        for tool in tools:
            function = to_function(tool)
            if functions.setdefault(function["name"], function) != function:
                raise ValueError(f"tools: two have the name {function['name']!r}; give each its own name")
        choice = parse_tool_choice(choice, list(functions))
        return cls(tuple(functions.values()), choice, parallel)

    @property
    def must_call(self) -> bool:
        """Whether the answer must contain a call."""
        return self.choice not in ("auto", "none")

    @property
    def callable_tools(self) -> tuple[Mapping[str, Any], ...]:
        """The tools that may be called under this choice."""
        if self.choice == "none":
            return ()
        return self.tools if self.choice in CHOICES else tuple(t for t in self.tools if t["name"] == self.choice)


@dataclass(frozen=True)
class JsonFormat:
    """An answer that is one JSON value.

    Attributes:
        schema: the JSON schema that the value must match; None for any object.
        name: the schema's name, for servers that require one.
        description: what the value is for.

    Raises:
        ValueError: `schema` is not a JSON schema; the message names the part.
    """

    schema: Mapping[str, Any] | None = None
    name: str = "answer"
    description: str = ""

    def __post_init__(self) -> None:
        if self.schema is not None:
            object.__setattr__(self, "schema", checked_schema(self.schema, "schema"))

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any] | type) -> "JsonFormat":
        """The format for a Python type (`ValueType`), a JSON schema, or a function's schema in OpenAI's form."""
        if is_python_type(schema):
            value_type = ValueType(schema)
            return cls(value_type.schema, value_type.name, value_type.description)
        if isinstance(schema, Mapping) and "title" not in schema and "name" not in schema and "function" not in schema:
            return cls(schema)
        function = _openai_function(schema)
        titled = schema if isinstance(schema, Mapping) and "title" in schema else None
        return cls(titled or argument_schema(function), function["name"], function.get("description", ""))

    @classmethod
    def from_response_format(cls, response_format: Mapping[str, Any] | type) -> "JsonFormat | None":
        """The format for OpenAI's `response_format`, or for a type as in `from_schema`; None for any text.

        Raises:
            ValueError: the form is unknown.
        """
        if not isinstance(response_format, Mapping):
            return cls.from_schema(response_format)
        kind: Any = response_format.get("type")
        named = response_format.get("json_schema", response_format)
        check_known("response_format.type", [kind], ("text", "json_object", "json_schema"))
        if kind == "text":
            return None
        if kind == "json_object":
            return cls()
        if not isinstance(named, Mapping) or not isinstance(named.get("schema"), Mapping):
            form = '{"type": "json_schema", "json_schema": {"name": …, "schema": …}}'
            raise ValueError(f"response_format: the schema is missing; give {form}")
        return cls(named["schema"], str(named.get("name") or "answer"), str(named.get("description") or ""))

    @property
    def response_format(self) -> dict[str, Any]:
        """OpenAI's `response_format`."""
        if self.schema is None:
            return {"type": "json_object"}
        description = {"description": self.description} if self.description else {}
        named = {"name": self.name, **description, "schema": dict(self.schema), "strict": True}
        return {"type": "json_schema", "json_schema": named}

    @property
    def is_object(self) -> bool:
        """Whether the answer is always an object, as the arguments of a tool call are."""
        schema: Any = {"type": "object"} if self.schema is None else self.schema
        while isinstance(schema, Mapping) and "type" not in schema and "$ref" in schema:
            schema = reference_lookup(self.schema)(schema["$ref"]).contents
        return isinstance(schema, Mapping) and schema.get("type") == "object"

    @property
    def function(self) -> dict[str, Any]:
        """A tool in OpenAI's form whose arguments are the answer, or whose argument `value` is, if it is not an object."""
        schema = {"type": "object"} if self.schema is None else dict(self.schema)
        if not self.is_object:
            references = {part["$ref"] for part in subschemas(schema) if "$ref" in part}
            if not all(each.startswith(("#/$defs/", "#/definitions/")) for each in references):
                raise ValueError("schema: it refers to itself as a whole and is not an object; make it a part of one")
            definitions = {key: schema.pop(key) for key in ("$defs", "definitions") if key in schema}
            schema = {"type": "object", "properties": {"value": schema}, "required": ["value"], **definitions}
        function = {"name": self.name, "description": self.description, "parameters": schema}
        return {"type": "function", "function": function}


OutputFormat = ToolCallFormat | JsonFormat


def to_function(tool: AnyTool) -> Mapping[str, Any]:
    """The `name`, `description` and `parameters` of a tool. Raises ValueError as `ToolCallFormat` does."""
    return _checked_tool(_openai_function(tool))


def argument_schema(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of a tool's arguments; an object without properties if the tool declares none."""
    return {"type": "object", "properties": {}, **(tool.get("parameters") or {})}


def parse_tool_choice(choice: str | bool | Mapping[str, Any] | None, names: list[str]) -> str:
    """`auto`, `any`, `none` or one of the names, from any of LangChain's or OpenAI's forms. Raises ValueError."""
    if isinstance(choice, Mapping):
        choice = (choice.get("function") or choice).get("name") or choice.get("type")
    if choice is None or choice is False:
        return "auto"
    if choice is True or choice == "required":
        return "any"
    check_known("tool_choice", [choice], (*CHOICES, *names))
    return str(choice)


def _openai_function(tool: AnyTool) -> Mapping[str, Any]:
    if is_python_type(tool):
        if not isinstance(tool, type):
            raise ValueError(f"tools: {tool} is not a class, function or tool; make it a field of a pydantic class")
        value_type = ValueType(tool)
        return {"name": value_type.name, "description": value_type.description, "parameters": value_type.schema}
    if not callable(tool) and not isinstance(tool, Mapping | BaseTool):
        raise ValueError(
            f"tools: {tool!r:.80} is not a tool; give a function, a pydantic class, a TypedDict, a JSON schema or a "
            "LangChain tool"
        )
    try:
        converted = convert_to_openai_tool(tool)
    except RecursionError as error:
        raise ValueError(f"tools: the schema of {tool!r:.80} refers to itself without end") from error
    if not isinstance(converted.get("function"), Mapping):
        raise ValueError(
            f"tools: {converted} is not a function; a tool that only its server can run can't be called here"
        )
    function: Mapping[str, Any] = converted["function"]
    arguments = tool.tool_call_schema if isinstance(tool, BaseTool) else None
    if (
        is_python_type(arguments) and (value_type := ValueType(arguments)).is_recursive
    ):  # LangChain leaves the parts out
        return {**function, "parameters": value_type.schema}
    return function


def _checked_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tool with its parameters in draft 2020-12."""
    name, parameters = tool.get("name"), tool.get("parameters")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"tools: a tool's name must be a text, not {name!r}")
    field = f"tools[{name!r}].parameters"
    if not isinstance(parameters or {}, Mapping):
        raise ValueError(f"{field}: {parameters!r} is not a JSON schema; give the schema of an object")
    if not parameters:
        return tool
    tool = {**tool, "parameters": checked_schema(parameters, field)}
    schema = argument_schema(tool)
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    if "object" not in types:
        raise ValueError(f"{field}.type: {schema['type']!r}; the arguments of a tool must be an object")
    return tool
