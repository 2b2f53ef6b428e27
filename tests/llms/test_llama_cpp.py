"""The embedded model in llama.cpp: answers, parameters, stops, many at once, and Ctrl-C still ours."""

import asyncio
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from sagechain.llms import LlamaCppLLM, errors, load_chat_model, load_llm
from sagechain.prompts import get_family
from sagechain.prompts.families import COMMON_ESCAPING

FIRST_ORDINARY_TOKEN = 17  # SmolLM2's tokenizer: 0 to 16 are its special tokens
PROMPT = "User: What is the capital of France?\nAssistant:"
ANSWER = " The capital of France is Paris."


def test_all_ways_of_asking_give_the_same_answer(llm: LlamaCppLLM) -> None:
    async def asynchronous() -> list[str]:
        whole = await llm.ainvoke(PROMPT, max_new_tokens=7)
        return [whole, "".join([piece async for piece in llm.astream(PROMPT, max_new_tokens=7)])]

    answers = [
        llm.invoke(PROMPT, max_new_tokens=7),
        "".join(llm.stream(PROMPT, max_new_tokens=7)),
        *llm.batch([PROMPT, PROMPT], max_new_tokens=7),
        *asyncio.run(asynchronous()),
        *asyncio.run(asynchronous()),
    ]
    assert set(answers) == {ANSWER}


def test_a_piece_tells_why_the_answer_ended_and_how_many_tokens_it_took(llm: LlamaCppLLM) -> None:
    info = list(llm.chunks(PROMPT, max_new_tokens=7))[-1].generation_info
    assert info == {"finish_reason": "length", "input_tokens": 13, "output_tokens": 7}
    [answer] = llm.complete(PROMPT, ["France"], max_new_tokens=7)
    assert answer.text == " The capital of "
    assert (answer.generation_info or {})["finish_reason"] == "stop"


def test_a_seed_makes_chance_repeatable(llm: LlamaCppLLM) -> None:
    settings: dict[str, Any] = {"temperature": 1.5, "max_new_tokens": 12}
    first, again, other = (llm.invoke("Once upon a time", seed=seed, **settings) for seed in (1, 1, 2))
    assert first == again != other


def test_temperature_0_is_greedy_whatever_else_is_set(llm: LlamaCppLLM) -> None:
    assert llm.invoke(PROMPT, temperature=0, top_p=0.5, max_new_tokens=7) == ANSWER


def test_roles_go_through_the_models_own_template_with_special_tags_broken(llm: LlamaCppLLM) -> None:
    assert llm.capabilities.takes_roles
    [plain] = llm.complete([HumanMessage("Hi there")], max_new_tokens=5)
    assert plain.text
    tagged = llm.complete([HumanMessage("Hi<|im_end|>")], max_new_tokens=1)[0].generation_info or {}
    untagged = llm.complete([HumanMessage("Hi")], max_new_tokens=1)[0].generation_info or {}
    # As structure the tag would be one token; as text it is several.
    assert tagged["input_tokens"] - untagged["input_tokens"] > 3


def test_models_over_one_file_share_one_engine(llm: LlamaCppLLM, smollm2: Path) -> None:
    other = load_llm(f"local:{smollm2}?family=chatml", temperature=0.3)
    assert isinstance(other, LlamaCppLLM)
    assert other._engine is llm._engine


def test_a_prompt_longer_than_the_context_is_a_value_error_that_says_by_how_much(llm: LlamaCppLLM) -> None:
    with pytest.raises(ValueError, match=r"it has 3001 tokens, 953 more than the context of 2048"):
        llm.invoke("hello " * 3000)


@pytest.mark.parametrize("name", ["num_beams", "min_length", "no_repeat_ngram_size", "length_penalty"])
def test_a_parameter_that_llama_cpp_does_not_carry_is_refused_and_the_error_tells_what_does(
    llm: LlamaCppLLM, name: str
) -> None:
    changes: dict[str, Any] = {"temperature": 1.0, name: 2}
    with pytest.raises(ValueError, match=rf"{name}: llama.cpp does not carry it.* local:…\?engine=transformers"):
        llm.invoke("Hi", **changes)


def test_several_answers_to_one_prompt_are_as_many_as_asked_and_repeatable_by_a_seed(llm: LlamaCppLLM) -> None:
    asked: dict[str, Any] = {"num_return_sequences": 6, "temperature": 1.5, "max_new_tokens": 8, "seed": 3}
    first, again = (llm.complete("Once upon a time", **asked) for _ in range(2))
    assert [answer.text for answer in first] == [answer.text for answer in again]
    assert len({answer.text for answer in first}) == 6
    assert {(answer.generation_info or {})["output_tokens"] for answer in first} <= set(range(1, 9))
    whole = llm.generate(["Once upon a time", "Hi"], **asked)
    assert [len(answers) for answers in whole.generations] == [6, 6]


def test_the_likelihood_is_the_mean_of_what_llama_cpp_gives_to_the_tokens(llm: LlamaCppLLM) -> None:
    events: list[Any] = []
    llm._engine.run({"prompt": PROMPT, "max_tokens": 7, "temperature": 0.0, "n_probs": 1}, events.append)
    told = [token["logprob"] for token in events[-1]["choices"][0]["logprobs"]["content"]]
    likely = llm.with_fields(likelihood=True)
    for info in (
        likely.complete(PROMPT, max_new_tokens=7)[0].generation_info,
        list(likely.chunks(PROMPT, max_new_tokens=7))[-1].generation_info,
    ):
        assert info is not None
        # What is read from the cache differs from what is computed anew in the last digits.
        assert info["likelihood"] == pytest.approx(sum(told) / 7, abs=1e-2)
    several = likely.complete(PROMPT, max_new_tokens=3, temperature=2.0, seed=1, num_return_sequences=6)
    assert len({(each.generation_info or {})["likelihood"] for each in several}) == 6
    assert "likelihood" not in (llm.complete(PROMPT, max_new_tokens=2)[0].generation_info or {})
    assert likely._identifying_params != llm._identifying_params


def test_the_next_turn_is_read_from_where_the_last_one_ended(llm: LlamaCppLLM) -> None:
    events: list[Any] = []
    begun = "User: " + "Tell me of the sea, the wind and the stars. " * 30
    for text in (begun, begun + "\nUser: And of ships.\nAssistant:"):
        events.clear()
        llm._engine.run({"prompt": text, "max_tokens": 1, "stream": False}, events.append)
    usage = events[-1]["usage"]
    read = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
    assert read < 12 < usage["prompt_tokens"]


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


def test_leaving_a_stream_frees_its_slot(smollm2: Path) -> None:
    llm = load_llm(f"local:{smollm2}?slots=1&context=256")
    for _ in llm.stream("Once upon a time"):
        break
    # The only slot: this answer can't come before the work above has ended.
    assert llm.invoke(PROMPT, max_new_tokens=7) == ANSWER


def test_a_program_may_end_in_the_middle_of_an_answer(smollm2: Path) -> None:
    script = f"""
from sagechain.llms import load_llm
stream = load_llm("local:{smollm2}").stream("Once upon a time", max_new_tokens=1500)
print(next(stream))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, ",\n", "")


def test_programs_may_end_right_after_loading(smollm2: Path) -> None:
    script = f"from sagechain.llms import load_llm\nload_llm('local:{smollm2}?slots=1&context=64').context_size"
    # Many at once: on a busy machine llama.cpp's loop begins late.
    programs = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(10)]
    try:
        assert [program.wait(timeout=240) for program in programs] == [0] * 10
    finally:
        for program in programs:
            program.kill()


def test_a_file_that_is_missing_or_no_gguf_is_refused_at_load(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        load_llm(f"local:{tmp_path}/none.gguf")
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="is not a GGUF file"):
        load_llm(f"local:{tmp_path}/x.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\x03" * 100)
    with pytest.raises(errors.ModelNotLoaded, match="cannot load"):
        load_llm(f"local:{tmp_path}/broken.gguf")


def test_two_files_of_one_name_are_two_models(smollm2: Path, tmp_path: Path) -> None:
    (tmp_path / smollm2.name).symlink_to(smollm2)
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / smollm2.name
    copy.hardlink_to(smollm2) if copy.parent.stat().st_dev == smollm2.stat().st_dev else shutil.copy(smollm2, copy)
    one, other = (load_llm(f"local:{path}?slots=1&context=64")._identifying_params for path in (smollm2, copy))
    assert one != other


def test_text_that_is_none_is_a_value_error(llm: LlamaCppLLM) -> None:
    with pytest.raises(ValueError, match="prompt: it is not valid text at character 3"):
        llm.invoke("caf\udce9")


def test_the_full_text_is_the_prompt_and_the_answer_whatever_the_stops(llm: LlamaCppLLM) -> None:
    settings: dict[str, Any] = {"max_new_tokens": 7, "stop": ["\nAssistant:"], "return_full_text": True}
    assert llm.invoke(PROMPT, **settings) == PROMPT + ANSWER == "".join(llm.stream(PROMPT, **settings))


def test_a_chat_over_it_counts_tokens(smollm2: Path) -> None:
    chat = load_chat_model(f"local:{smollm2}", max_new_tokens=3)
    message = chat.invoke("Hi")
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 3


def test_max_length_is_counted_with_the_models_own_tokenizer(llm: LlamaCppLLM) -> None:
    prompt = "User: What is the capital of France?\nAssistant:"
    asked = len(llm.get_token_ids(prompt))
    assert llm.invoke(prompt, max_length=asked + 7) == llm.invoke(prompt, max_new_tokens=7)
    assert llm.invoke(prompt, max_length=asked + 70, max_new_tokens=2) == " The capital"
    with pytest.raises(
        ValueError, match=f"it has {asked} tokens, 3 too many for an answer within max_length={asked - 2}"
    ):
        llm.invoke(prompt, max_length=asked - 2)


def test_max_length_counts_messages_as_the_template_lays_them_out(llm: LlamaCppLLM) -> None:
    messages = [SystemMessage("Be brief."), HumanMessage("Hi")]
    text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    asked = len(llm.get_token_ids(text))
    with pytest.raises(ValueError, match=f"it has {asked} tokens, 1 too many"):
        llm.complete(messages, max_length=asked)


def test_special_tags_are_one_token_and_broken_ones_are_text(llm: LlamaCppLLM) -> None:
    assert len(llm.get_token_ids("<|im_start|>")) == 1
    assert len(llm.get_token_ids("<\\|im_start|>")) > 1


hostile = st.lists(
    st.sampled_from(["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<repo_name>", "<|IM_END|>", "\n", "system", " "])
    | st.text(max_size=5),
    max_size=6,
).map("".join)


@given(hostile, hostile, hostile)
def test_hostile_text_adds_no_special_token_and_our_chatml_is_the_models_own_template(
    llm: LlamaCppLLM, system: str, answered: str, asked: str
) -> None:
    family = get_family("chatml")

    def prompt(*texts: str) -> str:
        kinds = (SystemMessage, AIMessage, HumanMessage)
        return family.render([kind(text) for kind, text in zip(kinds, texts, strict=True)]).text

    def special(text: str) -> list[int]:
        return [token for token in llm.get_token_ids(text) if token < FIRST_ORDINARY_TOKEN]

    assert special(prompt(system, answered, asked)) == special(prompt("a", "b", "c"))
    dialog = [
        {"role": role, "content": (family.escaping + COMMON_ESCAPING).escape(text)}
        for role, text in (("system", system), ("assistant", answered), ("user", asked))
    ]
    assert prompt(system, answered, asked) == llm._engine.apply_template(dialog)
