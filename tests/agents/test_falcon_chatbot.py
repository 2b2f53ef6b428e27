"""The uses of the library: the request of each, with examples or other values, and the chat that remembers."""

import json
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from sagechain.agents.falcon_chatbot import USES, chain, remembered
from sagechain.llms import LlamaCppLLM, load_chat_model
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import list_prompts, load_prompt

from tests.agents.scripts import run
from tests.conftest import FALCON_URI, LLAMA_URI


def example(use: str) -> dict[str, str]:
    return {name: variable["example"] for name, variable in load_prompt(use).metadata["variables"].items()}


def test_every_prompt_of_the_library_is_a_use_or_a_system_text() -> None:
    assert {*USES, "chatbot", "conversation-so-far", "conversation-summary", "shop-assistant"} == set(list_prompts())


@pytest.mark.parametrize("use", USES)
def test_over_the_falcon_wire_a_use_sends_its_prompt_with_its_default_parameters(
    runtime: LocalRuntime, use: str
) -> None:
    chain(load_chat_model(FALCON_URI, max_new_tokens=1), use).invoke(example(use))
    body = json.loads(runtime.requests[-1].body)
    prompt = load_prompt(use).format(**example(use))
    assert body["inputs"].replace("\n", " ").split() == f"User: {prompt}\nAssistant:".replace("\n", " ").split()
    defaults = load_prompt(use).metadata["parameters"]
    if defaults["temperature"]:
        expected = {**defaults, "max_new_tokens": 1, "do_sample": True}
    else:
        expected = {"max_new_tokens": 1, "do_sample": False}
    assert {name: value for name, value in body["parameters"].items() if name not in ("stop", "details")} == expected


def test_over_the_llama_2_wire_other_defaults_are_left_out(runtime: LocalRuntime) -> None:
    chain(load_chat_model(LLAMA_URI, accept_eula=True, max_new_tokens=1), "recipe").invoke(example("recipe"))
    body = json.loads(runtime.requests[-1].body)
    assert body["inputs"] == [[{"role": "user", "content": load_prompt("recipe").format(**example("recipe"))}]]
    assert body["parameters"] == {"max_new_tokens": 1, "temperature": 0.3, "top_p": 0.9}


def test_over_the_embedded_model_it_streams(llm: LlamaCppLLM) -> None:
    chunks = list(chain(llm.with_fields(max_new_tokens=3), "summary").stream({"text": "It rains."}))
    assert len(chunks) > 1


def test_a_missing_variable_is_named(llm: LlamaCppLLM) -> None:
    with pytest.raises(ValueError, match="prompt 'translation': missing text"):
        chain(llm, "translation").invoke({"language": "French"})


def test_the_chat_remembers(runtime: LocalRuntime) -> None:
    graph: Any = remembered(load_chat_model(FALCON_URI, max_new_tokens=1))
    for text in ("My name is Ada.", "Hello."):
        graph.invoke({"messages": [HumanMessage(text)]}, {"configurable": {"thread_id": "a"}})
    assert b"User: My name is Ada." in runtime.requests[-1].body


def test_the_script_shows_all_uses(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    done = run("falcon_chatbot", "-m", FALCON_URI, "-p", "max_new_tokens=1")
    assert done.returncode == 0
    assert [line[2:].partition(":")[0] for line in done.stderr.splitlines() if line.startswith("— ")] == list(USES)
    assert len(runtime.requests) == before + len(USES)


def test_the_script_shows_one_use_with_a_given_value(runtime: LocalRuntime) -> None:
    done = run("falcon_chatbot", "translation", "-v", "text=Good {day}.", "-m", FALCON_URI, "-p", "max_new_tokens=1")
    assert done.returncode == 0
    assert b"Good {day}." in runtime.requests[-1].body
    assert b"French" in runtime.requests[-1].body


def test_the_script_chats(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    typed = "My name is Ada.\nHi\n/reset\nHi\n"
    done = run("falcon_chatbot", "-i", "-m", FALCON_URI, "-p", "max_new_tokens=1", input=typed)
    assert done.returncode == 0
    assert [b"Ada" in request.body for request in runtime.requests[before:]] == [True, True, False]


def test_the_script_runs_over_the_embedded_model(llm: LlamaCppLLM) -> None:
    done = run("falcon_chatbot", "sentiment", "-m", f"local:{llm.path}", "-p", "max_new_tokens=2")
    assert done.returncode == 0
    assert done.stdout.strip()
