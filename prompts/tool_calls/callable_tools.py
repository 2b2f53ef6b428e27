"""The tools that an answer may call, and which of them a name written by a model refers to."""

import re
from functools import cached_property
from typing import Any

from ..json_text.coercion import JsonSchema
from ..output_format import ToolCallFormat, argument_schema
from ..suggestions import did_you_mean, normalize

NAMESPACE = re.compile("(functions|function|tools|tool|default_api)[.:]")
"""What models write before a tool's name."""


class CallableTools:
    """The tools that an answer may call, by name."""

    def __init__(self, tool_format: ToolCallFormat) -> None:
        self._format = tool_format
        self._tools = {tool["name"]: tool for tool in tool_format.callable_tools}
        self._schemas: dict[str, JsonSchema] = {}

    @property
    def names(self) -> list[str]:
        """The names of the tools, in order."""
        return list(self._tools)

    @cached_property
    def required_tool(self) -> str | None:
        """The tool that must be called, if the choice leaves only one."""
        return self.names[0] if self._format.must_call and len(self._tools) == 1 else None

    def resolve(self, name: str) -> str | None:
        """The tool with this name, or the only one whose name differs in namespace, letter case, `-` and `_` at most."""
        if name in self._tools:
            return name
        local_name = name.rpartition(".")[2].rpartition(":")[2] if NAMESPACE.match(name) else name
        matches = [each for each in self._tools if normalize(each) == normalize(local_name)]
        return matches[0] if len(matches) == 1 else None

    def properties(self, name: str | None) -> list[str]:
        """The names of a tool's arguments; none for no tool."""
        return list(argument_schema(self._tools[name])["properties"]) if name else []

    def required_properties(self, name: str) -> list[str]:
        """The names of the arguments that a call of the tool must have."""
        return list(argument_schema(self._tools[name]).get("required", ()))

    def coerce(self, name: str, arguments: Any) -> dict[str, Any]:
        """The arguments, coerced to the tool's schema; None and an empty text count as no arguments. Raises ValueError."""
        if name not in self._schemas:
            self._schemas[name] = JsonSchema(argument_schema(self._tools[name]), "arguments")
        coerced: dict[str, Any] = self._schemas[name].coerce({} if arguments in (None, "") else arguments)
        return coerced

    def unknown_name(self, name: str) -> str:
        """The error for a name that `resolve` finds no tool for."""
        is_excluded = name in [tool["name"] for tool in self._format.tools]
        problem = "may not be called now" if is_excluded else "is unknown"
        return f"name: {name!r} {problem}.{did_you_mean(name, self.names)} Known: {', '.join(self.names)}"
