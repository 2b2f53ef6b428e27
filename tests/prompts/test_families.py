"""Prompt families: the published layouts, one by one, and what each makes of unusual conversations."""

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from sagechain.prompts import get_family, list_families

TALK: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Hi"),
    AIMessage("Hello."),
    HumanMessage("How are you?"),
]


def rendered(family: str, messages: list[BaseMessage]) -> str:
    return get_family(family).render(messages).text


def test_the_known_families_are_listed() -> None:
    assert list_families() == ["chatml", "falcon", "llama2", "plain"]


def test_llama2_folds_the_system_text_into_the_first_turn_and_leaves_the_first_bos_to_the_server() -> None:
    assert rendered("llama2", TALK) == (
        "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] How are you? [/INST]"
    )


def test_falcon_is_a_transcript_with_the_system_text_as_its_first_line() -> None:
    assert rendered("falcon", TALK) == "Be brief.\nUser: Hi\nAssistant: Hello.\nUser: How are you?\nAssistant:"


def test_chatml_has_every_message_in_its_place_and_adds_no_system_text() -> None:
    assert rendered("chatml", TALK[1:]) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
        "<|im_start|>user\nHow are you?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_plain_is_a_transcript_in_plain_words() -> None:
    assert rendered("plain", TALK) == "Be brief.\n\nHuman: Hi\nAI: Hello.\nHuman: How are you?\nAI:"


@pytest.mark.parametrize(
    ("family", "stops"),
    [
        ("llama2", ("</s>",)),
        ("falcon", ("\nUser:", "<|endoftext|>")),
        ("chatml", ("<|im_end|>", "<|endoftext|>")),
        ("plain", ("\nHuman:", "<|endoftext|>")),
    ],
)
def test_each_family_says_where_a_turn_ends(family: str, stops: tuple[str, ...]) -> None:
    assert get_family(family).render(TALK).stop == stops


def test_neighbours_of_one_role_become_one_turn_where_turns_alternate() -> None:
    assert rendered("falcon", [HumanMessage("a"), HumanMessage("b")]) == "User: a\n\nb\nAssistant:"


def test_a_late_system_text_stands_in_front_where_turns_alternate() -> None:
    late = [HumanMessage("Hi"), SystemMessage("Be brief.")]
    assert rendered("llama2", late) == "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]"


def test_a_conversation_that_begins_and_ends_with_the_model_gets_empty_turns() -> None:
    assert rendered("llama2", [AIMessage("Hello.")]) == "[INST]  [/INST] Hello. </s><s>[INST]  [/INST]"


@pytest.mark.parametrize("family", list_families())
def test_a_tool_result_is_a_users_turn_that_says_so(family: str) -> None:
    messages = [HumanMessage("2+2?"), AIMessage("calling"), ToolMessage("4", name="sum", tool_call_id="1")]
    assert "Result of sum: 4" in rendered(family, messages)


@pytest.mark.parametrize("family", list_families())
def test_text_parts_are_joined(family: str) -> None:
    parts = HumanMessage([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}])
    assert rendered(family, [parts]) == rendered(family, [HumanMessage("one two")])


@pytest.mark.parametrize("family", list_families())
def test_what_no_text_model_can_read_is_a_clear_error(family: str) -> None:
    picture = HumanMessage([{"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}])
    with pytest.raises(ValueError, match=r"messages\[0\]: a part of type 'image_url'"):
        get_family(family).render([picture])
    with pytest.raises(ValueError, match="no turn for role 'critic'"):
        get_family(family).render([ChatMessage(content="no", role="critic")])
    with pytest.raises(ValueError, match="messages: the list is empty"):
        get_family(family).render([])


def test_an_unknown_family_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"family: 'lama2' is unknown\. Did you mean 'llama2'\? Known: chatml, falcon"):
        get_family("lama2")
