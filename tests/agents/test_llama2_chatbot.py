"""The chatbot: what is sent with its examples, what is remembered, and what a reset forgets."""

import json
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from sagechain.agents.llama2_chatbot import chain
from sagechain.chains import reset
from sagechain.llms import LlamaCppLLM, load_chat_model
from sagechain.local_aws import LocalRuntime

from tests.agents.scripts import run
from tests.conftest import FALCON_URI, LLAMA_URI

THREAD: Any = {"configurable": {"thread_id": "a"}}
SYSTEM = "You are a helpful assistant. You remember what the user says."


def say(graph: Any, text: str) -> str:
    answer: str = graph.invoke({"messages": [HumanMessage(text)]}, THREAD)["messages"][-1].text
    return answer


def test_over_the_llama_2_wire_examples_come_first_then_what_was_said(runtime: LocalRuntime) -> None:
    graph = chain(
        load_chat_model(LLAMA_URI, accept_eula=True, max_new_tokens=3),
        system="Be kind.",
        examples=[("2 + 2?", "Four.")],
    )
    first = say(graph, "My name is Ada.")
    say(graph, "What is my name?")
    before = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "Four."},
    ]
    asked = {"role": "user", "content": "What is my name?"}
    remembered = [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": first}]
    assert json.loads(runtime.requests[-1].body)["inputs"] == [[*before, *remembered, asked]]
    reset(graph, "a")
    say(graph, "What is my name?")
    assert json.loads(runtime.requests[-1].body)["inputs"] == [[*before, asked]]


def test_over_the_falcon_wire_examples_are_turns_of_its_layout(runtime: LocalRuntime) -> None:
    say(chain(load_chat_model(FALCON_URI, max_new_tokens=3), examples=[("2 + 2?", "Four.")]), "Hi")
    body = json.loads(runtime.requests[-1].body)
    assert body["inputs"] == f"{SYSTEM}\nUser: 2 + 2?\nAssistant: Four.\nUser: Hi\nAssistant:"
    assert body["parameters"]["max_new_tokens"] == 3


def test_over_the_embedded_model_it_streams_and_keeps_what_was_said(llm: LlamaCppLLM) -> None:
    graph = chain(llm.with_fields(max_new_tokens=4))
    pieces = [
        piece.text for piece, _ in graph.stream({"messages": [HumanMessage("Hi")]}, THREAD, stream_mode="messages")
    ]
    said = graph.get_state(THREAD).values["messages"]
    assert [message.type for message in said] == ["human", "ai"]
    assert "".join(pieces).strip() == said[-1].text


def test_the_script_shows_its_conversation_and_a_reset(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    done = run("llama2_chatbot", "-m", LLAMA_URI, "--accept-eula", "-p", "max_new_tokens=2")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr.splitlines()[-3:] == ["> /reset", "(forgotten)", "> What is my favourite colour?"]
    sent = [request.body.decode() for request in runtime.requests[before:]]
    assert ["green" in body for body in sent] == [True, True, True, False]


@pytest.mark.parametrize(("arguments", "stdin"), [(["Hi", "Ada"], ""), (["-i"], "Hi\nAda\n/exit\nnever\n")])
def test_turns_come_as_arguments_or_typed(runtime: LocalRuntime, arguments: list[str], stdin: str) -> None:
    before = len(runtime.requests)
    done = run("llama2_chatbot", *arguments, "-m", FALCON_URI, "-p", "max_new_tokens=1", input=stdin)
    assert done.returncode == 0
    assert [b"Ada" in request.body for request in runtime.requests[before:]] == [False, True]


def test_the_script_runs_over_the_embedded_model(llm: LlamaCppLLM) -> None:
    done = run("llama2_chatbot", "Hi", "-m", f"local:{llm.path}", "-p", "max_new_tokens=2")
    assert done.returncode == 0
    assert done.stdout.strip()
