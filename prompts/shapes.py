"""What an answer has to be, where it is not just text: one that may or must call tools, or JSON that fits a schema.

    use = ToolUse.of([search, place_order], choice="any")
    get_family("chatml").render(messages, shape=use)

A family shows it to the model in the system text; an engine that can constrain its decoding holds the model to it; a server
that knows tools itself gets it in its own form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from sagechain.prompts.names import unknown

AnyTool = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
"""What LangChain takes for a tool: a JSON schema, a pydantic class or TypedDict, a function, a tool."""
CHOICES = ("auto", "any", "none")


@dataclass(frozen=True)
class ToolUse:
    """The tools that an answer may use, or must.

    Attributes:
        tools: each with `name`, `description` and `parameters`, a JSON schema.
        choice: `auto` (as the model sees fit), `any` (at least one), `none`, or the name of the one that must be called.
        parallel: whether one answer may call several.
    """

    tools: tuple[Mapping[str, Any], ...]
    choice: str = "auto"
    parallel: bool = True

    @classmethod
    def of(
        cls,
        tools: Sequence[AnyTool],
        choice: str | bool | Mapping[str, Any] | None = None,
        parallel: bool | None = None,
    ) -> "ToolUse":
        """From what LangChain takes for tools, and from any form that it knows of a choice.

        Raises:
            ValueError: two tools of one name, or the choice of one that is not there.
        """
        functions = tuple(convert_to_openai_tool(tool)["function"] for tool in tools)  # type: ignore[arg-type]
        names = [function["name"] for function in functions]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"tools: {name!r} is there twice; give each tool a name of its own")
        return cls(functions, _choice(choice, names), True if parallel is None else parallel)

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
class JsonAnswer:
    """An answer that is one JSON value.

    Attributes:
        schema: the JSON schema that it fits; None for any object.
        name: what the schema is called, where a server asks for a name.
    """

    schema: Mapping[str, Any] | None = None
    name: str = "answer"


Shape = ToolUse | JsonAnswer


def call_schema(use: ToolUse) -> dict[str, Any]:
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
        arguments = _moved(parameters_of(tool), f"#/$defs/{position}")
        if arguments != parameters_of(tool):
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


def parameters_of(tool: Mapping[str, Any]) -> dict[str, Any]:
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


def _choice(choice: str | bool | Mapping[str, Any] | None, names: list[str]) -> str:
    if isinstance(choice, Mapping):
        choice = (choice.get("function") or choice).get("name") or choice.get("type")
    if choice is None:
        return "auto"
    if choice is True or choice == "required":
        return "any"
    if choice is False:
        return "none"
    if choice not in (*CHOICES, *names):
        raise unknown("tool_choice", choice, (*CHOICES, *names))
    return str(choice)
