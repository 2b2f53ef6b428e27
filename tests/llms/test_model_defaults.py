"""A model's defaults stand in for what nobody gave: a system text, an answer limit, and control of repetition."""

import asyncio
import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessageChunk, BaseMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.runnables import ConfigurableField
from pydantic import Field
from sagechain.llms import ModelDefaults, PromptedChatModel, load_chat_model, load_llm
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON_URI

DEFAULTS = ModelDefaults(
    system="You are kind.", parameters={"max_new_tokens": 3, "repetition_penalty": 1.1, "temperature": 0.2}
)
KIND = "<|im_start|>system\nYou are kind.<|im_end|>\n"
HI = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
TOOL = {"name": "search", "description": "Search.", "parameters": {"type": "object", "properties": {}}}
COPIES: dict[str, Callable[[Any], Any]] = {
    "itself": lambda model: model,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


class Recorder(LLM):
    """An LLM that keeps the settings of its requests."""

    settings: list[dict[str, Any]] = Field(default_factory=list)

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        self.settings.append({name: kwargs[name] for name in sorted(kwargs)})
        return "Yes."

    @property
    def _llm_type(self) -> str:
        return "recorder"


def scripted(*answers: Any, **fields: Any) -> PromptedChatModel:
    return PromptedChatModel(llm=ScriptedLLM(answers or ("One two three four five.",)), defaults=DEFAULTS, **fields)


def prompts(chat: PromptedChatModel) -> list[str]:
    assert isinstance(chat.llm, ScriptedLLM)
    return chat.llm.prompts


def sent(chat: PromptedChatModel, **options: Any) -> dict[str, Any]:
    """The settings that a request sends."""
    assert isinstance(chat.llm, Recorder)
    chat.invoke("Hi", **options)
    return chat.llm.settings[-1]


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        (["Hi"], KIND + HI),
        ([("system", "Be brief."), "Hi"], "<|im_start|>system\nBe brief.<|im_end|>\n" + HI),
        ([("system", ""), "Hi"], "<|im_start|>system\n<|im_end|>\n" + HI),
        ([ChatMessage(content="Be brief.", role="system"), "Hi"], "<|im_start|>system\nBe brief.<|im_end|>\n" + HI),
    ],
)
def test_the_system_text_is_sent_unless_there_is_a_system_message(messages: list[Any], prompt: str) -> None:
    chat = scripted()
    chat.invoke(messages)
    assert prompts(chat) == [prompt]


def test_a_system_message_anywhere_replaces_the_systems_text() -> None:
    chat = scripted()
    chat.invoke([("human", "Hi"), ("ai", "Hi."), ("system", "Be brief."), ("human", "Hi")])
    assert "You are kind." not in prompts(chat)[0]


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_whole_streamed_and_asynchronous_answers_have_the_same_defaults(
    copied: Callable[[PromptedChatModel], PromptedChatModel],
) -> None:
    chat = copied(scripted(*["One two three four five."] * 4))

    async def stream() -> AIMessageChunk:
        chunks = [chunk async for chunk in chat.astream("Hi")]
        return sum(chunks[1:], chunks[0])

    chunks = list(chat.stream("Hi"))
    answers = [chat.invoke("Hi"), sum(chunks[1:], chunks[0])]
    answers += [asyncio.run(chat.ainvoke("Hi")), asyncio.run(stream())]
    assert {answer.text for answer in answers} == {"One two three"}
    assert {answer.response_metadata["finish_reason"] for answer in answers} == {"length"}
    assert prompts(chat) == [KIND + HI] * 4


def test_a_parameter_of_the_llm_the_chat_model_or_the_request_replaces_its_default() -> None:
    on_llm = PromptedChatModel(llm=ScriptedLLM(["One two."] * 2, max_new_tokens=1), defaults=DEFAULTS)
    assert on_llm.invoke("Hi").text == "One"
    assert scripted("One two.", max_tokens=2).invoke("Hi").text == "One two"
    assert scripted("One two.").invoke("Hi", max_tokens=1).text == "One"
    assert scripted("One two three four.", max_length=1000).invoke("Hi").text == "One two three four."


def test_every_default_is_sent_and_each_is_replaced_alone() -> None:
    chat = PromptedChatModel(llm=Recorder(), defaults=DEFAULTS)
    every = {"max_new_tokens": 3, "repetition_penalty": 1.1, "temperature": 0.2}
    assert sent(chat) == every
    assert sent(chat, temperature=0.0) == {**every, "temperature": 0.0}
    assert sent(PromptedChatModel(llm=Recorder(), defaults=DEFAULTS, repetition_penalty=1.0)) == {
        **every,
        "repetition_penalty": 1.0,
    }


def test_repetition_is_not_controlled_with_tools_or_a_schema() -> None:
    chat = PromptedChatModel(llm=Recorder(), defaults=DEFAULTS)
    without_penalty = {"max_new_tokens": 3, "temperature": 0.2}
    tools = [{"type": "function", "function": TOOL}]
    json_object = {"type": "json_object"}
    assert sent(chat, tools=tools) == sent(chat, response_format=json_object) == without_penalty
    assert sent(chat, tools=tools, repetition_penalty=1.3) == {**without_penalty, "repetition_penalty": 1.3}


def test_the_system_text_stands_before_the_description_of_tools() -> None:
    chat = scripted("No.")
    chat.bind_tools([TOOL]).invoke("Hi")
    assert prompts(chat)[0].startswith("<|im_start|>system\nYou are kind.\n\n")
    assert '"search"' in prompts(chat)[0]


def test_the_system_text_is_counted() -> None:
    chat = scripted()
    plain = PromptedChatModel(llm=ScriptedLLM())
    hi: list[BaseMessage] = [HumanMessage("Hi")]
    with_system = [SystemMessage("You are kind."), *hi]
    assert chat.get_num_tokens_from_messages(hi) == plain.get_num_tokens_from_messages(with_system)
    assert chat.get_num_tokens_from_messages(with_system) == plain.get_num_tokens_from_messages(with_system)


@pytest.mark.parametrize(("context", "room"), [(400, 397), (8, 6)])
def test_a_prompt_has_the_room_that_the_limit_leaves_and_three_quarters_at_least(context: int, room: int) -> None:
    chat = PromptedChatModel(llm=ScriptedLLM(["x"], context=context), defaults=DEFAULTS)
    assert chat.profile is not None
    assert chat.profile["max_input_tokens"] == room


def test_the_cache_tells_answers_with_other_defaults_apart() -> None:
    cache = InMemoryCache()
    llm = ScriptedLLM(["First.", "Second."])
    first = PromptedChatModel(llm=llm, cache=cache, defaults=DEFAULTS)
    second = PromptedChatModel(llm=llm, cache=cache, defaults=ModelDefaults(system="You are brief."))
    assert [chat.invoke("Hi").text for chat in (first, second, first)] == ["First.", "Second.", "First."]


def test_configured_fields_replace_defaults_and_leave_the_others() -> None:
    chat = scripted("One two three four.", "One two three four.")
    limited = chat.configurable_fields(max_tokens=ConfigurableField(id="limit"))
    assert limited.invoke("Hi", {"configurable": {"limit": 2}}).text == "One two"
    assert prompts(chat) == [KIND + HI]


def test_a_default_that_is_no_parameter_or_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="repetition_penalty"):
        ModelDefaults(parameters={"repetition_penalti": 1.1})
    with pytest.raises(ValueError, match="max_new_tokens"):
        ModelDefaults(parameters={"max_new_tokens": 0})


# The embedded model


def test_the_embedded_model_answers_a_question_of_fact(smollm2: Path) -> None:
    answer = load_chat_model("local:smollm2", max_new_tokens=12).invoke("What is the capital of France?")
    assert "Paris" in answer.text


def test_the_embedded_models_defaults_are_what_one_could_give_oneself(smollm2: Path) -> None:
    chat = load_chat_model("local:smollm2")
    assert isinstance(chat, PromptedChatModel)
    assert chat.defaults is not None
    assert chat.defaults.system
    parameters = chat.defaults.parameters.given()
    assert parameters["max_new_tokens"] == 512
    given = PromptedChatModel(llm=load_llm("local:smollm2", **{**parameters, "max_new_tokens": 24}))
    question = "Write a list of fruits."
    with_system: list[BaseMessage] = [SystemMessage(chat.defaults.system), HumanMessage(question)]
    answer = chat.invoke(question, max_tokens=24)
    assert answer.text == given.invoke(with_system).text
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == given.get_num_tokens_from_messages(with_system)


def test_neither_a_text_model_nor_an_endpoint_has_defaults(smollm2: Path, runtime: LocalRuntime) -> None:
    llm = load_llm("local:smollm2")
    assert llm.given() == {}
    over_llm = PromptedChatModel(llm=llm)
    hi: list[BaseMessage] = [HumanMessage("Hi")]
    assert over_llm.defaults is None
    assert over_llm.get_num_tokens_from_messages(hi) != load_chat_model("local:smollm2").get_num_tokens_from_messages(
        hi
    )
    chat = load_chat_model(FALCON_URI, max_new_tokens=1)
    chat.invoke("Hi")
    body = runtime.requests[-1].body
    assert b"repetition_penalty" not in body
    assert b'"inputs": "User: Hi\\nAssistant:"' in body


def test_a_file_is_not_the_catalogues_model(smollm2: Path) -> None:
    chat = load_chat_model(f"local:{smollm2}")
    assert isinstance(chat, PromptedChatModel)
    assert chat.defaults is None
