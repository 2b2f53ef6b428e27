"""The chatbot: requests with its examples, memory, and reset."""

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


def send(graph: Any, text: str) -> str:
    answer: str = graph.invoke({"messages": [HumanMessage(text)]}, THREAD)["messages"][-1].text
    return answer


def test_over_the_llama_2_wire_examples_come_first_then_the_conversation(runtime: LocalRuntime) -> None:
    graph = chain(
        load_chat_model(LLAMA_URI, accept_eula=True, max_new_tokens=3),
        system="Be kind.",
        examples=[("2 + 2?", "Four.")],
    )
    first = send(graph, "My name is Ada.")
    send(graph, "What is my name?")
    before = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "2 + 2?"},
        {"role": "assistant", "content": "Four."},
    ]
    question = {"role": "user", "content": "What is my name?"}
    remembered = [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": first}]
    assert json.loads(runtime.requests[-1].body)["inputs"] == [[*before, *remembered, question]]
    reset(graph, "a")
    send(graph, "What is my name?")
    assert json.loads(runtime.requests[-1].body)["inputs"] == [[*before, question]]


def test_over_the_falcon_wire_examples_are_turns_of_its_layout(runtime: LocalRuntime) -> None:
    send(chain(load_chat_model(FALCON_URI, max_new_tokens=3), examples=[("2 + 2?", "Four.")]), "Hi")
    body = json.loads(runtime.requests[-1].body)
    assert body["inputs"] == f"{SYSTEM}\nUser: 2 + 2?\nAssistant: Four.\nUser: Hi\nAssistant:"
    assert body["parameters"]["max_new_tokens"] == 3


def test_over_the_embedded_model_it_streams_and_saves_the_turn(llm: LlamaCppLLM) -> None:
    graph = chain(llm.with_fields(max_new_tokens=4))
    pieces = [
        piece.text for piece, _ in graph.stream({"messages": [HumanMessage("Hi")]}, THREAD, stream_mode="messages")
    ]
    messages = graph.get_state(THREAD).values["messages"]
    assert [message.type for message in messages] == ["human", "ai"]
    assert "".join(pieces).strip() == messages[-1].text


def test_the_script_shows_its_conversation_and_a_reset(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    done = run("llama2_chatbot", "-m", LLAMA_URI, "--accept-eula", "-p", "max_new_tokens=2")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 4
    assert done.stderr.splitlines()[-3:] == ["> /reset", "(forgotten)", "> What is my favourite colour?"]
    sent = [request.body.decode() for request in runtime.requests[before:]]
    assert ["green" in body for body in sent] == [True, True, True, False]


@pytest.mark.parametrize(("arguments", "stdin"), [(["Hi", "Ada"], ""), (["-i"], "Hi\nAda\n/exit\nnever\n")])
def test_turns_are_arguments_or_typed(runtime: LocalRuntime, arguments: list[str], stdin: str) -> None:
    before = len(runtime.requests)
    done = run("llama2_chatbot", *arguments, "-m", FALCON_URI, "-p", "max_new_tokens=1", input=stdin)
    assert done.returncode == 0
    assert [b"Ada" in request.body for request in runtime.requests[before:]] == [False, True]


def test_the_script_runs_over_the_embedded_model(llm: LlamaCppLLM) -> None:
    done = run("llama2_chatbot", "Hi", "-m", f"local:{llm.path}", "-p", "max_new_tokens=2")
    assert done.returncode == 0
    assert done.stdout.strip()
