"""Output formats accept what LangChain and OpenAI accept, and reject the rest with the field that is wrong."""

from typing import Any

import pytest
from langchain_core.messages import HumanMessage
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
    json_format = JsonFormat.from_response_format(Offer)
    assert (json_format.name, json_format.description) == ("Offer", "An offer.")
    assert (json_format.schema or {})["properties"]["price"]["type"] == "integer"


@pytest.mark.parametrize("response_format", [{"type": "text"}, {"type": "json_schema"}, {}])
def test_another_response_format_is_an_error(response_format: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^response_format: .* is unknown\..* Known: json_object, json_schema$"):
        JsonFormat.from_response_format(response_format)


@pytest.mark.parametrize("name", ["one", "any_", "search"])
def test_a_tool_that_must_be_called_is_named_in_the_prompt(name: str) -> None:
    output_format = ToolCallFormat.from_tools([SEARCH | {"name": name}], name)
    text = get_family("chatml").render([HumanMessage("Hi")], output_format=output_format).text
    assert f"You must call the function {name} now." in text
