"""PromptedChatModel: a chat over sagechain's text models, over roles, and over any other LLM."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.fake import FakeListLLM, FakeStreamingListLLM
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import GenerationChunk
from langchain_core.rate_limiters import BaseRateLimiter
from sagechain.llms import LlamaCppLLM, PromptedChatModel, SageMakerLLM, errors, load_chat_model, load_llm
from sagechain.local_aws import LocalRuntime
from sagechain.prompts import get_family

from tests.conftest import FALCON, FALCON_URI, LLAMA_URI

TALK = [SystemMessage("Answer the question."), HumanMessage("What is the capital of France?")]


def test_over_a_text_wire_the_family_lays_out_the_prompt_and_its_stop_strings_are_sent(runtime: LocalRuntime) -> None:
    message = load_chat_model(FALCON_URI, max_new_tokens=20).invoke(TALK, stop=["Berlin"])
    assert message.text.startswith("The capital of France is Paris.")
    assert json.loads(runtime.requests[-1].body) == {
        "inputs": "Answer the question.\nUser: What is the capital of France?\nAssistant:",
        "parameters": {
            "max_new_tokens": 20,
            "stop": ["Berlin", "\nUser:", "<|endoftext|>"],
            "do_sample": False,
            "details": True,
        },
        "stream": False,
    }


def test_over_a_role_wire_the_messages_are_sent_as_they_are(runtime: LocalRuntime) -> None:
    chat = load_chat_model(LLAMA_URI, accept_eula=True, max_new_tokens=20)
    assert chat.invoke(TALK).text
    assert json.loads(runtime.requests[-1].body)["inputs"] == [
        [
            {"role": "system", "content": "Answer the question."},
            {"role": "user", "content": "What is the capital of France?"},
        ]
    ]


def test_whole_streamed_sync_and_async_answers_are_the_same(runtime: LocalRuntime) -> None:
    chat = load_chat_model(FALCON_URI, max_new_tokens=8)

    async def asynchronous() -> list[str]:
        chunks = [chunk.text async for chunk in chat.astream(TALK)]
        return [(await chat.ainvoke(TALK)).text, "".join(chunks)]

    answers = [chat.invoke(TALK).text, "".join(chunk.text for chunk in chat.stream(TALK))]
    assert len({*answers, *asyncio.run(asynchronous())}) == 1
    assert answers[0] == answers[0].strip()


@given(st.lists(st.text(" \nab", max_size=4), max_size=6))
def test_a_streamed_answer_has_no_blanks_around_it(texts: list[str]) -> None:
    class ChunkedLLM(FakeListLLM):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[GenerationChunk]:
            yield from (GenerationChunk(text=text) for text in [*texts, "."])

    streamed = PromptedChatModel(llm=ChunkedLLM(responses=["x"])).stream("Hi")
    assert "".join(chunk.text for chunk in streamed) == ("".join(texts) + ".").strip()


def test_the_constructors_settings_replace_the_llms(runtime: LocalRuntime) -> None:
    llm = load_llm(FALCON_URI, max_new_tokens=50)
    chat = PromptedChatModel(
        llm=llm, family="falcon", temperature=0.5, max_tokens=2, stop=["x"], timeout=30, max_retries=0
    )
    chat.invoke("Hi")
    sent = json.loads(runtime.requests[-1].body)["parameters"]
    assert (sent["temperature"], sent["max_new_tokens"]) == (0.5, 2)
    assert sent["stop"] == ["x", "\nUser:", "<|endoftext|>"]
    assert isinstance(chat.llm, SageMakerLLM)
    assert (chat.llm.timeout, chat.llm.max_retries) == (30, 0)
    assert chat.llm.client.meta.config.read_timeout == 30
    chat.invoke("Hi", max_tokens=1, temperature=0)
    sent = json.loads(runtime.requests[-1].body)["parameters"]
    assert (sent["max_new_tokens"], sent["do_sample"]) == (1, False)


def test_a_message_has_the_models_name_and_the_finish_reason(runtime: LocalRuntime) -> None:
    message = load_chat_model(FALCON_URI, max_new_tokens=2).invoke("Hi", model="mine")
    assert message.response_metadata == {
        "finish_reason": "length",
        "model_name": "mine",
        "model_provider": "sagechain",
        "endpoint": FALCON,
    }
    assert load_chat_model(FALCON_URI)._get_ls_params()["ls_model_name"] == FALCON


@pytest.mark.parametrize("uri", [FALCON_URI, LLAMA_URI, "local:smollm2"])
def test_traces_name_a_text_model_as_its_chat_model(runtime: LocalRuntime, uri: str) -> None:
    text, chat = load_llm(uri)._get_ls_params(), load_chat_model(uri)._get_ls_params()
    assert text["ls_provider"] == chat["ls_provider"] == "sagechain"
    assert text["ls_model_name"] == chat["ls_model_name"]


def test_any_other_llm_becomes_a_chat_model() -> None:
    chat = PromptedChatModel(llm=FakeListLLM(responses=["Hello."]))
    assert chat.family == "plain"
    message = chat.invoke("Hi")
    assert isinstance(message, AIMessage)
    assert (message.text, message.response_metadata["model_name"]) == ("Hello.", "fake-list")
    streamed = PromptedChatModel(llm=FakeStreamingListLLM(responses=["Hello."])).stream("Hi")
    assert [chunk.text for chunk in streamed][:3] == ["H", "e", "l"]

    async def asynchronous() -> list[str]:
        return [(await chat.ainvoke("Hi")).text, "".join([chunk.text async for chunk in chat.astream("Hi")])]

    assert asyncio.run(asynchronous()) == ["Hello.", "Hello."]


def test_bad_input_is_a_value_error_and_a_failure_an_llm_error(runtime: LocalRuntime) -> None:
    with pytest.raises(ValueError, match="family: 'falcn' is unknown"):
        PromptedChatModel(llm=FakeListLLM(responses=["x"]), family="falcn")
    before = len(runtime.requests)
    for wrong in ({"temperature": -1.0}, {"nonsense": 1}, {"max_tokens": 0}):
        with pytest.raises(ValueError, match=r"temperature|nonsense|max_new_tokens"):
            load_chat_model(FALCON_URI).invoke("Hi", **wrong)
    assert len(runtime.requests) == before
    with pytest.raises(errors.EulaNotAccepted):
        load_chat_model(LLAMA_URI).invoke("Hi")


def test_a_family_over_a_local_model_is_used(llm: LlamaCppLLM) -> None:
    prompt = get_family("falcon").render(TALK)
    chat = PromptedChatModel(llm=llm, family="falcon", max_tokens=7)
    message = chat.invoke(TALK)
    [expected] = llm.complete(prompt.text, prompt.stop, max_new_tokens=7)
    assert message.text == expected.text.strip()
    assert message.usage_metadata is not None
    assert message.usage_metadata["input_tokens"] == (expected.generation_info or {})["input_tokens"]


def test_the_chunks_of_a_stream_add_up_to_the_whole_message(llm: LlamaCppLLM) -> None:
    chat = PromptedChatModel(llm=llm, max_tokens=4)
    chunks = list(chat.stream("Hi"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    message = chat.invoke("Hi")
    assert (whole.text, whole.response_metadata) == (message.text, message.response_metadata)
    assert whole.usage_metadata == message.usage_metadata


def test_langchains_rate_limiter_is_acquired_before_each_request(llm: LlamaCppLLM) -> None:
    class CountingLimiter(BaseRateLimiter):
        acquired = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.acquired += 1
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            return self.acquire()

    limiter = CountingLimiter()
    chat = PromptedChatModel(llm=llm, max_tokens=1, rate_limiter=limiter)
    chat.invoke("Hi")
    list(chat.stream("Hi"))
    asyncio.run(chat.ainvoke("Hi"))
    assert limiter.acquired == 3


def test_a_stream_that_breaks_has_the_shown_text_in_its_error(
    llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"model": f"local:{llm.path}", "family": "falcon", "fault": "stream-reset", "frames": 2}
    with LocalRuntime({"faulty": model}) as runtime:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
        shown: list[str] = []
        with pytest.raises(errors.StreamInterrupted) as caught:  # noqa: PT012
            for chunk in load_chat_model("sagemaker:faulty?family=falcon").stream(TALK):
                shown.append(chunk.text)
        assert caught.value.partial_text == "".join(shown) == "The capital"


def test_stop_may_be_a_single_string(runtime: LocalRuntime) -> None:
    chat = load_chat_model(FALCON_URI, max_new_tokens=8)
    chat.invoke("Hi", stop="END")  # type: ignore[arg-type]  # LangChain's type is a list
    assert json.loads(runtime.requests[-1].body)["parameters"]["stop"] == ["END", "\nUser:", "<|endoftext|>"]


def test_tokens_are_counted_by_the_models_own_tokenizer_or_estimated(llm: LlamaCppLLM) -> None:
    local, remote = PromptedChatModel(llm=llm), load_chat_model(FALCON_URI)
    assert local.get_num_tokens("The capital of France") == len(llm.get_token_ids("The capital of France")) == 4
    assert local.get_num_tokens_from_messages(list(TALK)) == llm.prompt_tokens(list(TALK))
    assert remote.get_num_tokens("a") == 1
    assert remote.get_num_tokens("The capital of France") == 7  # an estimate: 21 bytes by 3
    assert PromptedChatModel(llm=FakeListLLM(responses=["x"])).get_num_tokens("Hi there") == 3
    profile = {"text_inputs": True, "text_outputs": True, "tool_calling": True, "tool_choice": True}
    assert local.profile == {**profile, "max_input_tokens": 1536, "max_output_tokens": 512}


@pytest.fixture
def hub(gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a tokenizer in the hub's cache."""
    snapshot = tmp_path / "models--someone--tiny" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("abc")
    shutil.copy(gpt2 / "tokenizer.json", snapshot)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return "someone/tiny"


def test_a_tokenizer_is_given_by_file_folder_or_name(runtime: LocalRuntime, gpt2: Path, hub: str) -> None:
    text, llm = "the quick brown fox", FakeListLLM(responses=["the fox"])
    for tokenizer in (gpt2, gpt2 / "tokenizer.json", hub):
        assert PromptedChatModel(llm=llm, tokenizer=tokenizer).get_num_tokens(text) == 4
        assert PromptedChatModel(llm=load_llm(FALCON_URI), tokenizer=tokenizer).get_num_tokens(text) == 4
        assert load_chat_model(f"{FALCON_URI}&tokenizer={tokenizer}").get_num_tokens(text) == 4
    message = PromptedChatModel(llm=llm, tokenizer=hub).invoke("the quick brown fox")
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 2


def test_a_tokenizer_that_cannot_be_loaded_is_a_clear_error(llm: LlamaCppLLM, tmp_path: Path, hub: str) -> None:
    fake = FakeListLLM(responses=["x"])
    with pytest.raises(ValueError, match=r"tokenizer: the file '/nowhere/tokenizer.json' does not exist"):
        PromptedChatModel(llm=fake, tokenizer="/nowhere/tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer.json' cannot be read"):
        PromptedChatModel(llm=fake, tokenizer=tmp_path)
    with pytest.raises(errors.ModelNotLoaded, match="'someone/other' cannot be downloaded from the hub"):
        PromptedChatModel(llm=fake, tokenizer="someone/other")
    with pytest.raises(ValueError, match=r"tokenizer: .* has its own"):
        PromptedChatModel(llm=llm, tokenizer=hub)


def test_usage_is_counted_with_a_tokenizer_if_the_server_does_not_report_it(
    runtime: LocalRuntime, llm: LlamaCppLLM
) -> None:
    prompt = "User: Hi\nAssistant:"
    falcon = SageMakerLLM(endpoint_name=FALCON, family="falcon", custom_get_token_ids=llm.get_token_ids)
    chat = PromptedChatModel(llm=falcon, max_tokens=5)
    prompt_tokens = llm.prompt_tokens(prompt)
    usage = {"input_tokens": prompt_tokens, "output_tokens": 5, "total_tokens": prompt_tokens + 5}
    message = chat.invoke("Hi")
    assert message.usage_metadata == usage
    streamed = [
        chunk.usage_metadata for chunk in chat.stream("Hi") if isinstance(chunk, AIMessage) and chunk.usage_metadata
    ]
    assert streamed == [usage]


def test_an_empty_answer_is_an_empty_message_whole_and_streamed() -> None:
    chat = PromptedChatModel(llm=FakeListLLM(responses=["  "]))
    assert chat.invoke("Hi").text == "".join(chunk.text for chunk in chat.stream("Hi")) == ""
