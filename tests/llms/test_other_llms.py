"""PromptedChatModel over LLMs that are not sagechain's: stop strings, settings that they can and cannot honour, usage."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_aws.llms.sagemaker_endpoint import SagemakerEndpoint, enforce_stop_tokens
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake import FakeStreamingListLLM
from langchain_core.language_models.llms import LLM, BaseLLM
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from pydantic import PrivateAttr
from sagechain.chains import conversation
from sagechain.llms import FalconContentHandler, PromptedChatModel

from tests.scripted_server import ScriptedServer


class RecordingLLM(LLM):
    """Answers with a text, and records what arrives with each request."""

    text: str = "One.\nUser: two"
    _requests: list[dict[str, Any]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "recording"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        self._requests.append({**kwargs, "stop": stop})
        return self.text


class BareLLM(RecordingLLM):
    """Takes no settings with a request."""

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None) -> str:  # type: ignore[override]
        return self.text


class FieldLLM(BareLLM):
    """Has settings as fields."""

    temperature: float = 1.0
    max_tokens: int = 256

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None) -> str:  # type: ignore[override]
        return f"{self.temperature} {self.max_tokens}"


class NamedLLM(BareLLM):
    """Names a setting among its arguments, in every method."""

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, top_k: int = 0) -> str:  # type: ignore[override]
        return f"top {top_k}"


class PartlyLLM(RecordingLLM):
    """Its stream takes no settings."""

    def _stream(self, prompt: str, stop: Any = None, run_manager: Any = None) -> Iterator[GenerationChunk]:  # type: ignore[override]
        yield GenerationChunk(text=self.text)


class NoStopLLM(BareLLM):
    """As the custom LLM of LangChain's guide."""

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        if stop is not None:
            raise ValueError("stop kwargs are not permitted.")
        return self.text


class PatternLLM(BareLLM):
    """Reads stop strings as a regular expression, and in each chunk for itself, as langchain-aws's LLMs do."""

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None) -> str:  # type: ignore[override]
        return self.text if stop is None else enforce_stop_tokens(self.text, stop)

    def _stream(self, prompt: str, stop: Any = None, *args: Any, **kwargs: Any) -> Iterator[GenerationChunk]:
        for text in self.text.splitlines(keepends=True):
            yield GenerationChunk(text=text if stop is None else enforce_stop_tokens(text, stop))


class EndlessLLM(BareLLM):
    """Streams for ever; `closed` once its stream was closed."""

    _closed: list[str] = PrivateAttr(default_factory=list)

    def _stream(self, prompt: str, *args: Any, **kwargs: Any) -> Iterator[GenerationChunk]:
        try:
            while True:
                yield GenerationChunk(text="on and ")
        finally:
            self._closed.append("sync")

    async def _astream(self, prompt: str, *args: Any, **kwargs: Any) -> AsyncIterator[GenerationChunk]:
        try:
            while True:
                yield GenerationChunk(text="on and ")
        finally:
            self._closed.append("async")


def every_way(chat: PromptedChatModel, **options: Any) -> list[str]:
    """The answer whole and streamed, sync and async, and as one of several prompts."""

    async def asynchronous() -> list[str]:
        chunks = [chunk.text async for chunk in chat.astream("Hi", **options)]
        return [(await chat.ainvoke("Hi", **options)).text, "".join(chunks)]

    messages: list[list[BaseMessage]] = [[HumanMessage("Hi")], [HumanMessage("Ho")]]
    several = [each[0].text for each in chat.generate(messages, **options).generations]
    streamed = "".join(chunk.text for chunk in chat.stream("Hi", **options))
    return [chat.invoke("Hi", **options).text, streamed, *several, *asyncio.run(asynchronous())]


LLMS: list[BaseLLM] = [
    FakeListLLM(responses=["One. END Two.\nUser: more"]),
    FakeStreamingListLLM(responses=["One. END Two.\nUser: more"]),
    RecordingLLM(text="One. END Two.\nUser: more"),
    NoStopLLM(text="One. END Two.\nUser: more"),
    PatternLLM(text="One. END Two.\nUser: more"),
]


@pytest.mark.parametrize("llm", LLMS, ids=lambda llm: type(llm).__name__)
def test_stop_strings_of_family_model_and_call_are_cut_over_every_llm(llm: BaseLLM) -> None:
    assert set(every_way(PromptedChatModel(llm=llm, family="falcon"))) == {"One. END Two."}
    assert set(every_way(PromptedChatModel(llm=llm, family="falcon", stop=["END"]))) == {"One."}
    assert set(every_way(PromptedChatModel(llm=llm, family="falcon"), stop=["ne"])) == {"O"}
    assert PromptedChatModel(llm=llm, family="falcon").invoke("Hi").response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", ["<|im_end|>", "[/INST]", "(", "**", "?"])
def test_langchains_endpoint_llm_cuts_at_stop_strings_as_they_are(server: ScriptedServer, stop: str) -> None:
    server.replies["other"] = [json.dumps([{"generated_text": f"If a < b, IS it so{stop} Or not"}]).encode()]
    llm = SagemakerEndpoint(endpoint_name="other", region_name="us-east-1", content_handler=FalconContentHandler())
    assert PromptedChatModel(llm=llm).invoke("Hi", stop=[stop]).text == "If a < b, IS it so"
    assert set(every_way(PromptedChatModel(llm=PatternLLM(text=f"a < b\nIS{stop}x\ny")), stop=[stop])) == {"a < b\nIS"}


def test_stop_strings_are_sent_to_the_llm_too() -> None:
    llm = RecordingLLM()
    PromptedChatModel(llm=llm, family="falcon", stop=["END"]).invoke("Hi")
    assert llm._requests == [{"stop": ["END", "\nUser:", "<|endoftext|>"]}]


def test_a_stop_string_ends_the_stream_of_the_llm() -> None:
    llm = EndlessLLM()
    chat = PromptedChatModel(llm=llm, stop=["and on"])
    assert "".join(chunk.text for chunk in chat.stream("Hi")) == "on"

    async def asynchronous() -> str:
        return "".join([chunk.text async for chunk in chat.astream("Hi")])

    assert asyncio.run(asynchronous()) == "on"
    assert llm._closed == ["sync", "async"]


SETTINGS: dict[str, Any] = {
    "temperature": 0.5,
    "max_tokens": 5,
    "max_new_tokens": 5,
    "top_k": 3,
    "top_p": 0.5,
    "seed": 7,
    "num_return_sequences": 2,
}


@pytest.mark.parametrize(
    "llm", [BareLLM(), FakeListLLM(responses=["x"]), PartlyLLM()], ids=lambda llm: type(llm).__name__
)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_the_llm_cannot_honour_is_a_value_error_that_names_it(llm: BaseLLM, name: str) -> None:
    given = {name: SETTINGS[name]}
    with pytest.raises(ValueError, match=rf"{name}\b.*: {type(llm).__name__} cannot be given it"):
        PromptedChatModel(llm=llm, **given)
    chat = PromptedChatModel(llm=llm)

    async def astream() -> None:
        [_ async for _ in chat.astream("Hi", **given)]

    for use in (
        lambda: chat.invoke("Hi", **given),
        lambda: chat.bind(**given).invoke("Hi"),
        lambda: list(chat.stream("Hi", **given)),
        lambda: asyncio.run(astream()),
        lambda: asyncio.run(chat.ainvoke("Hi", **given)),
    ):
        with pytest.raises(ValueError, match=rf"{name}\b"):
            use()


@pytest.mark.parametrize("given", [{"timeout": 1.0}, {"max_retries": 3}, {"timeout": 1.0, "temperature": 0.5}])
def test_what_an_llm_reads_when_it_is_made_is_set_on_the_llm_itself(given: dict[str, Any]) -> None:
    class TimedLLM(FieldLLM):
        timeout: float = 9
        max_retries: int = 9

    for llm in (BareLLM(), RecordingLLM(), TimedLLM(), FakeListLLM(responses=["x"])):
        with pytest.raises(ValueError, match=r"(timeout|max_retries|temperature): .* set it on the LLM itself"):
            PromptedChatModel(llm=llm, **given)


def test_settings_are_fields_of_the_llm_or_arguments_of_its_requests() -> None:
    llm = FieldLLM()
    chat = PromptedChatModel(llm=llm, temperature=0.5, max_tokens=5)
    assert set(every_way(chat)) == {"0.5 5"}
    assert set(every_way(chat, max_new_tokens=7, temperature=0)) == {"0 7"}
    assert (llm.temperature, llm.max_tokens) == (1.0, 256)
    assert set(every_way(PromptedChatModel(llm=NamedLLM(), top_k=3))) == {"top 3"}
    recording = RecordingLLM()
    PromptedChatModel(llm=recording, family="chatml", temperature=0.5).invoke("Hi", max_tokens=5)
    [request] = recording._requests
    assert (request.pop("stop"), request) == (
        ["<|im_end|>", "<|endoftext|>"],
        {"temperature": 0.5, "max_new_tokens": 5},
    )


@pytest.mark.parametrize("own", [None, True])
def test_langchains_cache_does_not_answer_for_other_settings(monkeypatch: pytest.MonkeyPatch, own: bool | None) -> None:
    monkeypatch.setattr("langchain_core.globals._llm_cache", InMemoryCache())
    llm = RecordingLLM(cache=own)
    for temperature in (None, 0.5, 0.25, 0.5):
        PromptedChatModel(llm=llm).invoke("Hi", temperature=temperature)
        PromptedChatModel(llm=llm, temperature=temperature).invoke("Hi")
    assert {request.get("temperature") for request in llm._requests} == {None, 0.5, 0.25}
    assert len(llm._requests) < 8  # the chat model's own answers are cached


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_new_tokens": 0}, "max_tokens"),
        ({"top_p": 2}, "top_p"),
        ({"stop": [""]}, "empty stop string"),
        ({"max_tokens": 3, "max_new_tokens": 4}, "are one setting"),
    ],
)
def test_values_out_of_range_fail_at_construction_and_at_a_call(given: dict[str, Any], words: str) -> None:
    for llm in (RecordingLLM(), FieldLLM()):
        with pytest.raises(ValueError, match=words):
            PromptedChatModel(llm=llm, **given)
        if "stop" not in given:
            with pytest.raises(ValueError, match=words.replace("max_tokens", "max_(new_)?tokens")):
                PromptedChatModel(llm=llm).invoke("Hi", **given)


def test_only_what_an_llm_can_honour_is_asked_of_it_by_chains() -> None:
    chat = PromptedChatModel(llm=FakeListLLM(responses=["Hello."]))
    assert chat.honoured(temperature=0.0, max_tokens=5) == {}
    assert PromptedChatModel(llm=FieldLLM()).honoured(temperature=0.0, max_tokens=5, seed=1) == {
        "temperature": 0.0,
        "max_tokens": 5,
    }
    graph = conversation(chat, history_tokens=200, summarise=True)
    assert graph.invoke({"messages": [HumanMessage("Hi")]}, {"configurable": {"thread_id": "t"}})["messages"][-1].text


# Usage


class CountingLLM(BareLLM):
    """Reports token counts where OpenAI's, Bedrock's, Vertex' and Ollama's LLMs of LangChain report them."""

    generation_info: dict[str, Any] | None = None
    llm_output: dict[str, Any] | None = None

    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        generations = [[Generation(text="Yes.", generation_info=self.generation_info)] for _ in prompts]
        return LLMResult(generations=list(generations), llm_output=self.llm_output)


@pytest.mark.parametrize(
    "reported",
    [
        {"llm_output": {"token_usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}}},
        {"llm_output": {"usage": {"input_tokens": 9, "output_tokens": 4}, "stop_reason": "end"}},
        {"generation_info": {"usage_metadata": {"prompt_token_count": 9, "candidates_token_count": 4}}},
        {"generation_info": {"prompt_eval_count": 9, "eval_count": 4, "done": True}},
        {"generation_info": {"input_token_count": 9, "generated_token_count": 4}, "llm_output": {"token_usage": {}}},
    ],
)
def test_usage_is_what_the_llm_reports(reported: dict[str, Any]) -> None:
    chat = PromptedChatModel(llm=CountingLLM(**reported))
    usage = {"input_tokens": 9, "output_tokens": 4, "total_tokens": 13}
    assert chat.invoke("Hi").usage_metadata == usage
    whole, *chunks = chat.stream("Hi")
    for chunk in chunks:
        whole += chunk
    assert whole.usage_metadata == usage


@pytest.mark.parametrize(
    "output", [None, {}, {"token_usage": None}, {"token_usage": {"prompt_tokens": "9"}}, {"usage": 5}]
)
def test_usage_is_unknown_where_the_llm_reports_none(output: Any) -> None:
    assert PromptedChatModel(llm=CountingLLM(llm_output=output)).invoke("Hi").usage_metadata is None


def test_langchains_hugging_face_pipeline_gets_settings_in_its_own_form(gpt2: Path) -> None:
    pytest.importorskip("langchain_huggingface")
    from langchain_huggingface import HuggingFacePipeline

    llm = HuggingFacePipeline.from_model_id(str(gpt2), task="text-generation", pipeline_kwargs={"max_new_tokens": 3})
    chat = PromptedChatModel(llm=llm, max_tokens=1)
    assert len(chat.invoke("the fox", max_tokens=9).text) > len(chat.invoke("the fox").text)
    settings: list[Any] = [{"seed": 1}, {"num_return_sequences": 2}]
    for setting in settings:
        with pytest.raises(ValueError, match=f"{next(iter(setting))}: HuggingFacePipeline cannot be given it"):
            PromptedChatModel(llm=llm, **setting)


def test_langchains_hugging_face_pipeline_answers_without_the_prompt_and_samples_as_it_was_made(gpt2: Path) -> None:
    pytest.importorskip("langchain_huggingface")
    from langchain_huggingface import HuggingFacePipeline

    own = {"max_new_tokens": 6, "do_sample": True, "temperature": 9.0}
    llm = HuggingFacePipeline.from_model_id(str(gpt2), task="text-generation", pipeline_kwargs=own)
    for family in ("chatml", "llama2", "plain"):
        chat = PromptedChatModel(llm=llm, family=family, temperature=0.0)
        assert "the fox" not in chat.invoke("the fox").text
        assert chat.invoke("the fox").text == "".join(chunk.text for chunk in chat.stream("the fox"))
    asked: list[dict[str, Any]] = []
    call = llm.pipeline.__call__

    def record(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs)
        return call(*args, **kwargs)

    llm.pipeline = type("Recorded", (), {"task": "text-generation", "__call__": staticmethod(record)})()
    PromptedChatModel(llm=llm, max_tokens=2).invoke("the fox")
    PromptedChatModel(llm=llm, top_k=3).invoke("the fox")
    assert asked == [
        {"return_full_text": False, "max_new_tokens": 2},
        {"return_full_text": False, "top_k": 3, "do_sample": True},
    ]
