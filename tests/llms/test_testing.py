"""The scripted model: its answers, tokens, limits and streams, and that a prompt sent to it reads back as its messages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from sagechain.llms import PromptedChatModel
from sagechain.llms.testing import Answer, ScriptedLLM
from sagechain.prompts import get_family
from sagechain.prompts.families import RoleMessage, alternate_roles, to_role_messages

from tests.llms.prompt_reader import read_prompt

FAMILIES = ["chatml", "falcon", "falcon180b", "llama2", "plain"]
TEXT = st.text() | st.sampled_from(
    ["", "User: a", "\nAssistant: b", "<|im_end|>\n", "[INST] x [/INST] y </s>", "<<SYS>>\n<</SYS>>", "AI:", "System: z",
     "<tools>\n</tools>", "<tool_call>\n{}\n</tool_call>", "<tool_response>1</tool_response>", "Falcon: c", "Human:"]
)  # fmt: skip
MESSAGE = st.builds(lambda kind, text: kind(text), st.sampled_from([SystemMessage, HumanMessage, AIMessage]), TEXT)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def clock() -> str:
    """The time of day."""
    return "noon"


def tool_calls(message: AIMessage) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in message.tool_calls]


# Prompts


@given(messages=st.lists(MESSAGE, min_size=1, max_size=6))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_rendered_prompt_reads_back_as_its_messages_whatever_their_text(
    family: str, messages: list[BaseMessage]
) -> None:
    layout = get_family(family)
    turns = to_role_messages(messages, layout.escaping)
    system = "\n\n".join(turn.text.strip() for turn in turns if turn.role == "system")
    if family != "chatml":
        _, turns = alternate_roles([RoleMessage(turn.role, turn.text.strip()) for turn in turns])
    spoken = [(turn.role, turn.text.strip()) for turn in turns if turn.role in ("user", "assistant")]
    read = read_prompt(family, layout.render(messages).text)
    assert "\n\n".join(text for role, text in read if role == "system").strip() == system.strip()
    assert [part for part in read if part[0] != "system" and part[1]] == [part for part in spoken if part[1]]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_prompt_shows_a_tool_call_and_its_result_in_the_models_form(family: str) -> None:
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1"}
    llm = ScriptedLLM(["3"], family=family)
    PromptedChatModel(llm=llm).bind_tools([add, clock]).invoke(
        [
            SystemMessage("Be brief."),
            HumanMessage("1 + 2?"),
            AIMessage("I add.", tool_calls=[call]),
            ToolMessage("3", tool_call_id="1"),
        ]
    )
    system, question, answer, result = read_prompt(family, llm.prompts[0])
    assert system[1].startswith("Be brief.")
    assert ['"name": "add"' in system[1], '"name": "clock"' in system[1]] == [True, True]
    assert question == ("user", "1 + 2?")
    assert answer == (
        "assistant",
        'I add.\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>',
    )
    assert result == ("tool" if family == "chatml" else "user", "<tool_response>\n3\n</tool_response>")


# Answers


def test_answers_come_in_their_order_and_the_prompts_are_recorded() -> None:
    llm = ScriptedLLM(family="falcon", answers=["Paris.", "Rome."])
    chat = PromptedChatModel(llm=llm, timeout=5)
    assert llm.answers_left == 2
    assert [chat.invoke(f"{place}?").text for place in ("France", "Italy")] == ["Paris.", "Rome."]
    assert llm.prompts == ["User: France?\nAssistant:", "User: Italy?\nAssistant:"]
    assert llm.answers_left == 0


def test_a_batch_takes_the_answers_in_the_order_of_its_prompts() -> None:
    llm = ScriptedLLM(answers=[str(number) for number in range(40)])
    assert llm.batch(["?"] * 40) == [str(number) for number in range(40)]


def test_a_prompt_after_the_scripts_end_is_an_error_that_shows_it() -> None:
    llm = ScriptedLLM(answers=["Paris."])
    llm.invoke("first")
    with pytest.raises(ValueError, match=r"answers: all 1 have been given, and here is prompt 2, which ends 'second'"):
        llm.invoke("second")


@pytest.mark.parametrize("family", FAMILIES)
def test_scripted_calls_are_written_in_the_form_that_the_family_shows(family: str) -> None:
    first, second = {"name": "add", "args": {"a": 1, "b": 2}}, {"name": "clock", "args": {}}
    script: list[Answer] = [
        first,
        [first, second],
        AIMessage("Both.", tool_calls=[{**first, "id": "1"}, {**second, "id": "2"}]),
    ]
    chat = PromptedChatModel(llm=ScriptedLLM(family=family, answers=script)).bind_tools([add, clock])
    one, two, both = (chat.invoke("Hi") for _ in range(3))
    assert tool_calls(one) == [("add", {"a": 1, "b": 2})]
    assert tool_calls(two) == tool_calls(both) == [("add", {"a": 1, "b": 2}), ("clock", {})]
    assert both.text == "Both."


@pytest.mark.parametrize("wrong", [{"answer": 42}, 42, {"name": 1, "args": {}}, [{"name": "add", "args": {}}, "text"]])
def test_an_answer_that_is_neither_text_nor_call_is_a_value_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"answers\[1\]: .* is neither a text nor a tool call"):
        ScriptedLLM(answers=["Hi", wrong])


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"family": "chatlm"}, "family: 'chatlm' is unknown. Did you mean 'chatml'?"),
        ({"family": "messages"}, "family: 'messages' has no text layout"),
        ({"answer": []}, "parameter: 'answer' is unknown. Did you mean 'answers'?"),
        ({"stream_by": "letters"}, "stream_by"),
    ],
)
def test_a_wrong_field_is_a_value_error(field: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        ScriptedLLM(**field)


# Tokens, limits, stops, streams


@given(text=st.text())
def test_tokens_are_words_and_marks_and_add_up_to_the_text(text: str) -> None:
    llm = ScriptedLLM(answers=[text])
    chunks = [chunk.text for chunk in llm.chunks("?")][:-1]
    assert "".join(chunks) == text
    assert len(chunks) == llm.text_tokens(text) == len(llm.get_token_ids(text))


def test_the_tokens_of_a_sentence() -> None:
    assert [chunk.text for chunk in ScriptedLLM(answers=["It's 3.5 °C, I think. "]).chunks("?")][:-1] == (
        ["It", "'", "s", " 3", ".", "5", " °", "C", ",", " I", " think", ".", " "]
    )


@pytest.mark.parametrize("stream_by", ["tokens", "characters", "whole"])
@pytest.mark.parametrize(
    ("settings", "text", "reason", "tokens"),
    [
        ({}, "One, two, three.", "stop", 6),
        ({"max_new_tokens": 3}, "One, two", "length", 3),
        ({"max_new_tokens": 6}, "One, two, three.", "stop", 6),
        ({"stop": [", th"]}, "One, two", "stop", 3),
        ({"stop": ["two"], "max_new_tokens": 1}, "One", "length", 1),
    ],
)
def test_an_answer_ends_at_its_limit_or_a_stop_string_in_a_stream_too(
    stream_by: Any, settings: dict[str, Any], text: str, reason: str, tokens: int
) -> None:
    llm = ScriptedLLM(answers=["One, two, three."] * 2, stream_by=stream_by)
    [whole] = llm.complete("Count to three:", **settings)
    chunks = list(llm.chunks("Count to three:", **settings))
    info = {"finish_reason": reason, "input_tokens": 4, "output_tokens": tokens}
    assert (whole.text, whole.generation_info) == (text, info)
    assert ("".join(chunk.text for chunk in chunks), chunks[-1].generation_info) == (text, info)


def test_usage_is_counted_by_the_models_own_tokens() -> None:
    llm = ScriptedLLM(family="plain", answers=["It is Paris."] * 2)
    chat = PromptedChatModel(llm=llm)
    usage = {"input_tokens": llm.text_tokens("Human: Where?\nAI:"), "output_tokens": 4, "total_tokens": 10}
    assert chat.invoke("Where?").usage_metadata == usage
    assert [m.usage_metadata for m in chat.stream("Where?") if m.usage_metadata] == [usage]
    assert chat.get_num_tokens("It is Paris.") == 4


def test_the_context_limits_prompt_and_answer() -> None:
    llm = ScriptedLLM(answers=["one two three four"] * 2, context=5)
    assert llm.invoke("a b") == "one two three"
    with pytest.raises(ValueError, match="prompt: it has 6 tokens, 1 more than the context of 5"):
        llm.invoke("a b c d e f")


def test_several_answers_to_one_prompt_come_from_the_script() -> None:
    llm = ScriptedLLM(answers=["a", "b", "c"])
    assert [each.text for each in llm.complete("?", num_return_sequences=2, temperature=1.0)] == ["a", "b"]
