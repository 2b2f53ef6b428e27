"""The output format of an answer: one call's JSON schema."""

import pytest
from jsonschema import Draft202012Validator
from sagechain.prompts.output_format import ToolCallFormat, call_schema

TREE = {
    "type": "function",
    "function": {
        "name": "plant",
        "description": "Plant a tree.",
        "parameters": {
            "type": "object",
            "properties": {"root": {"$ref": "#/$defs/Node"}},
            "required": ["root"],
            "$defs": {
                "Node": {
                    "type": "object",
                    "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/Node"}},
                    "required": ["value"],
                }
            },
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "The time."}}


def test_one_tools_call_is_its_name_and_its_arguments() -> None:
    assert call_schema(ToolCallFormat.from_tools([CLOCK])) == {
        "type": "object",
        "properties": {"name": {"const": "clock"}, "arguments": {"type": "object", "properties": {}}},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize("tools", [[TREE], [CLOCK, TREE], [TREE, CLOCK]])
def test_definitions_inside_a_tool_still_resolve(tools: list[dict[str, object]]) -> None:
    schema = call_schema(ToolCallFormat.from_tools(tools))
    Draft202012Validator.check_schema(schema)
    fits = Draft202012Validator(schema).is_valid
    assert fits({"name": "plant", "arguments": {"root": {"value": 1, "next": {"value": 2}}}})
    assert not fits({"name": "plant", "arguments": {"root": {"value": 1, "next": {"value": "x"}}}})
    assert not fits({"name": "plant", "arguments": {"root": {"value": 1}}, "id": 3})
    assert not fits({"name": "dig", "arguments": {}})


def test_the_choice_of_one_tool_leaves_only_that() -> None:
    assert call_schema(ToolCallFormat.from_tools([CLOCK, TREE], "clock"))["properties"]["name"] == {"const": "clock"}


def test_no_call_has_no_schema() -> None:
    with pytest.raises(ValueError, match="choice: 'none' leaves no tool to call"):
        call_schema(ToolCallFormat.from_tools([CLOCK], "none"))
