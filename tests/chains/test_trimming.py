"""Trimming a history never separates a tool call from its result; a summary describes the trimmed turns."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from pydantic import Field
from sagechain.chains import conversation
from sagechain.chains.conversations.history import MAX_TURNS, History
from sagechain.llms import errors
from sagechain.prompts import load_prompt

THREAD: RunnableConfig = {"configurable": {"thread_id": "ada"}}


class Scripted(FakeListChatModel):
    """A model that counts one token per character, and records its prompts."""

    prompts: list[list[BaseMessage]] = Field(default_factory=list)

    def _call(self, messages: list[BaseMessage], *args: Any, **options: Any) -> str:
        self.prompts.append(messages)
        return str(super()._call(messages, *args, **options))

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Any = None) -> int:
        return sum(len(message.text) for message in messages)


def scripted(responses: list[str], room: int | None = None) -> Scripted:
    profile: Any = None if room is None else {"max_input_tokens": room}
    return Scripted(responses=responses, profile=profile, prompts=[])


@st.composite
def histories(draw: st.DrawFn) -> list[BaseMessage]:
    """Turns with any number of questions, rounds of parallel calls, and the last turn at any point."""
    messages: list[BaseMessage] = []
    for number in range(draw(st.integers(1, 12))):
        texts = st.text(st.characters(codec="ascii"), min_size=1, max_size=30)
        messages += [HumanMessage(text) for text in draw(st.lists(texts, min_size=1, max_size=2))]
        for round_number in range(draw(st.integers(0, 3))):
            ids = [f"{number}.{round_number}.{call}" for call in range(draw(st.integers(1, 3)))]
            calls = [{"name": "search", "args": {}, "id": name, "type": "tool_call"} for name in ids]
            messages += [AIMessage(draw(texts), tool_calls=calls)]
            messages += [ToolMessage(draw(texts), tool_call_id=name) for name in ids]
        messages.append(AIMessage(draw(texts)))
    return [*messages, HumanMessage("And now?")]


@given(histories(), st.integers(20, 600), st.sampled_from([None, 10_000]))
def test_no_call_is_separated_from_its_result(messages: list[BaseMessage], room: int, limit: int | None) -> None:
    sent = History(scripted(["Yes."], room), [], limit).window(messages)
    assert sent == messages[-len(sent) :]
    assert sent[0].type == "human"
    assert sum(len(message.text) for message in sent) <= room
    calls = {call["id"] for message in sent if isinstance(message, AIMessage) for call in message.tool_calls}
    assert {message.tool_call_id for message in sent if isinstance(message, ToolMessage)} == calls


def test_a_model_with_an_unknown_context_is_sent_a_stated_number_of_turns() -> None:
    model = scripted(["Yes."])
    graph = conversation(model)
    for number in range(2 * MAX_TURNS):
        graph.invoke({"messages": [HumanMessage(f"Question {number}")]}, THREAD)
    assert max(len(prompt) for prompt in model.prompts) == 2 * MAX_TURNS - 1
    unlimited = conversation(model, history_tokens=10**6)
    for number in range(2 * MAX_TURNS):
        unlimited.invoke({"messages": [HumanMessage(f"Question {number}")]}, {"configurable": {"thread_id": "b"}})
    assert len(model.prompts[-1]) == 4 * MAX_TURNS - 1


@pytest.mark.parametrize("way", ["sync", "async"])
def test_trimmed_turns_are_summarised_after_the_system_text(way: str) -> None:
    model = scripted(["Yes.", "Yes.", "Ada likes tents.", "Yes.", "Ada is 30.", "Yes."])
    graph = conversation(model, system="Be brief.", history_tokens=40, summarise=True)

    def say(text: str) -> None:
        turn: Any = {"messages": [HumanMessage(text)]}
        if way == "sync":
            graph.invoke(turn, THREAD)
        else:
            asyncio.run(graph.ainvoke(turn, THREAD))

    for text in ("I am Ada.", "I like tents.", "Tell me all about yourself.", "My age is thirty years."):
        say(text)
    _, _, request, prompt_with_summary, second_request, last_prompt = model.prompts
    template = load_prompt("conversation-summary")
    assert request == [
        HumanMessage(template.format(turns="Person: I am Ada.\nReply: Yes.\nPerson: I like tents.\nReply: Yes."))
    ]
    assert prompt_with_summary[0] == SystemMessage("Be brief.\n\nEarlier in this conversation: Ada likes tents.")
    assert [message.text for message in prompt_with_summary[1:]] == ["Tell me all about yourself."]
    assert "Earlier in this conversation: Ada likes tents.\nPerson: Tell me all" in second_request[0].text
    assert last_prompt[0] == SystemMessage("Be brief.\n\nEarlier in this conversation: Ada is 30.")


def test_without_summarise_there_are_no_further_requests() -> None:
    model = scripted(["Yes."])
    graph = conversation(model, history_tokens=40)
    for _ in range(6):
        graph.invoke({"messages": [HumanMessage("I am Ada, and I like tents.")]}, THREAD)
    assert len(model.prompts) == 6


def test_a_summary_is_not_streamed_as_if_it_were_the_answer() -> None:
    model = scripted(["One.", "SUMMARY", "Two."])
    graph: Any = conversation(model, history_tokens=30, summarise=True)
    texts = []
    for text in ("I am Ada, and I like.", "Which do you like, say?"):
        turn = {"messages": [HumanMessage(text)]}
        texts.append("".join(chunk.text for chunk, _ in graph.stream(turn, THREAD, stream_mode="messages")))
    assert texts == ["One.", "Two."]


def test_a_turn_too_long_to_be_summarised_loses_its_oldest_part() -> None:
    model = scripted(["A" * 60, "Yes."], room=500)
    graph = conversation(model, summarise=True)
    graph.invoke({"messages": [HumanMessage("x" * 150 + "END")]}, THREAD)
    graph.invoke({"messages": [HumanMessage("y" * 180)]}, THREAD)
    assert all(sum(len(message.text) for message in prompt) <= 500 for prompt in model.prompts)


class Failing(Scripted):
    """A model that fails at its third question, the first summary."""

    def _call(self, messages: list[BaseMessage], *args: Any, **options: Any) -> str:
        if len(self.prompts) == 2:
            self.prompts.append(messages)
            raise errors.ModelFailed("falcon", "Out of memory.")
        return super()._call(messages, *args, **options)


def test_a_turn_whose_summary_fails_leaves_the_thread_unchanged_and_can_be_repeated() -> None:
    model = Failing(responses=["Yes.", "Yes.", "Ada likes tents.", "Yes."], prompts=[])
    graph = conversation(model, history_tokens=40, summarise=True)
    for text in ("I am Ada.", "I like tents."):
        graph.invoke({"messages": [HumanMessage(text)]}, THREAD)
    turn: Any = {"messages": [HumanMessage("Tell me all about yourself.")]}
    with pytest.raises(errors.ModelFailed):
        graph.invoke(turn, THREAD)
    assert len(graph.get_state(THREAD).values["messages"]) == 4
    graph.invoke(turn, THREAD)
    assert graph.get_state(THREAD).values["summary"] == "Ada likes tents."


def test_a_summary_over_its_limit_is_shortened_at_its_end() -> None:
    model = scripted(["Yes.", "S" * 5_000, "Yes."], room=600)
    graph = conversation(model, summarise=True)
    for number in range(8):
        graph.invoke({"messages": [HumanMessage(f"{number}" * 200)]}, {"configurable": {"thread_id": "long"}})
    assert all(sum(len(message.text) for message in prompt) <= 600 for prompt in model.prompts)
    unknown = scripted(["Yes.", "S" * 50_000])
    graph = conversation(unknown, history_tokens=20, summarise=True)
    for _ in range(3):
        graph.invoke({"messages": [HumanMessage("I am Ada, I am.")]}, THREAD)
    assert max(len(prompt[0].text) for prompt in unknown.prompts) < 4_000


def test_an_empty_summary_does_not_replace_the_previous_one() -> None:
    model = scripted(["Yes.", "Ada\x00 likes tents.", "Yes.", "", "Yes."])
    graph = conversation(model, history_tokens=20, summarise=True)
    for _ in range(3):
        graph.invoke({"messages": [HumanMessage("I am Ada, I am.")]}, THREAD)
    assert graph.get_state(THREAD).values["summary"] == "Ada likes tents."
    assert "Ada likes tents." in model.prompts[-1][0].text


def test_a_context_without_room_for_a_summary_is_refused_at_construction() -> None:
    with pytest.raises(
        ValueError, match=r"summarise: a summary may have 166 tokens, and a prompt no more than 150 here"
    ):
        conversation(scripted(["Yes."], room=150), summarise=True)
