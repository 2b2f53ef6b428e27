"""The keywords of `load_llm`, `load_chat_model` and `PromptedChatModel`: one word is good in every place."""

import json
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.runnables import ConfigurableField
from sagechain.llms import GenerationParameters, LlamaCppLLM, PromptedChatModel, SageMakerLLM, load_chat_model, load_llm
from sagechain.llms.testing import ScriptedLLM

from tests.scripted_server import ScriptedServer

FALCON = "sagemaker:e?family=falcon"


def endpoint_chat(**keywords: Any) -> tuple[PromptedChatModel, SageMakerLLM]:
    chat = load_chat_model(FALCON, **keywords)
    assert isinstance(chat, PromptedChatModel)
    assert isinstance(chat.llm, SageMakerLLM)
    return chat, chat.llm


def test_the_keywords_of_langchains_models_are_good_here_too() -> None:
    class Counter(BaseCallbackHandler):
        started = 0

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.started += 1

    counter = Counter()
    chat, llm = endpoint_chat(
        max_tokens=3,
        streaming=True,
        callbacks=[counter],
        verbose=True,
        max_concurrency=2,
        tags=["a"],
        metadata={"team": "b"},
        name="mine",
        rate_limiter=InMemoryRateLimiter(),
        credentials_profile_name=None,
        endpoint_kwargs={"SessionId": "s"},
        region_name="eu-west-1",
        tokenizer=None,
        top_k=5,
    )
    assert (chat.streaming, chat.callbacks, chat.verbose, chat.tags, chat.name) == (
        True,
        [counter],
        True,
        ["a"],
        "mine",
    )
    assert (chat.metadata or {})["team"] == "b"
    assert (llm.max_new_tokens, llm.top_k, llm.max_concurrency, llm.endpoint_kwargs) == (3, 5, 2, {"SessionId": "s"})
    assert llm.client.meta.region_name == "eu-west-1"


def test_settings_of_a_uri_may_be_keywords() -> None:
    llm = load_llm(
        "sagemaker:e", family="falcon", wire="lmi", region="eu-west-1", component="c", variant="v", context=99
    )
    assert isinstance(llm, SageMakerLLM)
    assert (llm.wire, llm.inference_component_name, llm.variant_name, llm.context) == ("lmi", "c", "v", 99)
    assert load_llm(FALCON, family="falcon", context=64).family == "falcon"  # twice, and equal


def test_local_models_ignore_the_keywords_of_endpoints(llm: LlamaCppLLM) -> None:
    ignored: dict[str, Any] = {
        "tokenizer": "a/b",
        "client": None,
        "accept_eula": True,
        "region_name": "x",
        "streaming": True,
    }
    local = load_llm(
        f"local:{llm.path}", **ignored, endpoint_kwargs={"a": 1}, max_tokens=3, max_concurrency=2, tags=["t"]
    )
    assert (local.max_new_tokens, local.max_concurrency, local.tags) == (3, 2, ["t"])


LIMITS: list[Any] = [{"max_tokens": 2}, {"max_new_tokens": 2}, {"max_tokens": 2, "max_new_tokens": 2}]


@pytest.mark.parametrize("limit", LIMITS)
def test_max_tokens_is_max_new_tokens_in_every_place(limit: dict[str, Any], server: ScriptedServer) -> None:
    server.replies["e"] = [b'[{"generated_text": "Paris", "details": {"finish_reason": "length"}}]']

    def sent(use: Any) -> Any:
        use()
        return json.loads(server.requests[-1])["parameters"]["max_new_tokens"]

    chat, llm = endpoint_chat()
    places = [
        load_llm(FALCON, **limit).max_new_tokens,
        SageMakerLLM(endpoint_name="e", family="falcon", **limit).max_new_tokens,
        SageMakerLLM(endpoint_name="e", family="falcon", model_kwargs=limit).max_new_tokens,
        GenerationParameters(**limit).max_new_tokens,
        llm.with_fields(**limit).max_new_tokens,
        PromptedChatModel(llm=llm, **limit).max_tokens,
        sent(lambda: load_chat_model(FALCON, **limit).invoke("Hi")),
        sent(lambda: llm.invoke("Hi", **limit)),
        sent(lambda: llm.bind(**limit).invoke("Hi")),
        sent(lambda: chat.invoke("Hi", **limit)),
        sent(lambda: chat.bind(**limit).invoke("Hi")),
        sent(lambda: PromptedChatModel(llm=llm, **limit).invoke("Hi")),
        sent(lambda: load_chat_model(FALCON, max_tokens=9).invoke("Hi", **limit)),
    ]
    assert places == [2] * len(places)


def test_both_limits_that_differ_are_a_value_error_in_every_place() -> None:
    chat, llm = endpoint_chat()
    both: dict[str, Any] = {"max_tokens": 2, "max_new_tokens": 3}
    for use in (
        lambda: load_llm(FALCON, **both),
        lambda: load_chat_model(FALCON, **both),
        lambda: SageMakerLLM(endpoint_name="e", family="falcon", **both),
        lambda: GenerationParameters(**both),
        lambda: PromptedChatModel(llm=llm, **both),
        lambda: llm.invoke("Hi", **both),
        lambda: chat.invoke("Hi", **both),
        lambda: chat.bind(max_tokens=2).invoke("Hi", max_new_tokens=3),
    ):
        with pytest.raises(ValueError, match=r"max_tokens: 2 and max_new_tokens=3 are one setting"):
            use()


@pytest.mark.parametrize("word", ["max_tokens", "max_new_tokens"])
def test_the_chat_models_parameters_are_configurable_fields(word: str) -> None:
    llm = ScriptedLLM(["one two three four"] * 4, family="chatml", max_new_tokens=3)
    chat = PromptedChatModel(llm=llm, max_tokens=4)
    field, stop = ConfigurableField(id="limit"), ConfigurableField(id="stop")
    configurable = chat.configurable_fields(**{word: field}, stop=stop, top_k=ConfigurableField(id="k"))
    assert configurable.invoke("Hi").text == "one two three four"
    assert configurable.with_config(configurable={"limit": 2}).invoke("Hi").text == "one two"
    assert configurable.with_config(configurable={"limit": 2, "stop": ["two"], "k": 3}).invoke("Hi").text == "one"
    with pytest.raises(ValueError, match="top_k"):
        configurable.with_config(configurable={"k": -1}).invoke("Hi")


@pytest.mark.parametrize("word", ["max_tokens", "max_new_tokens"])
def test_the_text_models_limit_is_a_configurable_field_by_both_words(word: str) -> None:
    llm = ScriptedLLM(["one two three four"] * 2, max_new_tokens=3)
    configurable = llm.configurable_fields(**{word: ConfigurableField(id="limit")})
    assert configurable.invoke("Hi") == "one two three"
    assert configurable.with_config(configurable={"limit": 2}).invoke("Hi") == "one two"


def test_an_unknown_parameter_of_a_chat_model_is_answered_with_each_known_one_once() -> None:
    with pytest.raises(ValueError, match="parameter: 'colour' is unknown") as caught:
        load_chat_model(FALCON, colour=1)  # type: ignore[call-arg]
    known = str(caught.value).partition("Known: ")[2].split(", ")
    assert len(known) == len(set(known))


def test_a_configured_chat_model_makes_no_new_client(monkeypatch: pytest.MonkeyPatch) -> None:
    _, llm = endpoint_chat()
    chat = PromptedChatModel(llm=llm, timeout=9.0, max_retries=1)
    assert isinstance(chat.llm, SageMakerLLM)
    assert chat.llm.client is not llm.client  # its read time-out is another one
    changed = chat.llm.with_fields(max_new_tokens=4, family="plain", max_retries=7)
    assert changed.client is chat.llm.client
    assert changed.with_fields(timeout=4.0).client is not chat.llm.client
    made: list[object] = []
    monkeypatch.setattr("boto3.Session.client", lambda *args, **kwargs: made.append(args))
    configurable = chat.configurable_fields(max_tokens=ConfigurableField(id="limit"))
    with pytest.raises(ValueError, match="temperature"):  # refused before the request
        configurable.with_config(configurable={"limit": 2}).invoke("Hi", temperature=-1.0)
    assert made == []
