"""What an answer has to be, where it is not just text: one that may or must call tools, or JSON that fits a schema.

    use = ToolCallFormat.from_tools([search, place_order], choice="any")
    get_family("chatml").render(messages, output_format=use)

A family shows it to the model in the system text; an engine that can constrain its decoding holds the model to it; a server
that knows tools itself gets it in its own form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from .json_text.schema_check import check_schema
from .suggestions import unknown_name

AnyTool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
"""What LangChain takes for a tool: a JSON schema, a pydantic class or TypedDict, a function, a tool."""
CHOICES = ("auto", "any", "none")


@dataclass(frozen=True)
class ToolCallFormat:
    """The tools that an answer may use, or must.

    Attributes:
        tools: each with `name`, `description` and `parameters`, a JSON schema.
        choice: `auto` (as the model sees fit), `any` (at least one), `none`, or the name of the one that must be called.
        parallel: whether one answer may call several.

    Raises:
        ValueError: parameters that are no JSON schema of an object; the message names the tool and the part.
    """

    tools: tuple[Mapping[str, Any], ...]
    choice: str = "auto"
    parallel: bool = True

    def __post_init__(self) -> None:
        for tool in self.tools:
            _check_tool(tool)

    @classmethod
    def from_tools(
        cls,
        tools: Sequence[AnyTool],
        choice: str | bool | Mapping[str, Any] | None = None,
        parallel: bool | None = None,
    ) -> "ToolCallFormat":
        """From what LangChain takes for tools, and from any form that it knows of a choice.

        Raises:
            ValueError: as in the class; what is no function, two different ones of one name, the choice of one that is
                not there.
        """
        functions: dict[str, Mapping[str, Any]] = {}
        for tool in tools:
            function = to_function(tool)
            if functions.setdefault(function["name"], function) != function:
                raise ValueError(f"tools: two have the name {function['name']!r}; give each a name of its own")
        return cls(
            tuple(functions.values()),
            parse_tool_choice(choice, list(functions)),
            True if parallel is None else parallel,
        )

    @property
    def names(self) -> list[str]:
        """The tools' names, in their order."""
        return [tool["name"] for tool in self.tools]

    @property
    def must_call(self) -> bool:
        """Whether an answer without a call is none."""
        return self.choice not in ("auto", "none")

    @property
    def callable(self) -> tuple[Mapping[str, Any], ...]:
        """The tools that the choice leaves."""
        if self.choice == "none":
            return ()
        return self.tools if self.choice in CHOICES else tuple(t for t in self.tools if t["name"] == self.choice)


@dataclass(frozen=True)
class JsonFormat:
    """An answer that is one JSON value.

    Attributes:
        schema: the JSON schema that it fits; None for any object.
        name: what the schema is called, where a server asks for a name.
        description: what the value is for.

    Raises:
        ValueError: this is no JSON schema; the message names the part.
    """

    schema: Mapping[str, Any] | None = None
    name: str = "answer"
    description: str = ""

    def __post_init__(self) -> None:
        if self.schema is not None:
            check_schema(self.schema, "schema")

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any] | type) -> "JsonFormat":
        """From a pydantic class, a TypedDict, a JSON schema, or a function's schema in OpenAI's form."""
        if isinstance(schema, Mapping) and "title" not in schema and "name" not in schema and "function" not in schema:
            return cls(schema)
        function = _converted(schema)
        own = schema if isinstance(schema, Mapping) and "title" in schema else argument_schema(function)
        return cls(own, function["name"], function.get("description", ""))

    @classmethod
    def from_response_format(cls, wanted: Mapping[str, Any] | type) -> "JsonFormat":
        """From OpenAI's `response_format`, or what `from_schema` takes.

        Raises:
            ValueError: a form that is none of these.
        """
        if not isinstance(wanted, Mapping):
            return cls.from_schema(wanted)
        kind, named = wanted.get("type"), wanted.get("json_schema")
        if kind == "json_object":
            return cls()
        if kind == "json_schema" and isinstance(named, Mapping) and isinstance(named.get("schema"), Mapping):
            return cls(named["schema"], str(named.get("name", "answer")), str(named.get("description", "")))
        raise unknown_name("response_format", kind, ("json_object", "json_schema"))

    @property
    def response_format(self) -> dict[str, Any]:
        """OpenAI's form of it."""
        if self.schema is None:
            return {"type": "json_object"}
        described = {"description": self.description} if self.description else {}
        named = {"name": self.name, **described, "schema": dict(self.schema), "strict": True}
        return {"type": "json_schema", "json_schema": named}

    @property
    def function(self) -> dict[str, Any]:
        """A tool, in OpenAI's form, whose arguments are the answer."""
        function = {"name": self.name, "description": self.description, "parameters": self.schema or {"type": "object"}}
        return {"type": "function", "function": function}


OutputFormat = ToolCallFormat | JsonFormat


def to_function(tool: AnyTool) -> Mapping[str, Any]:
    """A tool's `name`, `description` and `parameters`. Raises ValueError as `ToolCallFormat` does."""
    function = _converted(tool)
    _check_tool(function)
    return function


def _converted(tool: AnyTool) -> Mapping[str, Any]:
    converted = convert_to_openai_tool(tool)
    if not isinstance(converted.get("function"), Mapping):
        raise ValueError(
            f"tools: {converted} is no function; tools that only their own server has can't be called here"
        )
    return converted["function"]  # type: ignore[no-any-return]


def _check_tool(tool: Mapping[str, Any]) -> None:
    name, given = tool.get("name"), tool.get("parameters")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"tools: a tool's name is a text; {name!r} is none")
    where = f"tools[{name!r}].parameters"
    if not isinstance(given or {}, Mapping):
        raise ValueError(f"{where}: {given!r} is no JSON schema; give one of an object")
    schema = argument_schema(tool)
    check_schema(schema, where)
    if "object" not in ([schema["type"]] if isinstance(schema["type"], str) else schema["type"]):
        raise ValueError(f"{where}.type: {schema['type']!r}; a tool's arguments are an object")


def call_schema(use: ToolCallFormat) -> dict[str, Any]:
    """The JSON schema of one call, `{"name": …, "arguments": {…}}`, of any tool that the choice leaves.

    A tool's own `$defs` still resolve: parameters that refer to themselves stand in the schema's `$defs`, by the tool's
    position, and their references lead there.

    Raises:
        ValueError: the choice leaves no tool.
    """
    if not use.callable:
        raise ValueError(f"choice: {use.choice!r} leaves no tool to call; give tools and another choice")
    defs: dict[str, Any] = {}
    calls = []
    for position, tool in enumerate(use.callable):
        arguments = _moved(argument_schema(tool), f"#/$defs/{position}")
        if arguments != argument_schema(tool):
            defs[str(position)] = arguments
            arguments = {"$ref": f"#/$defs/{position}"}
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": tool["name"]}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {**schema, "$defs": defs} if defs else schema


def argument_schema(tool: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of a tool's arguments, which are an object even where the tool says nothing of them."""
    return {"type": "object", "properties": {}, **(tool.get("parameters") or {})}


def _moved(schema: Any, place: str) -> Any:
    """The schema with its references to itself (`#…`) leading to `place`."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {name: _moved(value, place) for name, value in schema.items()}
    if isinstance(ref := moved.get("$ref"), str) and ref.startswith("#"):
        moved["$ref"] = place + ref[1:]
    return moved


def parse_tool_choice(choice: str | bool | Mapping[str, Any] | None, names: list[str]) -> str:
    """`auto`, `any`, `none` or one of the names, from any form that LangChain or OpenAI know. Raises ValueError."""
    if isinstance(choice, Mapping):
        choice = (choice.get("function") or choice).get("name") or choice.get("type")
    if choice is None or choice is False:
        return "auto"
    if choice is True or choice == "required":
        return "any"
    if choice not in (*CHOICES, *names):
        raise unknown_name("tool_choice", choice, (*CHOICES, *names))
    return str(choice)
