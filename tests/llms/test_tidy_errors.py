"""Bad input is a ValueError of one line wherever it is given: to a constructor, with a request, or through LangChain."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.runnables import ConfigurableField
from sagechain.llms import GenerationParameters, PromptedChatModel, SageMakerLLM
from sagechain.llms.testing import ScriptedLLM


def text() -> ScriptedLLM:
    return ScriptedLLM(["one two three."] * 3)


def chat(**keywords: Any) -> PromptedChatModel:
    return PromptedChatModel(llm=text(), **keywords)


async def streamed(model: Any, **options: Any) -> list[Any]:
    return [part async for part in model.astream("x", **options)]


def search(query: str) -> str:
    """Search the catalogue."""
    return query


SCHEMA = {"title": "Offer", "type": "object"}
CONSTRUCTORS: list[Callable[..., Any]] = [
    GenerationParameters,
    ScriptedLLM,
    chat,
    lambda **given: SageMakerLLM(endpoint_name="e", family="falcon", region_name="eu-west-1", **given),
    lambda **given: SageMakerLLM(endpoint_name="e", family="falcon", region_name="eu-west-1", model_kwargs=given),
    lambda **given: text().with_fields(**given),
]
REQUESTS: list[Callable[..., Any]] = [
    lambda **given: text().invoke("x", **given),
    lambda **given: asyncio.run(text().ainvoke("x", **given)),
    lambda **given: list(text().stream("x", **given)),
    lambda **given: asyncio.run(streamed(text(), **given)),
    lambda **given: text().batch(["x", "y"], **given),
    lambda **given: text().generate(["x"], **given),
    lambda **given: text().bind(**given).invoke("x"),
    lambda **given: chat().invoke("x", **given),
    lambda **given: asyncio.run(chat().ainvoke("x", **given)),
    lambda **given: list(chat().stream("x", **given)),
    lambda **given: asyncio.run(streamed(chat(), **given)),
    lambda **given: chat().batch(["x", "y"], **given),
    lambda **given: chat().bind(**given).invoke("x"),
    lambda **given: chat().bind_tools([search], **given).invoke("x"),
    lambda **given: chat().with_structured_output(SCHEMA, **given).invoke("x"),
]


def refusal(use: Callable[[], Any]) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole message is compared
        use()
    assert type(caught.value) is ValueError
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("use", [*CONSTRUCTORS, *REQUESTS])
def test_a_misspelt_parameter_is_named_with_what_is_near_or_what_is_known(use: Callable[..., Any]) -> None:
    assert refusal(lambda: use(temprature=0.1)).endswith("'temprature' is unknown. Did you mean 'temperature'?")
    far = refusal(lambda: use(xyzzy=0.1))
    assert "'xyzzy' is unknown. Known: " in far
    assert "top_p" in far


@pytest.mark.parametrize("use", [*CONSTRUCTORS, *REQUESTS])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": "hot"}, "temperature: str is not a number of at least 0"),
        ({"temperature": -0.5}, "temperature: -0.5 is not a number of at least 0"),
        ({"top_p": 3}, "top_p: 3 is not a number above 0 and of at most 1"),
        ({"top_p": float("nan")}, "top_p: nan is not a number above 0 and of at most 1"),
        ({"length_penalty": float("inf")}, "length_penalty: inf is not a finite number"),
        ({"max_new_tokens": 2.5}, "tokens: 2.5 is not a whole number of at least 1"),
        ({"max_tokens": "3"}, "tokens: str is not a whole number of at least 1"),
        ({"do_sample": "yes"}, "do_sample: str is not True or False"),
        ({"stop": 3}, "stop: give a string or a list of strings, not 3"),
        ({"seed": -1, "top_k": "x"}, "top_k: str is not a whole number of at least 0; seed: -1 is not a whole number"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_may_be(
    use: Callable[..., Any], given: dict[str, Any], message: str
) -> None:
    assert message in refusal(lambda: use(**given))


@pytest.mark.parametrize("use", REQUESTS)
@pytest.mark.parametrize("name", ["timeout", "max_retries", "tokenizer"])
def test_what_belongs_to_the_model_is_not_an_unknown_name_of_a_request(use: Callable[..., Any], name: str) -> None:
    message = refusal(lambda: use(**{name: 3}))
    assert message.startswith(f"{name}: it belongs to the model, not to one request; give it when the model is loaded")


@pytest.mark.parametrize("model", [text(), chat()])
def test_a_misspelt_option_is_refused_when_it_is_bound(model: Any) -> None:
    assert "Did you mean 'max_tokens'" in refusal(lambda: model.bind(max_token=3))
    assert model.bind(stop=["two"], max_tokens=3, top_k=None).kwargs["max_tokens"] == 3


@pytest.mark.parametrize("model", [text(), chat()])
def test_with_config_refuses_what_langchain_would_ignore(model: Any) -> None:
    assert refusal(lambda: model.with_config(temperature=0.1)) == (
        "temperature: with_config has no inference parameters; write .bind(temperature=…)"
    )
    assert "Did you mean 'tags'" in refusal(lambda: model.with_config({"tag": ["a"]}))
    assert model.with_config(tags=["a"], run_name="mine").config["tags"] == ["a"]


@pytest.mark.parametrize("model", [text(), chat()])
def test_configurable_fields_name_what_is_known_instead_of_the_whole_model(model: Any) -> None:
    field = ConfigurableField(id="t")
    message = refusal(lambda: model.configurable_fields(temprature=field))
    assert message.startswith("configurable_fields: 'temprature' is unknown. Did you mean 'temperature'?")
    configurable = model.configurable_fields(temperature=field)
    assert refusal(lambda: configurable.with_config(configurable={"t": "hot"}).invoke("x")).startswith("temperature: ")


@pytest.mark.parametrize("model", [text(), chat()])
@pytest.mark.parametrize("given", [3, None, {"role": "user", "content": "x"}, b"x"])
def test_an_input_that_is_no_text_and_no_messages_is_a_value_error(model: Any, given: Any) -> None:
    start = f"input: {type(given).__name__} is neither text nor a list of messages"
    for use in (
        lambda: model.invoke(given),
        lambda: asyncio.run(model.ainvoke(given)),
        lambda: list(model.stream(given)),
        lambda: model.batch([given]),
    ):
        assert refusal(use).startswith(start)


@pytest.mark.parametrize("model", [text(), chat()])
def test_the_input_of_a_graph_is_not_that_of_a_model(model: Any) -> None:
    assert refusal(lambda: model.invoke({"messages": [("human", "x")]})).endswith("pass the list of its 'messages'")
    assert refusal(lambda: model.invoke([("hooman", "x")])).startswith("messages[0]: Unexpected message type: 'hooman'")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "llm: it is missing; give an LLM"),
        ({"llm": "local:smollm2"}, 'llm: str does not continue text; give an LLM, such as load_llm("local:smollm2")'),
        ({"llm": chat()}, "llm: PromptedChatModel does not continue text"),
        ({"llm": text(), "family": "lama2"}, "family: 'lama2' is unknown. Did you mean 'llama2'"),
        ({"llm": text(), "timeout": -1.0}, "timeout: -1.0 is not a number above 0 and of at most 86400"),
    ],
)
def test_a_chat_model_names_the_field_that_is_wrong(given: dict[str, Any], message: str) -> None:
    assert refusal(lambda: PromptedChatModel(**given)).startswith(message)


def test_tools_that_are_none_are_named() -> None:
    assert refusal(lambda: chat().bind_tools(search)) == "tools: function is not a list of tools; write [tool]"  # type: ignore[arg-type]
    assert refusal(lambda: chat().bind_tools(["search"])).startswith("tools: 'search' is not a tool; give a function")  # type: ignore[list-item]
