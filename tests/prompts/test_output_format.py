"""Output formats accept what LangChain and OpenAI accept, and reject the rest with the field that is wrong."""

from typing import Any, Literal

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from sagechain.prompts import JsonFormat, ToolCallFormat, get_family

CLOCK = {"type": "function", "function": {"name": "clock", "description": "The time."}}
SEARCH = {"name": "search", "description": "Search.", "parameters": {"type": "object", "properties": {"q": {}}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


class Offer(BaseModel):
    """An offer."""

    price: int


@pytest.mark.parametrize(
    ("choice", "parsed", "callable_names", "must_call"),
    [
        (None, "auto", ["clock", "search"], False),
        (False, "auto", ["clock", "search"], False),
        ("auto", "auto", ["clock", "search"], False),
        (True, "any", ["clock", "search"], True),
        ("required", "any", ["clock", "search"], True),
        ("none", "none", [], False),
        ("clock", "clock", ["clock"], True),
        ({"type": "function", "function": {"name": "search"}}, "search", ["search"], True),
        ({"type": "tool", "name": "search"}, "search", ["search"], True),
        ({"type": "any"}, "any", ["clock", "search"], True),
    ],
)
def test_a_tool_choice_is_accepted_in_every_known_form(
    choice: Any, parsed: str, callable_names: list[str], must_call: bool
) -> None:
    output_format = ToolCallFormat.from_tools([CLOCK, SEARCH], choice)
    assert output_format.choice == parsed
    assert [tool["name"] for tool in output_format.callable_tools] == callable_names
    assert output_format.must_call is must_call


def test_the_choice_of_an_unknown_tool_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"^tool_choice: 'clok' is unknown\. Did you mean 'clock'\?"):
        ToolCallFormat.from_tools([CLOCK], "clok")


def test_a_repeated_tool_is_one_tool_and_two_with_one_name_are_an_error() -> None:
    assert len(ToolCallFormat.from_tools([CLOCK, CLOCK]).tools) == 1
    with pytest.raises(ValueError, match=r"^tools: two have the name 'search'"):
        ToolCallFormat.from_tools([SEARCH, SEARCH | {"description": "Search again."}])


@pytest.mark.parametrize(
    ("response_format", "json_format"),
    [
        ({"type": "json_object"}, JsonFormat()),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, JsonFormat(SCHEMA)),
        (
            {"type": "json_schema", "json_schema": {"schema": SCHEMA, "name": "n", "description": "d"}},
            JsonFormat(SCHEMA, "n", "d"),
        ),
    ],
)
def test_a_response_format_of_openai_is_read(response_format: dict[str, Any], json_format: JsonFormat) -> None:
    assert JsonFormat.from_response_format(response_format) == json_format
    assert JsonFormat.from_response_format(json_format.response_format) == json_format


def test_a_class_is_its_schema_with_its_name_and_description() -> None:
    json_format = JsonFormat.from_schema(Offer)
    assert JsonFormat.from_response_format(Offer) == json_format
    assert (json_format.name, json_format.description) == ("Offer", "An offer.")
    assert (json_format.schema or {})["properties"]["price"]["type"] == "integer"


def test_a_response_format_of_text_is_none() -> None:
    assert JsonFormat.from_response_format({"type": "text"}) is None


def test_a_flat_response_format_is_read_too() -> None:
    flat = {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}
    assert JsonFormat.from_response_format(flat) == JsonFormat(SCHEMA, "n")


@pytest.mark.parametrize(
    ("response_format", "message"),
    [
        ({"type": "json_schema"}, r"^response_format: the schema is missing; give \{"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, r"^response_format: the schema is missing; give \{"),
        ({"type": "json"}, r"^response_format.type: 'json' is unknown\. Known: json_object, json_schema, text$"),
        ({}, r"^response_format.type: None is unknown\. Known: json_object, json_schema, text$"),
    ],
)
def test_another_response_format_is_an_error(response_format: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        JsonFormat.from_response_format(response_format)


def test_an_answer_that_is_no_object_is_the_argument_of_its_tool() -> None:
    tree = {"type": "array", "items": {"$ref": "#/$defs/A"}, "$defs": {"A": {"items": {"$ref": "#/$defs/A"}}}}
    assert JsonFormat(tree, "tree").function["function"]["parameters"] == {
        "type": "object",
        "properties": {"value": {"type": "array", "items": {"$ref": "#/$defs/A"}}},
        "required": ["value"],
        "$defs": tree["$defs"],
    }
    with pytest.raises(ValueError, match="make it a part of one"):
        _ = JsonFormat({"type": "array", "items": {"$ref": "#"}}).function


class Node(BaseModel):
    """A list."""

    value: int
    following: "Node | None" = None


@tool
def save(node: Node) -> str:
    """Save it."""
    return str(node)


@pytest.mark.parametrize("bound", [Node, save])
def test_recursive_classes_keep_their_schema_as_tools(bound: Any) -> None:
    parameters = ToolCallFormat.from_tools([bound]).tools[0]["parameters"]
    node = parameters["$defs"]["Node"]
    assert node["properties"]["following"]["anyOf"] == [{"$ref": "#/$defs/Node"}, {"type": "null"}]


@pytest.mark.parametrize("bound", [Node | None, list[Node], Literal["a"]])
def test_a_type_that_is_no_object_is_refused_as_a_tool(bound: Any) -> None:
    with pytest.raises(ValueError, match=r"^tools: .* make it a field of a pydantic class"):
        ToolCallFormat.from_tools([bound])


@pytest.mark.parametrize("name", ["one", "any_", "search"])
def test_a_tool_that_must_be_called_is_named_in_the_prompt(name: str) -> None:
    output_format = ToolCallFormat.from_tools([SEARCH | {"name": name}], name)
    text = get_family("chatml").render([HumanMessage("Hi")], output_format=output_format).text
    assert f"You must call the function {name} now." in text
