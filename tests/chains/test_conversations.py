"""Conversations: the messages sent, remembered, and deleted by a reset."""

import asyncio
import json
from typing import Any

import pytest
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from sagechain.chains import conversation, reset
from sagechain.llms import load_chat_model, load_llm
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import load_prompt

from tests.conftest import FALCON_URI, LLAMA_URI

THREAD: RunnableConfig = {"configurable": {"thread_id": "a"}}
OTHER: RunnableConfig = {"configurable": {"thread_id": "b"}}


def say(graph: Any, text: str, thread: RunnableConfig = THREAD) -> str:
    answer: str = graph.invoke({"messages": [HumanMessage(text)]}, thread)["messages"][-1].text
    return answer


def sent(runtime: LocalRuntime) -> list[dict[str, str]]:
    dialog: list[dict[str, str]] = json.loads(runtime.requests[-1].body)["inputs"][0]
    return dialog


def test_earlier_turns_are_sent_until_a_reset(runtime: LocalRuntime) -> None:
    chat = load_chat_model(LLAMA_URI, accept_eula=True, max_new_tokens=60)
    graph = conversation(chat, system=load_prompt("chatbot").format())
    first, second = say(graph, "Hello! My name is Ada."), say(graph, "I live in Paris.")
    say(graph, "What is my name?")
    assert sent(runtime) == [
        {"role": "system", "content": "You are a helpful assistant. You remember what the user says."},
        {"role": "user", "content": "Hello! My name is Ada."},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "I live in Paris."},
        {"role": "assistant", "content": second},
        {"role": "user", "content": "What is my name?"},
    ]
    reset(graph, "a")
    say(graph, "What is my name?")
    assert sent(runtime)[1:] == [{"role": "user", "content": "What is my name?"}]


def test_threads_are_independent(runtime: LocalRuntime) -> None:
    graph = conversation(load_chat_model(FALCON_URI, max_new_tokens=4))
    say(graph, "My name is Ada.")
    say(graph, "Hello.", OTHER)
    assert "Ada" not in runtime.requests[-1].body.decode()
    assert len(graph.get_state(THREAD).values["messages"]) == 2


def test_the_system_text_is_sent_at_every_turn_and_not_stored_in_the_thread(runtime: LocalRuntime) -> None:
    graph = conversation(load_chat_model(FALCON_URI, max_new_tokens=4), system="Be brief.")
    for _ in range(2):
        say(graph, "Hi")
        assert json.loads(runtime.requests[-1].body)["inputs"].count("Be brief.") == 1
    assert {message.type for message in graph.get_state(THREAD).values["messages"]} == {"human", "ai"}


def test_a_plain_llm_streams_token_by_token_sync_and_async(runtime: LocalRuntime) -> None:
    graph: Any = conversation(load_llm(FALCON_URI, max_new_tokens=12))
    turn = {"messages": [HumanMessage("What is the capital of France?")]}
    pieces = [piece.text for piece, _ in graph.stream(turn, THREAD, stream_mode="messages")]
    assert len(pieces) > 5

    async def asynchronous() -> tuple[list[str], str]:
        parts: Any = graph.astream(turn, OTHER, stream_mode="messages")
        streamed = [piece.text async for piece, _ in parts]
        reset(graph, "b")
        whole = await graph.ainvoke(turn, OTHER)
        return streamed, whole["messages"][-1].text

    streamed, whole = asyncio.run(asynchronous())
    assert "".join(streamed).strip() == "".join(pieces).strip() == whole


def test_the_reply_is_an_assistants_message_also_over_any_other_llm() -> None:
    graph = conversation(FakeListLLM(responses=["Hello."]))
    reply = graph.invoke({"messages": [HumanMessage("Hi")]}, THREAD)["messages"][-1]
    assert (reply.type, reply.text) == ("ai", "Hello.")


def test_a_custom_checkpointer_stores_the_threads(runtime: LocalRuntime) -> None:
    keeper = InMemorySaver()
    model = load_chat_model(FALCON_URI, max_new_tokens=4)
    say(conversation(model, checkpointer=keeper), "My name is Ada.")
    say(conversation(model, checkpointer=keeper), "Hi")
    assert "Ada" in runtime.requests[-1].body.decode()


def test_resetting_a_graph_without_a_checkpointer_is_an_error(runtime: LocalRuntime) -> None:
    graph = conversation(load_chat_model(FALCON_URI))
    graph.checkpointer = None
    with pytest.raises(ValueError, match="it has no checkpointer"):
        reset(graph, "a")


@pytest.mark.parametrize("arguments", ["", None, "{broken", "[1]"])
def test_a_history_of_dicts_is_continued_whatever_its_calls_have_as_arguments(arguments: Any) -> None:
    graph = conversation(FakeListLLM(responses=["Hello."]))
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    history: list[Any] = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "r"},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "a"}]},
        {"role": "user", "content": "b"},
    ]
    graph.invoke({"messages": history}, THREAD)
    assert say(graph, "And now?") == "Hello."
    assert len(graph.get_state(THREAD).values["messages"]) == 8


@pytest.mark.parametrize("wrong", [{"role": "critic", "content": "x"}, {"role": "user"}, 5])
def test_what_is_not_a_message_is_named_and_leaves_the_thread_usable(wrong: Any) -> None:
    graph = conversation(FakeListLLM(responses=["Hello."]))
    say(graph, "Hi")
    with pytest.raises(ValueError, match=r"^messages\[1\]: "):
        graph.invoke({"messages": [HumanMessage("a"), wrong]}, THREAD)
    assert say(graph, "And now?") == "Hello."
    assert len(graph.get_state(THREAD).values["messages"]) == 4
