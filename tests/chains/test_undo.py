"""The last turn of a thread is taken back, or replaced by another answer; and settings are stored with a thread."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from sagechain.chains import again, conversation, last_turn, open_store, reset, undo
from sagechain.llms import PromptedChatModel
from sagechain.llms.testing import ScriptedLLM

THREAD: RunnableConfig = {"configurable": {"thread_id": "ada"}}


def chat(*answers: str, **options: Any) -> PromptedChatModel:
    return PromptedChatModel(llm=ScriptedLLM(answers, **options))


def say(graph: Any, text: str) -> str:
    answer: str = graph.invoke({"messages": [HumanMessage(text)]}, THREAD)["messages"][-1].text
    return answer


def window(graph: Any) -> list[str]:
    return [message.text for message in graph.get_state(THREAD).values.get("messages", [])]


def transcript(store: Any) -> list[str]:
    return [entry.message.text for entry in store.transcript("ada")]


def test_turns_are_undone_one_after_another(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(chat("1", "2", "3"), checkpointer=store)
        for text in "abc":
            say(graph, text)
        assert [message.text for message in undo(graph, "ada")] == ["c", "3"]
        assert (window(graph), transcript(store)) == (["a", "1", "b", "2"], ["a", "1", "b", "2"])
        assert store.threads()[0].turns == 2
        undo(graph, "ada")
        assert [message.text for message in undo(graph, "ada")] == ["a", "1"]
        assert undo(graph, "ada") == []
        assert (window(graph), transcript(store), store.threads()) == ([], [], [])


def test_a_turn_after_an_undone_one_is_counted_and_sent_without_it(place: str) -> None:
    model = chat("1", "2", "3")
    with open_store(place) as store:
        graph = conversation(model, checkpointer=store)
        for text in ("a", "the secret"):
            say(graph, text)
        undo(graph, "ada")
        say(graph, "c")
        assert "secret" not in model.llm.prompts[-1]  # type: ignore[attr-defined]
        assert transcript(store) == ["a", "1", "c", "3"]
        assert [(entry.position, entry.turn) for entry in store.transcript("ada")] == [(0, 1), (1, 1), (2, 2), (3, 2)]


def test_another_answer_replaces_the_last_one(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(chat("1", "2", "another"), checkpointer=store)
        for text in "ab":
            say(graph, text)
        graph.invoke({"messages": again(last_turn(graph, "ada"))}, THREAD)
        assert (window(graph), transcript(store)) == (["a", "1", "b", "another"], ["a", "1", "b", "another"])


async def test_a_replacement_that_fails_leaves_the_thread_as_it_was(place: str) -> None:
    with open_store(place) as store:
        graph = conversation(chat("1", "2"), checkpointer=store)
        for text in "ab":
            say(graph, text)
        turn = last_turn(graph, "ada")
        with pytest.raises(ValueError, match="all 2 have been given"):
            graph.invoke({"messages": again(turn)}, THREAD)
        with pytest.raises(ValueError, match="all 2 have been given"):
            await graph.ainvoke({"messages": again(turn)}, THREAD)
        assert (window(graph), transcript(store)) == (["a", "1", "b", "2"], ["a", "1", "b", "2"])
        assert say(conversation(chat("3"), checkpointer=store), "c") == "3"
        assert transcript(store) == ["a", "1", "b", "2", "c", "3"]


def test_trimmed_turns_come_back(place: str) -> None:
    model = chat("1", "2", "3", context=60)
    with open_store(place) as store:
        graph = conversation(model, checkpointer=store)
        for text in ("a" + " a" * 11, "b" + " b" * 11, "c" + " c" * 25):
            say(graph, text)
        assert [text[0] for text in window(graph)] == ["c", "3"]
        undo(graph, "ada")
        assert [text[0] for text in window(graph)] == ["a", "1", "b", "2"]


def test_a_conversation_without_a_store_is_undone_too() -> None:
    graph = conversation(chat("1", "2"))
    for text in "ab":
        say(graph, text)
    undo(graph, "ada")
    assert window(graph) == ["a", "1"]


def test_settings_are_stored_with_a_thread_and_deleted_with_it(place: str) -> None:
    with open_store(place) as store:
        assert store.settings("ada") == {}
        store.set_settings("ada", {"model": "local:a"})
        store.set_settings("ada", {"model": "local:b", "parameters": {"stop": ["\n"]}})
        store.set_settings("ben", {"model": "local:c"})
    with open_store(place) as store:
        assert store.settings("ada") == {"model": "local:b", "parameters": {"stop": ["\n"]}}
        reset(conversation(chat("1"), checkpointer=store), "ada")
        assert (store.settings("ada"), store.settings("ben")) == ({}, {"model": "local:c"})
        assert store.threads() == []


def test_a_store_in_memory_leaves_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_store(":memory:") as store:
        graph = conversation(chat("1"), checkpointer=store)
        say(graph, "a")
        assert transcript(store) == ["a", "1"]
    with open_store(":memory:") as store:
        assert store.threads() == []
    assert list(tmp_path.iterdir()) == []
