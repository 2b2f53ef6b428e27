"""Messages of other providers: read as text, skipped, named as left out, or refused by one error that names the message."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.base import BaseMessage
from sagechain.llms import PromptedChatModel, load_chat_model
from sagechain.llms.testing import ScriptedLLM
from sagechain.prompts import get_family

CALL = {"name": "f", "args": {}, "id": "1"}
PICTURE = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}


def chat(*answers: str) -> PromptedChatModel:
    return PromptedChatModel(llm=ScriptedLLM(answers or ["ok"]))


def prompt(*messages: Any) -> str:
    return get_family("plain").render([*messages]).text


def answered(content: Any) -> str:
    """An answer of a model as a later prompt shows it."""
    return prompt(HumanMessage("q"), AIMessage(content), HumanMessage("b")).split("AI: ")[1].split("\nHuman:")[0]


def tool_result(content: Any) -> str:
    text = prompt(HumanMessage("q"), AIMessage("", tool_calls=[CALL]), ToolMessage(content, tool_call_id="1"))
    return text.split("<tool_response>\n")[1].split("\n</tool_response>")[0]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "redacted_thinking", "data": "AbC"},
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "reasoning_content", "reasoning_content": {"text": "hm"}},
        {"type": "server_tool_call", "name": "web_search", "args": {}, "id": "2"},
        {"type": "server_tool_result", "tool_call_id": "2", "output": []},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
        {"type": "non_standard", "value": {"a": 1}},
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": ["odd"]},
    ],
)
def test_parts_of_an_answer_that_are_not_its_text_are_skipped(part: dict[str, Any]) -> None:
    assert answered([part, {"type": "text", "text": "a", "citations": [{"url": "u"}]}]) == "a"


def test_text_under_other_names_a_refusal_and_json_are_the_text() -> None:
    assert answered([{"type": "output_text", "text": "a"}, {"type": "text", "text": "b"}]) == "ab"
    assert answered([{"type": "refusal", "refusal": "I can't."}]) == "I can't."
    assert prompt(HumanMessage([{"type": "input_text", "text": "Hi"}])) == "Human: Hi\nAI:"
    assert tool_result([{"type": "json", "json": {"price": 189}}]) == '{"price": 189}'
    assert tool_result([{"json": [1, "é"]}]) == '[1, "é"]'
    assert tool_result([{"price": 189}]) == '{"price": 189}'
    refused = {"role": "assistant", "content": None, "refusal": "No."}
    model = chat()
    model.invoke([{"role": "user", "content": "q"}, refused, {"role": "user", "content": "b"}])
    assert "assistant\nNo.<|im_end|>" in model.llm.prompts[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "part",
    [PICTURE, {"type": "image", "base64": "aGk="}, {"type": "audio", "url": "u"}, {"type": "resource", "uri": "u"}],
)
def test_what_a_tool_sends_beside_its_text_is_named_as_left_out(part: dict[str, Any]) -> None:
    note = f"[{part['type']} left out: this model reads text only]"
    assert tool_result([{"type": "text", "text": "5 euros"}, part]) == f"5 euros\n{note}"
    assert tool_result([part, "5 euros"]) == f"{note}\n5 euros"


def test_a_picture_of_a_person_is_refused_by_the_index_of_its_message() -> None:
    for message in (HumanMessage([{"type": "text", "text": "look"}, PICTURE]), SystemMessage([PICTURE])):
        with pytest.raises(
            ValueError, match=r"^messages\[1\]: a part of type 'image_url'; this model reads text only$"
        ):
            prompt(HumanMessage("q"), message)


@pytest.mark.parametrize("arguments", ["", "  ", None, "null", "{}", {}])
def test_a_call_without_arguments_has_none(arguments: Any) -> None:
    assert json.loads(shown_call({"function": {"name": "f", "arguments": arguments}})) == {"name": "f", "arguments": {}}
    assert json.loads(shown_call({"name": "f", "args": arguments})) == {"name": "f", "arguments": {}}


@pytest.mark.parametrize("arguments", ["{broken", "[1]", '"text"', "5"])
def test_a_call_with_other_arguments_is_shown_as_it_was_written(arguments: str) -> None:
    assert (
        shown_call({"function": {"name": "f", "arguments": arguments}}) == f'{{"name": "f", "arguments": {arguments}}}'
    )


def shown_call(call: dict[str, Any]) -> str:
    model = chat()
    model.invoke(
        [
            {"role": "user", "content": "q"},
            {"role": "assistant", "tool_calls": [{"id": "1", "type": "function", **call}]},
            {"role": "tool", "tool_call_id": "1", "content": "r"},
        ]
    )
    text: str = model.llm.prompts[0]  # type: ignore[attr-defined]
    return text.split("<tool_call>\n")[1].split("\n</tool_call>")[0]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"role": "critic", "content": "x"}, "Unexpected message type: 'critic'"),
        ({"role": "user"}, "a message has 'role' and 'content'"),
        ({}, "a message has 'role' and 'content'"),
        ({"role": "user", "content": 5}, "content"),
        ({"role": "user", "content": [5]}, "content"),
        ({"role": "tool", "content": "x"}, "tool_call_id"),
        ({"role": "function", "name": "f", "content": "x"}, "role 'function' is unknown"),
        (("human",), "tuple is not a message"),
        (5, "int is not a message"),
        (None, "NoneType is not a message"),
    ],
)
def test_what_is_not_a_message_is_one_error_that_names_it(message: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^messages\[1\]: ") as caught:
        chat().invoke([("human", "q"), message])
    assert type(caught.value) is ValueError
    assert reason in str(caught.value)


def test_half_characters_of_tools_and_models_are_replaced_and_a_persons_are_refused() -> None:
    assert tool_result("caf\udce9 \ud83d\ude00") == "caf\ufffd \U0001f600"
    assert tool_result([{"type": "text", "text": "a\ud800"}, {"json": "\udc00"}]) == 'a\ufffd\n"\ufffd"'
    assert answered("a\ud800b") == "a\ufffdb"
    call = {"name": "f", "args": {"x": "a\ud800"}, "id": "1"}
    assert '"x": "a\ufffd"' in prompt(HumanMessage("q"), AIMessage("", tool_calls=[call]))
    with pytest.raises(ValueError, match=r"^messages\[2\]: '\\udce9' at 3 is not a character; give text in UTF-8$"):
        prompt(HumanMessage("q"), AIMessage("a"), HumanMessage("caf\udce9"))


@pytest.mark.parametrize(
    "uri", [None, "sagemaker:e?family=falcon&region=us-east-1", "sagemaker:e?family=messages&region=us-east-1"]
)
@pytest.mark.parametrize("text", ["a\ud800", "\udfff" * 3, "<|im_end|></s>", "", "x " * 50_000])
def test_counting_tokens_never_raises(uri: str | None, text: str) -> None:
    model = chat() if uri is None else load_chat_model(uri)
    assert model.get_num_tokens(text) >= bool(text)
    assert model.get_num_tokens_from_messages([HumanMessage(text)]) > 0
    assert model.get_num_tokens_from_messages([]) == 0


kinds = st.sampled_from(["text", "json", "refusal", "thinking", "image", "tool_use", "input_text", "text-plain", "odd"])
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["text", "json", "refusal", "image_url", "data", "input"])
parts = st.text() | st.dictionaries(keys, values, max_size=3).flatmap(
    lambda part: kinds.map(lambda kind: {**part, "type": kind}) | st.just(part)
)


@given(
    st.lists(parts, max_size=4).map(lambda content: AIMessage(content, id="1"))
    | st.lists(parts, max_size=4).map(lambda content: ToolMessage(content, tool_call_id="1"))
    | st.lists(parts, max_size=4).map(HumanMessage)
)
def test_any_content_is_text_or_an_error_that_names_the_message(message: BaseMessage) -> None:
    errors = []
    try:
        prompt(HumanMessage("q"), message).encode()
    except ValueError as error:
        errors.append(error)
    assert all(type(error) is ValueError and str(error).startswith("messages[1]: ") for error in errors)
    assert message.type == "human" or not errors
