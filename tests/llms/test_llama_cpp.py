"""The embedded model in llama.cpp: what differs from transformers. What both engines share is in test_engines_agree.py."""

import asyncio
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import xllamacpp
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from sagechain.llms import LlamaCppLLM, errors, load_chat_model, load_llm
from sagechain.prompts import get_family

from tests import processes

FIRST_ORDINARY_TOKEN = 17  # SmolLM2's tokenizer: 0 to 16 are its special tokens
PROMPT = "User: What is the capital of France?\nAssistant:"
ANSWER = " The capital of France is Paris."


class RecordingServer:
    """xllamacpp's server, whose events are recorded."""

    events: ClassVar[list[Any]] = []
    started = 0
    _make_server = xllamacpp.Server

    def __init__(self, settings: Any) -> None:
        self._server = self._make_server(settings)
        type(self).started += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)

    def handle_completions(self, request: Any, listener: Callable[[Any], bool]) -> None:
        def record(event: Any) -> bool:
            self.events.extend(event if isinstance(event, list) else [event])
            return listener(event)

        self._server.handle_completions(request, record)


@pytest.fixture(scope="module")
def recorded(smollm2: Path) -> Iterator[LlamaCppLLM]:
    """The embedded model with one slot, over a RecordingServer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xllamacpp, "Server", RecordingServer)
        llm = load_llm(f"local:{smollm2}?slots=1&context=1024")
        assert isinstance(llm, LlamaCppLLM)
        yield llm


def test_every_method_gives_the_same_answer(llm: LlamaCppLLM) -> None:
    async def asynchronous() -> list[str]:
        whole = await llm.ainvoke(PROMPT, max_new_tokens=7)
        return [whole, "".join([chunk async for chunk in llm.astream(PROMPT, max_new_tokens=7)])]

    answers = [
        llm.invoke(PROMPT, max_new_tokens=7),
        "".join(llm.stream(PROMPT, max_new_tokens=7)),
        *llm.batch([PROMPT, PROMPT], max_new_tokens=7),
        *asyncio.run(asynchronous()),
        *asyncio.run(asynchronous()),
    ]
    assert set(answers) == {ANSWER}


def test_each_prompt_of_a_batch_gets_more_answers_than_there_are_slots(llm: LlamaCppLLM) -> None:
    settings: dict[str, Any] = {"num_return_sequences": 6, "temperature": 1.5, "max_new_tokens": 8, "seed": 3}
    assert llm.slots < 6
    answers = llm.generate(["Once upon a time", "Hi"], **settings).generations
    assert [len({answer.text for answer in each}) for each in answers] == [6, 6]
    again = llm.complete("Once upon a time", **settings)
    assert [answer.text for answer in again] == [answer.text for answer in answers[0]]


def test_models_over_one_file_load_it_once(recorded: LlamaCppLLM) -> None:
    started = RecordingServer.started
    other = load_llm(f"local:{recorded.path}?slots=1&context=1024&family=chatml", temperature=0.3)
    assert other.invoke(PROMPT, temperature=0, max_new_tokens=7) == ANSWER
    assert RecordingServer.started == started
    load_llm(f"local:{recorded.path}?slots=1&context=64")
    assert RecordingServer.started == started + 1


def test_the_likelihood_is_the_mean_log_probability_that_llama_cpp_reports(recorded: LlamaCppLLM) -> None:
    llm = recorded.with_fields(likelihood=True)
    for generate in (llm.complete, llm.chunks):
        RecordingServer.events.clear()
        info = list(generate(PROMPT, max_new_tokens=7))[-1].generation_info
        tokens = [
            token
            for event in RecordingServer.events
            for choice in event.get("choices", ())
            for token in (choice.get("logprobs") or {}).get("content") or ()
        ]
        assert len(tokens) == 7
        assert info is not None
        assert info["likelihood"] == pytest.approx(sum(token["logprob"] for token in tokens) / 7)
    several = llm.complete(PROMPT, max_new_tokens=3, temperature=2.0, seed=1, num_return_sequences=3)
    assert len({(each.generation_info or {})["likelihood"] for each in several}) == 3
    assert "likelihood" not in (recorded.complete(PROMPT, max_new_tokens=2)[0].generation_info or {})
    assert llm.asdict() != recorded.asdict()


def test_the_next_turn_is_read_from_the_end_of_the_last_one(recorded: LlamaCppLLM) -> None:
    first = "User: " + "Speak of the sea, the wind and the stars. " * 30
    recorded.invoke(first, max_new_tokens=1)
    RecordingServer.events.clear()
    recorded.invoke(first + "\nUser: And of ships.\nAssistant:", max_new_tokens=1)
    [usage] = [event["usage"] for event in RecordingServer.events if event.get("usage")]
    assert usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"] < 12 < usage["prompt_tokens"]


def test_a_closed_stream_frees_its_slot(recorded: LlamaCppLLM) -> None:
    for _ in recorded.stream("Once upon a time"):
        break
    # The only slot: this answer can't come before the work above has ended.
    assert recorded.invoke(PROMPT, max_new_tokens=7) == ANSWER


def test_loading_leaves_ctrl_c_to_python(smollm2: Path) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    loaded: list[Any] = []
    # From another thread, where Python's own `signal.signal` may not be called.
    thread = threading.Thread(target=lambda: loaded.append(load_llm(f"local:{smollm2}?slots=1&context=256")))
    thread.start()
    thread.join()
    signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT]
    assert loaded[0].invoke(PROMPT, max_new_tokens=7) == ANSWER


def test_a_program_may_exit_in_the_middle_of_an_answer(smollm2: Path) -> None:
    script = f"""
from sagechain.llms import load_llm
stream = load_llm("local:{smollm2}").stream("Once upon a time", max_new_tokens=1500)
print(next(stream))
"""
    done = processes.run("-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (0, ",\n", "")


def test_programs_may_exit_right_after_loading(smollm2: Path) -> None:
    script = f"from sagechain.llms import load_llm\nload_llm('local:{smollm2}?slots=1&context=64').context_size"
    # Several at once: on a busy machine llama.cpp's loop starts late.
    programs = [processes.start("-c", script) for _ in range(6)]
    try:
        assert [program.wait(timeout=240) for program in programs] == [0] * 6
    finally:
        for program in programs:
            program.kill()
            program.close()


def test_a_missing_or_broken_file_is_refused_at_load(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        load_llm(f"local:{tmp_path}/none.gguf")
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="is not a GGUF file"):
        load_llm(f"local:{tmp_path}/x.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\x03" * 100)
    with pytest.raises(errors.ModelNotLoaded, match="cannot load"):
        load_llm(f"local:{tmp_path}/broken.gguf")


def test_two_files_of_one_name_are_two_models(smollm2: Path, tmp_path: Path) -> None:
    copy = shutil.copyfile(smollm2, tmp_path / smollm2.name)
    one, other = (load_llm(f"local:{path}?slots=1&context=64") for path in (smollm2, copy))
    assert one.asdict() != other.asdict()


def test_a_chat_model_counts_tokens(smollm2: Path) -> None:
    message = load_chat_model(f"local:{smollm2}", max_new_tokens=3).invoke("Hi")
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 3


# Messages


def test_messages_go_through_the_models_template_with_special_tags_escaped(llm: LlamaCppLLM) -> None:
    assert llm.capabilities.takes_roles
    tagged, untagged = (
        llm.complete([HumanMessage(text)], max_new_tokens=1)[0].generation_info or {} for text in ("Hi<|im_end|>", "Hi")
    )
    # As structure the tag would be one token; as text it is several.
    assert tagged["input_tokens"] - untagged["input_tokens"] > 3


def test_max_length_counts_messages_in_the_models_template(llm: LlamaCppLLM) -> None:
    text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    tokens = len(llm.get_token_ids(text))
    with pytest.raises(ValueError, match=f"it has {tokens} tokens, 1 too many"):
        llm.complete([SystemMessage("Be brief."), HumanMessage("Hi")], max_length=tokens)


def test_a_special_tag_is_one_token_and_an_escaped_one_is_text(llm: LlamaCppLLM) -> None:
    assert len(llm.get_token_ids("<|im_start|>")) == 1
    assert len(llm.get_token_ids("<\\|im_start|>")) > 1


hostile = st.lists(
    st.sampled_from(["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<|IM_END|>", "\n", "system", " "])
    | st.text(max_size=5),
    max_size=6,
).map("".join)


@given(hostile, hostile, hostile)
def test_hostile_text_adds_no_special_token_and_our_chatml_is_the_models_own_template(
    llm: LlamaCppLLM, system: str, earlier_answer: str, question: str
) -> None:
    def messages(*texts: str) -> list[Any]:
        return [kind(text) for kind, text in zip((SystemMessage, AIMessage, HumanMessage), texts, strict=True)]

    def special(text: str) -> list[int]:
        return [token for token in llm.get_token_ids(text) if token < FIRST_ORDINARY_TOKEN]

    render = get_family("chatml").render
    prompt = render(messages(system, earlier_answer, question)).text
    assert special(prompt) == special(render(messages("a", "b", "c")).text)
    # The text itself is compared with transformers' template in test_engines_agree.py.
    assert llm.prompt_tokens(messages(system, earlier_answer, question)) == len(llm.get_token_ids(prompt))
