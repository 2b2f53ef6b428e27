"""Checkpoints in transformers: one call, many at once, streams, chance, beams; compared with transformers' own generate."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_huggingface import HuggingFacePipeline
from sagechain.llms import HuggingFaceLLM, errors, load_chat_model, load_llm
from sagechain.llms.local.transformers.engine import Engine

PROMPT = "the quick brown"
PROMPTS: list[Any] = ["the quick brown fox jumps over", "def", "café 日本語", "a b a b a b"]


def text(llm: HuggingFaceLLM, prompt: str = PROMPT, **parameters: Any) -> str:
    return llm.complete(prompt, **parameters)[0].text


def reference(llm: HuggingFaceLLM, prompt: str, **settings: Any) -> list[str]:
    """What transformers' own generate gives, of the prompt alone."""
    import torch

    ids = torch.tensor([llm.get_token_ids(prompt)])
    found = llm.pipeline.model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    return [llm._engine.decode(tokens[ids.shape[1] :].tolist()) for tokens in found]


# One call


def test_it_is_langchains_pipeline_and_transformers_own_is_in_it(tiny: HuggingFaceLLM) -> None:
    assert isinstance(tiny, HuggingFacePipeline)
    assert tiny.model_id == str(tiny.path)
    assert tiny.pipeline.model is tiny._engine.model
    assert (tiny._llm_type, tiny.display_name, tiny.context_size) == ("sagechain-hugging-face", "tiny-gpt2", 128)


def test_all_ways_of_asking_give_the_same_answer_without_the_prompt(tiny: HuggingFaceLLM) -> None:
    async def asynchronous() -> list[str]:
        whole = await tiny.ainvoke(PROMPT, max_new_tokens=20)
        return [whole, "".join([piece async for piece in tiny.astream(PROMPT, max_new_tokens=20)])]

    answers = [
        tiny.invoke(PROMPT, max_new_tokens=20),
        "".join(tiny.stream(PROMPT, max_new_tokens=20)),
        *tiny.batch([PROMPT, PROMPT], max_new_tokens=20),
        *asyncio.run(asynchronous()),
        *asyncio.run(asynchronous()),
    ]
    assert set(answers) == set(reference(tiny, PROMPT, max_new_tokens=20, do_sample=False))


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.8},
        {"no_repeat_ngram_size": 2},
        {"num_beams": 3},
        {"num_beams": 3, "num_return_sequences": 3, "early_stopping": True},
        {"num_beams": 4, "length_penalty": -3.0, "no_repeat_ngram_size": 1},
    ],
    ids=str,
)
def test_a_parameter_means_what_it_means_to_transformers(tiny: HuggingFaceLLM, settings: dict[str, Any]) -> None:
    for prompt in PROMPTS:
        ours = [answer.text for answer in tiny.complete(prompt, max_new_tokens=15, **settings)]
        assert ours == reference(tiny, prompt, max_new_tokens=15, do_sample=False, **settings)


def test_every_parameter_of_the_model_may_be_replaced_at_the_call(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    llm = load_llm(f"local:{gpt2}", max_new_tokens=3)
    assert isinstance(llm, HuggingFaceLLM)
    assert llm._engine is tiny._engine
    answer = text(tiny, max_new_tokens=8)
    assert llm.invoke(PROMPT) == text(tiny, max_new_tokens=3)
    assert llm.invoke(PROMPT, max_new_tokens=8) == answer
    assert llm.bind(max_new_tokens=8).invoke(PROMPT) == answer


def test_nothing_but_the_ends_is_taken_from_the_checkpoints_own_generation_settings(
    gpt2: Path, tiny: HuggingFaceLLM, tmp_path: Path
) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "set")
    own = {"do_sample": True, "temperature": 9.0, "max_new_tokens": 2, "repetition_penalty": 3.0, "eos_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(own))
    llm = loaded_exactly(folder)
    assert text(llm, max_new_tokens=20) == text(tiny, max_new_tokens=20)


def test_temperature_0_is_greedy_whatever_else_is_set(tiny: HuggingFaceLLM) -> None:
    greedy = text(tiny, max_new_tokens=12)
    assert text(tiny, max_new_tokens=12, temperature=0, do_sample=True, top_p=0.5, top_k=3) == greedy


def test_length_counts_prompt_and_answer(tiny: HuggingFaceLLM) -> None:
    asked = tiny.prompt_tokens(PROMPT)
    assert text(tiny, max_length=asked + 5) == text(tiny, max_new_tokens=5)
    [answer] = tiny.complete(PROMPT)
    assert answer.generation_info == {"finish_reason": "length", "input_tokens": asked, "output_tokens": 128 - asked}
    with pytest.raises(ValueError, match=f"it has {asked} tokens, 1 too many for an answer within max_length={asked}"):
        text(tiny, max_length=asked)


def test_the_full_text_is_the_prompt_and_the_answer(tiny: HuggingFaceLLM) -> None:
    assert text(tiny, max_new_tokens=5, return_full_text=True) == PROMPT + text(tiny, max_new_tokens=5)


# How an answer ends


def ending(gpt2: Path, folder: Path, after: int) -> tuple[HuggingFaceLLM, str]:
    """The tiny model, whose end token is now the one that it gives greedily after so many; and the text before it."""
    tokens = greedy_tokens(loaded_exactly(gpt2), after + 1)
    assert tokens[-1] not in tokens[:-1]
    shutil.copytree(gpt2, folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, tokens[-1]]}))
    llm = loaded_exactly(folder)
    return llm, llm._engine.decode(tokens[:-1])


def greedy_tokens(llm: HuggingFaceLLM, count: int) -> list[int]:
    import torch

    ids = torch.tensor([llm.get_token_ids(PROMPT)])
    found = llm._engine.model.generate(ids, max_new_tokens=count, do_sample=False)
    return [int(token) for token in found[0, ids.shape[1] :]]


def loaded_exactly(folder: Path) -> HuggingFaceLLM:
    """A checkpoint in float32 whatever the machine is."""
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sagechain.llms.local.transformers.engine.working_dtype", lambda: torch.float32)
        llm = load_llm(f"local:{folder}")
    assert isinstance(llm, HuggingFaceLLM)
    return llm


def test_an_answer_ends_at_an_end_token_which_is_counted_and_not_shown(gpt2: Path, tmp_path: Path) -> None:
    llm, expected = ending(gpt2, tmp_path / "ends", after=2)
    [answer] = llm.complete(PROMPT)
    assert answer.text == expected == "".join(llm.stream(PROMPT))
    info = {"finish_reason": "stop", "input_tokens": llm.prompt_tokens(PROMPT), "output_tokens": 3}
    assert answer.generation_info == info == list(llm.chunks(PROMPT))[-1].generation_info


def test_min_length_keeps_the_end_off_until_prompt_and_answer_have_so_many_tokens(gpt2: Path, tmp_path: Path) -> None:
    llm, _ = ending(gpt2, tmp_path / "ends", after=2)
    asked = llm.prompt_tokens(PROMPT)
    for prompts in ([PROMPT], [PROMPT, PROMPT * 3]):
        answer = llm.generate(prompts, min_length=asked + 9, max_new_tokens=30).generations[0][0]
        assert (answer.generation_info or {})["output_tokens"] > 9


def test_a_stop_string_is_cut_exactly_and_ends_the_work(tiny: HuggingFaceLLM) -> None:
    whole = text(tiny, max_new_tokens=30)
    for start, end in ((3, 4), (4, 9), (7, 15)):
        stop = whole[start:end]
        assert len(stop) == end - start
        [answer] = tiny.complete(PROMPT, [stop, "never there"])
        info = answer.generation_info or {}
        assert answer.text == whole[: whole.find(stop)] == "".join(tiny.stream(PROMPT, stop=[stop]))
        assert info["finish_reason"] == "stop"
        assert info["output_tokens"] < 30


def test_a_beam_ends_at_a_stop_string(tiny: HuggingFaceLLM) -> None:
    stop = text(tiny, max_new_tokens=30, num_beams=2, length_penalty=-3.0)[3:5]
    # So that the beam which ends there, being short, is the best.
    settings: dict[str, Any] = {"num_beams": 2, "max_new_tokens": 30, "length_penalty": -3.0}
    own = {"stop_strings": [stop], "tokenizer": tiny.pipeline.tokenizer, "do_sample": False}
    [expected] = reference(tiny, PROMPT, **settings, **own)
    assert stop in expected
    [answer] = tiny.complete(PROMPT, [stop], **settings)
    assert answer.text == expected[: expected.find(stop)]
    assert (answer.generation_info or {})["finish_reason"] == "stop"


def test_a_stop_string_that_is_a_special_token_ends_the_answer(gpt2: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    third = greedy_tokens(loaded_exactly(gpt2), 3)[2]
    folder = shutil.copytree(gpt2, tmp_path / "special")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    name = tokenizer.convert_ids_to_tokens(third)
    tokenizer.add_special_tokens({"additional_special_tokens": [name]})
    tokenizer.save_pretrained(folder)
    [answer] = loaded_exactly(folder).complete(PROMPT, [name])
    assert (answer.generation_info or {})["output_tokens"] == 3


# Chance


def test_a_seed_makes_chance_repeatable_and_leaves_other_random_numbers_alone(tiny: HuggingFaceLLM) -> None:
    import torch

    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first, again, other = (text(tiny, temperature=1.0, max_new_tokens=12, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    beams = [text(tiny, temperature=1.0, num_beams=2, max_new_tokens=12, seed=seed) for seed in (1, 1, 2)]
    assert beams[0] == beams[1] != beams[2]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert text(tiny, temperature=1.0, max_new_tokens=12) != text(tiny, temperature=1.0, max_new_tokens=12)


def test_the_answers_of_a_seed_are_those_of_the_seeds_after_it(tiny: HuggingFaceLLM) -> None:
    settings: dict[str, Any] = {"temperature": 0.8, "max_new_tokens": 10}
    for prompt in PROMPTS:
        together = [a.text for a in tiny.complete(prompt, seed=7, num_return_sequences=4, **settings)]
        assert together == [text(tiny, prompt, seed=seed, **settings) for seed in (7, 8, 9, 10)]


def test_tokens_are_drawn_with_the_probability_that_the_model_gives_them(tiny: HuggingFaceLLM) -> None:
    import torch

    with torch.no_grad():
        logits = tiny._engine.model(torch.tensor([tiny.get_token_ids(PROMPT)])).logits[0, -1]
    shares = (logits / 2).softmax(-1)
    likeliest = shares.argmax()
    name = tiny._engine.decode([int(likeliest)])
    drawn = [a.text for a in tiny.complete(PROMPT, temperature=2.0, max_new_tokens=1, num_return_sequences=400, seed=3)]
    # Four standard deviations of a binomial share of 400.
    deviation = 4 * float((shares[likeliest] * (1 - shares[likeliest]) / 400).sqrt())
    assert abs(drawn.count(name) / 400 - float(shares[likeliest])) < deviation


def test_top_k_and_top_p_leave_only_the_likeliest(tiny: HuggingFaceLLM) -> None:
    greedy = text(tiny, max_new_tokens=10)
    assert text(tiny, max_new_tokens=10, temperature=5.0, top_k=1) == greedy
    assert text(tiny, max_new_tokens=10, temperature=5.0, top_p=1e-6) == greedy


# How likely an answer was


def log_probabilities(llm: HuggingFaceLLM, tokens: list[int]) -> Any:
    """What the model gives to every next token, of shape (tokens, vocabulary)."""
    import torch

    with torch.no_grad():
        return llm._engine.model(torch.tensor([tokens])).logits[0].log_softmax(-1)


def test_the_likelihood_is_the_mean_log_probability_of_the_answers_tokens(tiny: HuggingFaceLLM) -> None:
    asked, answered = tiny.get_token_ids(PROMPT), greedy_tokens(tiny, 12)
    told = log_probabilities(tiny, asked + answered)[len(asked) - 1 : -1]
    expected = float(sum(told[place, token] for place, token in enumerate(answered))) / 12
    for llm in (tiny.with_fields(likelihood=True), tiny.with_fields(likelihood=True, context=len(asked) + 12)):
        for info in (
            llm.complete(PROMPT, max_new_tokens=12)[0].generation_info,
            list(llm.chunks(PROMPT, max_new_tokens=12))[-1].generation_info,
            llm.generate([PROMPT, "a"], max_new_tokens=12).generations[0][0].generation_info,
        ):
            assert info is not None
            assert info["likelihood"] == pytest.approx(expected, abs=1e-5)
            assert info["output_tokens"] == 12


def test_the_likelihood_is_the_models_own_whatever_changed_the_draw(tiny: HuggingFaceLLM) -> None:
    told = log_probabilities(tiny, tiny.get_token_ids(PROMPT))[-1]
    drawn = tiny.with_fields(likelihood=True).complete(
        PROMPT, num_return_sequences=20, seed=1, temperature=9.0, top_k=50, repetition_penalty=1.5, max_new_tokens=1
    )
    assert len({answer.text for answer in drawn}) > 3
    for answer in drawn:
        same = [float(told[token]) for token in range(400) if tiny._engine.decode([token]) == answer.text]
        likelihood = (answer.generation_info or {})["likelihood"]
        assert any(abs(likelihood - each) < 1e-5 for each in same)


def test_the_end_counts_and_what_comes_after_it_does_not(gpt2: Path, tmp_path: Path) -> None:
    llm, _ = ending(gpt2, tmp_path / "ends", after=2)
    asked, answered = llm.get_token_ids(PROMPT), greedy_tokens(loaded_exactly(gpt2), 3)
    told = log_probabilities(llm, asked + answered)[len(asked) - 1 : -1]
    expected = float(sum(told[place, token] for place, token in enumerate(answered))) / 3
    result = llm.with_fields(likelihood=True).generate([PROMPT, "a b a b"], max_new_tokens=30)
    assert (result.generations[0][0].generation_info or {})["likelihood"] == pytest.approx(expected, abs=1e-5)


def test_nothing_is_told_of_likelihood_unless_it_is_asked_for_and_of_beams_never(tiny: HuggingFaceLLM) -> None:
    for answer in (tiny.complete(PROMPT), tiny.with_fields(likelihood=True).complete(PROMPT, num_beams=2)):
        assert "likelihood" not in (answer[0].generation_info or {})
    assert tiny.with_fields(likelihood=True)._identifying_params != tiny._identifying_params


# Many at once


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"repetition_penalty": 1.8},
        {"no_repeat_ngram_size": 2},
        {"temperature": 1.0, "seed": 3},
        {"temperature": 1.0, "seed": 3, "num_return_sequences": 2, "top_k": 20, "top_p": 0.9},
        {"num_beams": 3, "num_return_sequences": 2, "repetition_penalty": 1.3},
        {"max_length": 40},
        {"stop": ["e"]},
    ],
    ids=str,
)
def test_a_batch_gives_what_single_calls_give_in_their_order(tiny: HuggingFaceLLM, settings: dict[str, Any]) -> None:
    limit: dict[str, Any] = {} if "max_length" in settings else {"max_new_tokens": 15}
    singly = [tiny.complete(prompt, **settings, **limit) for prompt in PROMPTS]
    together = tiny.generate(PROMPTS, **settings, **limit)
    later = asyncio.run(tiny.agenerate(PROMPTS, **settings, **limit))
    for result in (together, later):
        assert [[(a.text, a.generation_info) for a in answers] for answers in result.generations] == [
            [(a.text, a.generation_info) for a in answers] for answers in singly
        ]


def test_a_batch_up_to_the_context_gives_each_prompt_all_of_it(tiny: HuggingFaceLLM) -> None:
    result = tiny.generate([PROMPT * 10, "a"])
    for [answer] in result.generations:
        info = answer.generation_info or {}
        assert info["input_tokens"] + info["output_tokens"] == 128
    assert result.generations[1][0].text == text(tiny, "a")


def test_a_batch_is_one_generate_and_a_large_one_several(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    model = tiny._engine.model
    own = model.generate

    def counting(input_ids: Any, **settings: Any) -> Any:
        sizes.append(len(input_ids))
        return own(input_ids=input_ids, **settings)

    monkeypatch.setattr(model, "generate", counting)
    tiny.batch(PROMPTS, max_new_tokens=2)
    tiny.complete(PROMPT, num_return_sequences=10, temperature=1.0, max_new_tokens=2)
    tiny.with_fields(batch_size=3).batch(PROMPTS, max_new_tokens=2)
    assert sizes == [4, 10, 3, 1]


def test_threads_get_their_own_answers(tiny: HuggingFaceLLM) -> None:
    expected = {prompt: text(tiny, prompt, max_new_tokens=10) for prompt in PROMPTS}
    got: dict[str, list[str]] = {prompt: [] for prompt in PROMPTS}

    def ask(prompt: str) -> None:
        got[prompt].append(tiny.invoke(prompt, max_new_tokens=10))

    threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in PROMPTS * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {prompt: [answer] * 3 for prompt, answer in expected.items()}


# Streams, and what goes wrong


def test_a_stream_with_beams_is_one_piece(tiny: HuggingFaceLLM) -> None:
    [piece] = tiny.chunks(PROMPT, num_beams=2, max_new_tokens=8)
    assert piece.text == text(tiny, num_beams=2, max_new_tokens=8)
    assert (piece.generation_info or {})["output_tokens"] == 8


def test_leaving_a_stream_ends_the_work(tiny: HuggingFaceLLM) -> None:
    for _ in tiny.stream(PROMPT):
        break
    # A generate that had gone on would hold the lock for all of the context; join shows that its thread is over.
    for thread in threading.enumerate():
        if thread.name == "sagechain-hugging-face":
            thread.join()
    assert not tiny._engine.lock.locked()


async def test_a_cancelled_call_ends_the_work(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, cancelled, steps = threading.Event(), threading.Event(), 0
    forward = tiny._engine.model.forward

    def counting(*args: Any, **settings: Any) -> Any:
        nonlocal steps
        steps += 1
        begun.set()
        cancelled.wait(60)
        return forward(*args, **settings)

    monkeypatch.setattr(tiny._engine.model, "forward", counting)
    task = asyncio.create_task(tiny.agenerate(PROMPTS))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    cancelled.set()
    for thread in threading.enumerate():
        if thread.name == "sagechain-hugging-face":
            await asyncio.to_thread(thread.join)
    assert steps == 1


def failing_after(llm: HuggingFaceLLM, steps: int) -> Callable[..., Any]:
    forward = llm._engine.model.forward
    left = steps

    def fail(*args: Any, **settings: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return forward(*args, **settings)

    return fail


def test_a_failure_inside_is_a_model_failed_at_once(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny._engine.model, "forward", failing_after(tiny, 0))
    for ask in (lambda: tiny.invoke(PROMPT), lambda: list(tiny.stream(PROMPT)), lambda: tiny.batch(PROMPTS)):
        with pytest.raises(errors.ModelFailed, match="can't allocate memory") as caught:
            ask()
        assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_failure_in_a_stream_tells_what_had_been_shown(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny._engine.model, "forward", failing_after(tiny, 6))
    shown: list[str] = []
    with pytest.raises(errors.StreamInterrupted) as caught:
        shown.extend(tiny.stream(PROMPT))
    assert caught.value.partial_text == "".join(shown)
    assert isinstance(caught.value.__cause__, errors.ModelFailed)
    monkeypatch.undo()
    assert shown
    assert text(tiny, max_new_tokens=6).startswith("".join(shown))


@pytest.mark.parametrize(("prompts", "tokens"), [("a" * 200, 200), ("a" * 128, 128)])
def test_a_prompt_longer_than_the_context_is_refused(tiny: HuggingFaceLLM, prompts: str, tokens: int) -> None:
    message = f"it has {tokens} tokens, {tokens - 128} more than the context of 128; shorten it$"
    for ask in (lambda: tiny.invoke(prompts), lambda: tiny.batch(["a", prompts]), lambda: list(tiny.stream(prompts))):
        with pytest.raises(ValueError, match=message):
            ask()


def test_a_prompt_longer_than_the_tokenizers_own_limit_is_refused_without_a_warning(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "limited")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 64}))
    script = f"""
from sagechain.llms import load_llm
try:
    load_llm("local:{folder}").invoke("a" * 200)
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    message = "prompt: it has 200 tokens, 136 more than the context of 64; shorten it\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, message, "")


def test_more_answers_than_beams_are_refused(tiny: HuggingFaceLLM) -> None:
    with pytest.raises(ValueError, match="num_return_sequences=3: a search with num_beams=2 has no more answers"):
        tiny.complete(PROMPT, num_beams=2, num_return_sequences=3, temperature=1.0)


def test_a_program_may_end_in_the_middle_of_an_answer(gpt2: Path) -> None:
    script = f"""
from sagechain.llms import load_llm
stream = load_llm("local:{gpt2}").stream("{PROMPT}")
print(len(next(stream)) > 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_ctrl_c_ends_a_call(gpt2: Path) -> None:
    script = f"""
import signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from sagechain.llms import load_llm
llm = load_llm("local:{gpt2}")
forward = llm._engine.model.forward
def slow(*args, **settings):
    print("begun", flush=True)
    threading.Event().wait(0.2)
    return forward(*args, **settings)
llm._engine.model.forward = slow
try:
    llm.invoke("{PROMPT}")
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "interrupted" in rest
        assert rest.count("begun") < 20


# Loading


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_folder_that_is_no_checkpoint_is_refused_with_the_file_that_is_missing(
    gpt2: Path, tmp_path: Path, name: str
) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "broken")
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"'{folder}' is no checkpoint: there is no {name}"):
        load_llm(f"local:{folder}")


def test_a_missing_part_of_the_weights_is_named(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "parts")
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"there is no model-00001-of-00002\.safetensors in it"):
        load_llm(f"local:{folder}")


def test_weights_that_do_not_fit_are_not_filled_with_random_numbers(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "more")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layer": 3}))
    with pytest.raises(errors.ModelNotLoaded, match=r"weights are missing, transformer\.h\.2"):
        load_llm(f"local:{folder}")


def test_a_broken_checkpoint_cannot_be_loaded(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "broken")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(errors.ModelNotLoaded, match="transformers cannot load"):
        load_llm(f"local:{folder}")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?engine=llama.cpp", "engine: llama.cpp reads GGUF files, and .* is a folder"),
        ("?engine=transformer", "Did you mean 'transformers'"),
        ("?slots=2", "setting of transformers: 'slots' is unknown"),
        ("?contxt=2", "Did you mean 'context'"),
        ("?context=129", "context: 129 is more than the 128 that the model takes"),
        ("?context=0", "context"),
        ("?family=nobody", "nobody"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(gpt2: Path, tiny: HuggingFaceLLM, query: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_llm(f"local:{gpt2}{query}")


def test_a_shorter_context_may_be_asked_for(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    llm = load_llm(f"local:{gpt2}?context=32")
    assert llm.context_size == 32
    with pytest.raises(
        ValueError, match=r"1 more than the context of 32; shorten it, or load the model with \?context=…"
    ):
        llm.invoke("a" * 33)


def test_langchains_own_fields_work_or_are_refused(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    llm = HuggingFaceLLM(model_id=str(gpt2), pipeline_kwargs={"max_new_tokens": 4})  # type: ignore[call-arg]
    assert llm.invoke(PROMPT) == text(tiny, max_new_tokens=4)
    with pytest.raises(ValueError, match="model_kwargs: the weights are loaded from `path`"):
        HuggingFaceLLM(path=gpt2, model_kwargs={"dtype": "auto"})
    with pytest.raises(ValueError, match="pipeline_kwargs: 'max_tokens' is unknown"):
        HuggingFaceLLM(path=gpt2, pipeline_kwargs={"max_tokens": 4})


def test_models_over_one_folder_share_one_engine_until_its_files_change(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "shared")
    one, other = loaded_exactly(folder), loaded_exactly(folder)
    assert one._engine is other._engine
    assert one.with_fields(temperature=0.5)._engine is one._engine
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 1]}))
    assert loaded_exactly(folder)._engine is not one._engine


def test_what_an_answer_depends_on_is_in_the_key_of_langchains_cache(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    models = [tiny, tiny.with_fields(temperature=0.5), load_llm(f"local:{gpt2}?context=64")]
    assert len({json.dumps(model._identifying_params, sort_keys=True) for model in models}) == 3


@pytest.mark.parametrize("absent", ["torch", "transformers", "langchain_huggingface"])
def test_without_the_extra_one_line_says_how_to_get_it(gpt2: Path, absent: str) -> None:
    script = f"""
import sys
sys.modules[{absent!r}] = None
from sagechain.llms import errors, load_llm
try:
    load_llm("local:{gpt2}")
except errors.MissingExtra as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == 'this needs an extra: pip install "sagechain[transformers]"\n'


# Messages


def with_template(gpt2: Path, folder: Path, template: str) -> HuggingFaceLLM:
    shutil.copytree(gpt2, folder)
    (folder / "chat_template.jinja").write_text(template)
    return loaded_exactly(folder)


TEMPLATE = "<|endoftext|>{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"


def test_without_a_chat_template_messages_are_laid_out_plainly(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    assert not tiny.capabilities.takes_roles
    chat = load_chat_model(f"local:{gpt2}", max_new_tokens=3)
    assert getattr(chat, "family", None) == "plain"
    message = chat.invoke("Hi")
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 3


def test_messages_go_through_the_checkpoints_template_with_special_tags_broken(gpt2: Path, tmp_path: Path) -> None:
    llm = with_template(gpt2, tmp_path / "chat", TEMPLATE)
    assert llm.capabilities.takes_roles
    messages = [SystemMessage("Be brief."), HumanMessage("Hi<|endoftext|>"), AIMessage("Yes"), HumanMessage("Why?")]
    laid_out = "<system>Be brief.\n<user>Hi<\\|endoftext|>\n<assistant>Yes\n<user>Why?\n"
    assert llm._read(messages) == [0, *llm.get_token_ids(laid_out)]
    assert llm._read(messages).count(0) == 1
    [answer] = llm.complete(messages, max_new_tokens=4)
    assert (answer.generation_info or {})["input_tokens"] == llm.prompt_tokens(messages)


def test_a_template_that_refuses_the_messages_is_a_value_error(gpt2: Path, tmp_path: Path) -> None:
    llm = with_template(gpt2, tmp_path / "chat", "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(ValueError, match="the model's chat template refuses them: roles must alternate"):
        llm.complete([HumanMessage("Hi")])


def test_a_text_begins_once_and_a_template_by_itself(gpt2: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, processors

    folder = shutil.copytree(gpt2, tmp_path / "begins")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing("<|endoftext|> $A", None, [("<|endoftext|>", 0)])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": "<|endoftext|>"}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    llm = loaded_exactly(folder)
    assert llm.get_token_ids("Hi")[0] == 0
    assert llm.get_token_ids("<|endoftext|>Hi") == llm.get_token_ids("Hi")
    assert llm.text_tokens("Hi") == llm.prompt_tokens("Hi") - 1
    assert llm._read([HumanMessage("Hi")]).count(0) == 1


# GGUF


def test_a_gguf_is_converted_once_and_then_loaded_without_a_word(converted: HuggingFaceLLM, smollm2: Path) -> None:
    assert converted.display_name == smollm2.name
    assert isinstance(converted, HuggingFacePipeline)
    script = f"from sagechain.llms import load_llm; print(load_llm('local:{smollm2}?engine=transformers').context_size)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("8192\n", "")


def test_a_broken_gguf_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\x03" * 100)
    with pytest.raises(errors.ModelNotLoaded, match="transformers cannot read"):
        load_llm(f"local:{tmp_path}/broken.gguf?engine=transformers")
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_dir()] == ["sagechain", "models"]
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="is not a GGUF file"):
        load_llm(f"local:{tmp_path}/x.gguf?engine=transformers")


def test_an_engine_is_not_loaded_twice_by_two_threads(gpt2: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(gpt2, tmp_path / "twice")
    engines: list[Engine] = []
    models: list[HuggingFaceLLM] = []

    def load() -> None:
        models.append(HuggingFaceLLM(path=folder))
        engines.append(models[-1]._engine)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, engines))) == 1
