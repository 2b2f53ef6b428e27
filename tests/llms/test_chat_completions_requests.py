"""What the `messages` wire sends: messages, tools and schemas in the form of OpenAI's chat completions."""

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from sagechain.llms import GenerationParameters
from sagechain.llms.wires import get_wire
from sagechain.prompts import JsonFormat, OutputFormat, ToolCallFormat

from tests.llms.chat_completions import CLOCK, HI, SCHEMA, WEATHER


def body(messages: Sequence[BaseMessage], output_format: OutputFormat | None = None) -> dict[str, Any]:
    request = get_wire("messages").request(
        messages, GenerationParameters(max_new_tokens=5), stream=False, output_format=output_format
    )
    assert json.loads(json.dumps(request)) == request
    return request


def sent_messages(*messages: BaseMessage) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = body(list(messages))["messages"]
    return sent


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("any", "required"),
        ("none", "none"),
        ("clock", {"type": "function", "function": {"name": "clock"}}),
    ],
)
def test_tools_and_the_tool_choice_are_sent_in_openais_form(choice: str, expected: Any) -> None:
    assert body(HI, ToolCallFormat((WEATHER, CLOCK), choice)) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": WEATHER}, {"type": "function", "function": CLOCK}],
        "tool_choice": expected,
        "max_tokens": 5,
        "stream": False,
    }


def test_single_tool_calls_are_requested_only_where_wanted() -> None:
    assert body(HI, ToolCallFormat((CLOCK,), parallel=False))["parallel_tool_calls"] is False
    assert body(HI, ToolCallFormat(())) == body(HI)


def test_json_of_a_schema_is_the_servers_own_response_format() -> None:
    assert body(HI, JsonFormat())["response_format"] == {"type": "json_object"}
    assert body(HI, JsonFormat(SCHEMA, "place"))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "place", "schema": SCHEMA, "strict": True},
    }


def test_tool_calls_and_their_results_are_sent_in_openais_form() -> None:
    calls = [
        {"name": "weather", "args": {"city": "Zürich"}, "id": "c1"},
        {"name": "clock", "args": {}, "id": None},
    ]
    assert sent_messages(
        SystemMessage("Be brief."),
        HumanMessage("Weather?", name="Ann Lee"),
        AIMessage("", tool_calls=calls, name="clerk"),
        ToolMessage("rain", tool_call_id="c1", name="weather"),
        ToolMessage([{"type": "text", "text": "12:00"}], tool_call_id="call_2_1"),
        AIMessage([{"type": "text", "text": "It "}, {"type": "text", "text": "rains."}]),
        HumanMessage(["And ", {"type": "text", "text": "now?"}]),
    ) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?", "name": "Ann_Lee"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Zürich"}'}},
                {"id": "call_2_1", "type": "function", "function": {"name": "clock", "arguments": "{}"}},
            ],
            "name": "clerk",
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain", "name": "weather"},
        {"role": "tool", "tool_call_id": "call_2_1", "content": "12:00"},
        {"role": "assistant", "content": "It rains."},
        {"role": "user", "content": "And now?"},
    ]


@pytest.mark.parametrize("value", [datetime.date(2026, 12, 1), b"bytes", {1}, Path("a/b")])
def test_arguments_that_are_not_json_are_sent_as_their_text(value: Any) -> None:
    call: Any = {"id": "1", "name": "f", "args": {"x": value}}
    [_, answer] = sent_messages(HumanMessage("Hi"), AIMessage("", tool_calls=[call]))
    assert json.loads(answer["tool_calls"][0]["function"]["arguments"]) == {"x": str(value)}


def test_text_beside_tool_calls_is_sent_too() -> None:
    answer = AIMessage("Let me look.", tool_calls=[{"name": "clock", "args": {}, "id": "c"}])
    [_, expected] = sent_messages(HumanMessage("Hi"), answer)
    assert (expected["content"], len(expected["tool_calls"])) == ("Let me look.", 1)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("no such city", "Error: no such city"),
        ("Error: no such city", "Error: no such city"),
        ([{"type": "image_url", "image_url": {"url": "data:x"}}], [{"type": "text", "text": "Error:"}, ...]),
    ],
)
def test_the_result_of_a_failed_tool_is_marked_as_an_error(content: Any, expected: Any) -> None:
    [message] = sent_messages(ToolMessage(content, tool_call_id="c", status="error"))
    assert message["role"] == "tool"
    assert message["content"] == (expected if isinstance(expected, str) else [expected[0], *content])


def test_an_invalid_tool_call_is_sent_as_text_and_its_result_as_the_users() -> None:
    broken = {"name": "weather", "args": '{"city": ', "id": "c9", "error": "cut"}
    assert sent_messages(
        HumanMessage("Hi"),
        AIMessage("Wait.", invalid_tool_calls=[broken]),
        ToolMessage("bad JSON", tool_call_id="c9", status="error"),
    ) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": 'Wait.\nInvalid tool call: weather({"city": )'},
        {"role": "user", "content": "Error: bad JSON"},
    ]


def test_pictures_are_sent_unchanged() -> None:
    parts: list[str | dict[str, Any]] = [
        {"type": "text", "text": "What?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
    ]
    assert sent_messages(HumanMessage(parts)) == [{"role": "user", "content": parts}]
