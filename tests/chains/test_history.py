"""The part of a long conversation that is sent: whole turns only, and never more than the model's context has room for."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from sagechain.chains import conversation, open_store
from sagechain.llms import LlamaCppLLM, PromptedChatModel, SageMakerLLM, load_llm
from sagechain.prompts import get_family

from tests.scripted_server import ScriptedServer

THREAD: RunnableConfig = {"configurable": {"thread_id": "a"}}
SYSTEM = "Answer in one word."
EXAMPLES = [("What is the capital of Italy?", "Rome."), ("And of Spain?", "Madrid.")]
WINDOW, ANSWER = 2048, 100


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer().running() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", server.url)
        answer = "Paris, which lies on the Seine."
        server.replies["text"] = [
            json.dumps([{"generated_text": f" {answer}", "details": {"finish_reason": "eos_token"}}]).encode()
        ]
        server.replies["roles"] = [json.dumps([{"generation": {"role": "assistant", "content": answer}}]).encode()]
        yield server


def question(number: int) -> str:
    """Turns of 10 to 200 tokens."""
    return f"Question {number}: " + "what is the capital of France? " * (1 + number * 7 % 25)


def dialog_of(text: str) -> list[tuple[str, str]]:
    """The turns of a Falcon transcript, without the system text."""
    lines = text.removesuffix("\nAssistant:").split("\n")[1:]
    return [(role, content) for role, content in (line.split(": ", 1) for line in lines)]


@pytest.mark.parametrize("counted", [True, False], ids=["tokenizer", "no tokenizer"])
@pytest.mark.parametrize("wire", ["tgi", "llama2-dialog"])
def test_a_conversation_of_60_turns_stays_within_its_window(
    server: ScriptedServer, llm: LlamaCppLLM, wire: str, counted: bool
) -> None:
    family = "falcon" if wire == "tgi" else "llama2"
    model = SageMakerLLM(
        endpoint_name="text" if wire == "tgi" else "roles",
        family=family,
        wire=wire,
        context=WINDOW,
        max_new_tokens=ANSWER,
        custom_get_token_ids=llm.get_token_ids if counted else None,
    )
    graph = conversation(model, system=SYSTEM, examples=EXAMPLES)
    for number in range(60):
        graph.invoke({"messages": [HumanMessage(question(number))]}, THREAD)
    examples = [turn for question, answer in EXAMPLES for turn in (("User", question), ("Assistant", answer))]
    beginnings, most = set(), 0
    assert len(server.requests) == 60
    for number, request in enumerate(server.requests):
        inputs = json.loads(request)["inputs"]
        if wire == "tgi":
            text, dialog = inputs, dialog_of(inputs)
            assert text.startswith(f"{SYSTEM}\nUser: ")
        else:
            [system, *turns] = inputs[0]
            assert system == {"role": "system", "content": SYSTEM}
            dialog = [("User" if turn["role"] == "user" else "Assistant", turn["content"]) for turn in turns]
            kinds: dict[str, Any] = {"User": HumanMessage, "Assistant": AIMessage}
            text = (
                get_family("llama2").render([SystemMessage(SYSTEM), *(kinds[r](content) for r, content in dialog)]).text
            )
        tokens = len(llm.get_token_ids(text))
        assert tokens <= WINDOW - ANSWER
        most = max(most, tokens)
        assert dialog[:4] == examples
        assert [role for role, _ in dialog] == ["User", "Assistant"] * (len(dialog) // 2) + ["User"]
        assert dialog[-1][1].strip() == question(number).strip()
        beginnings.add(dialog[4])
    if counted:
        assert most > 0.9 * (WINDOW - ANSWER)
        # Turns are dropped many at a time, so that a server's prompt cache serves between.
        assert len(beginnings) <= 20
    # The state does not contain trimmed messages either.
    assert len(graph.get_state(THREAD).values["messages"]) == len(dialog) - len(examples) + 1


def test_a_real_model_with_a_small_context_never_gets_more_than_its_context(llm: LlamaCppLLM, tmp_path: Path) -> None:
    small = load_llm(f"local:{llm.path}?context=256&slots=1", max_new_tokens=8)
    with open_store(tmp_path / "threads.sqlite") as store:
        graph = conversation(small, system=SYSTEM, examples=EXAMPLES, checkpointer=store)
        for number in range(12):
            graph.invoke({"messages": [HumanMessage(question(number % 3))]}, THREAD)
        assert len(store.transcript("a")) == 24


def test_a_turn_that_cannot_fit_is_refused_before_it_is_sent_and_not_stored(
    server: ScriptedServer, llm: LlamaCppLLM
) -> None:
    model = SageMakerLLM(
        endpoint_name="text", family="falcon", max_new_tokens=48, custom_get_token_ids=llm.get_token_ids
    )
    graph = conversation(model, history_tokens=50)
    with pytest.raises(
        ValueError, match=r"the last turn is 156 tokens too long for the 50 that a prompt may have here"
    ):
        graph.invoke({"messages": [HumanMessage("hello " * 200)]}, THREAD)
    assert server.requests == []
    assert graph.get_state(THREAD).values == {}
    graph.invoke({"messages": [HumanMessage("Hi")]}, THREAD)
    assert json.loads(server.requests[0])["inputs"] == "User: Hi\nAssistant:"


def test_history_tokens_limits_the_turns_and_not_the_system_text(server: ScriptedServer, llm: LlamaCppLLM) -> None:
    model = SageMakerLLM(endpoint_name="text", family="falcon", custom_get_token_ids=llm.get_token_ids)
    graph = conversation(model, system=SYSTEM, history_tokens=60)
    for number in range(6):
        graph.invoke({"messages": [HumanMessage(f"Question {number}?")]}, THREAD)
    first, last = (json.loads(request)["inputs"] for request in (server.requests[0], server.requests[-1]))
    assert first == f"{SYSTEM}\nUser: Question 0?\nAssistant:"
    assert last.startswith(f"{SYSTEM}\nUser: Question 4?\nAssistant: Paris")
    assert last.endswith("\nUser: Question 5?\nAssistant:")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"history_tokens": 0}, "history_tokens: 0 leaves no room for a turn"),
        ({"examples": [("only a question",)]}, r"examples\[0\]: give a pair of texts"),
        ({"examples": ["ab"]}, r"examples\[0\]: give a pair of texts"),
    ],
)
def test_invalid_settings_are_refused(llm: LlamaCppLLM, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        conversation(llm, **settings)


def test_a_call_without_a_new_turn_is_refused(llm: LlamaCppLLM) -> None:
    graph = conversation(PromptedChatModel(llm=llm, max_tokens=2))
    with pytest.raises(ValueError, match="messages: the list is empty"):
        graph.invoke({"messages": []}, THREAD)
