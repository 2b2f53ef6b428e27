"""What the `messages` wire sends of any history: roles as strict templates demand them, content of other providers."""

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from sagechain.llms import load_chat_model, load_llm

from tests.scripted_server import ScriptedServer


def sent(
    server: ScriptedServer, messages: Any, uri: str = "sagemaker:e?family=messages", **options: Any
) -> dict[str, Any]:
    server.replies["e"] = [json.dumps({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}).encode()]
    load_chat_model(uri).invoke(messages, **options)
    body: dict[str, Any] = json.loads(server.requests[-1])
    return body


def test_the_model_is_named_where_the_server_wants_it(server: ScriptedServer) -> None:
    hi = [{"role": "user", "content": "Hi"}]
    assert sent(server, "Hi") == {"messages": hi, "stream": False}  # and no empty list of stop strings
    assert sent(server, "Hi", "sagemaker:e?family=messages&model=tgi") == {
        "model": "tgi",
        "messages": hi,
        "stream": False,
    }
    assert sent(server, "Hi", stop=["x"])["stop"] == ["x"]
    with pytest.raises(ValueError, match=r"model: the tgi wire does not carry it; .*\?wire=messages"):
        load_llm("sagemaker:e?family=falcon&model=x")


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
CALL = {"name": "f", "args": {}, "id": "1"}


@pytest.mark.parametrize(
    ("messages", "roles"),
    [
        ([SystemMessage("a"), HumanMessage("b"), SystemMessage("c")], [("system", "a\n\nc"), ("user", "b")]),
        ([HumanMessage("a"), HumanMessage("b")], [("user", "a\n\nb")]),
        ([HumanMessage("a"), AIMessage("b"), AIMessage("c")], [("user", "a"), ("assistant", "b\n\nc")]),
        ([AIMessage("a"), HumanMessage("b")], [("user", ""), ("assistant", "a"), ("user", "b")]),
        ([SystemMessage("s"), AIMessage("a")], [("system", "s"), ("user", ""), ("assistant", "a")]),
        ([SystemMessage("s")], [("system", "s"), ("user", "")]),
        (
            [HumanMessage("a"), HumanMessage([PICTURE])],
            [("user", [{"type": "text", "text": "a"}, PICTURE])],
        ),
        (
            [
                HumanMessage("q"),
                AIMessage("", tool_calls=[CALL]),
                ToolMessage("x", tool_call_id="1"),
                HumanMessage("b"),
            ],
            [("user", "q"), ("assistant", None), ("tool", "x"), ("user", "b")],
        ),
    ],
)
def test_roles_alternate_as_the_strictest_templates_demand(server: ScriptedServer, messages: Any, roles: Any) -> None:
    assert [(message["role"], message["content"]) for message in sent(server, messages)["messages"]] == roles


def test_names_stay_where_neighbours_have_one_author(server: ScriptedServer) -> None:
    ann, bob = HumanMessage("a", name="Ann"), HumanMessage("b", name="Bob")
    assert sent(server, [ann, ann])["messages"] == [{"role": "user", "content": "a\n\na", "name": "Ann"}]
    assert sent(server, [ann, bob])["messages"] == [{"role": "user", "content": "a\n\nb"}]


FOREIGN: list[Any] = [
    {"type": "redacted_thinking", "data": "t"},
    {"type": "reasoning", "reasoning": "x"},
    {"type": "server_tool_call", "name": "w", "id": "1", "args": {}},
    {"type": "non_standard", "value": {}},
    {"type": "text"},
    {"type": "text", "text": None},
]


@pytest.mark.parametrize("part", FOREIGN)
def test_parts_of_other_providers_answers_are_skipped(server: ScriptedServer, part: Any) -> None:
    answer = AIMessage([part, {"type": "text", "text": "a"}])
    assert sent(server, [HumanMessage("q"), answer, HumanMessage("b")])["messages"][1]["content"] == "a"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ([{"type": "json", "json": {"price": 5}}], '{"price": 5}'),
        ([{"type": "text"}], ""),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": None}], "a"),
        ("caf\udce9", "caf\ufffd"),
        ([{"type": "text", "text": "caf\udce9"}], "caf\ufffd"),
    ],
)
def test_tool_results_of_any_content_can_be_sent(server: ScriptedServer, content: Any, expected: str) -> None:
    history = [HumanMessage("q"), AIMessage("", tool_calls=[CALL]), ToolMessage(content, tool_call_id="1")]
    assert sent(server, history)["messages"][-1]["content"] == expected


@pytest.mark.parametrize("content", ["a\ud800", [{"type": "text", "text": "a\ud800"}], [{"type": "image"}]])
def test_a_persons_message_that_cannot_be_sent_is_named(server: ScriptedServer, content: Any) -> None:
    with pytest.raises(ValueError, match=r"messages\[1\]: "):
        sent(server, [SystemMessage("s"), HumanMessage(content)])
