"""One prompt in transformers: parameters, ends and random draws, compared with transformers' own `generate`."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from langchain_huggingface import HuggingFacePipeline
from sagechain.llms import HuggingFaceLLM, load_llm

from tests.llms.checkpoints import (
    PROMPT,
    PROMPTS,
    changed_copy,
    decode,
    ending_checkpoint,
    generate_tokens,
    greedy_tokens,
    load_exactly,
    text,
)


def reference(llm: HuggingFaceLLM, prompt: str = PROMPT, **settings: Any) -> list[str]:
    """The answers of transformers' own `generate`."""
    return [decode(llm, tokens) for tokens in generate_tokens(llm, prompt, do_sample=False, **settings)]


def test_it_is_a_hugging_face_pipeline_with_transformers_own_inside(tiny: HuggingFaceLLM) -> None:
    assert isinstance(tiny, HuggingFacePipeline)
    assert tiny.model_id == str(tiny.path)
    assert tiny.pipeline("a", max_new_tokens=1)
    assert (tiny.display_name, tiny.context_size) == ("tiny-gpt2", 128)


def test_every_method_gives_the_same_answer_without_the_prompt(tiny: HuggingFaceLLM) -> None:
    async def asynchronous() -> list[str]:
        whole = await tiny.ainvoke(PROMPT, max_new_tokens=20)
        return [whole, "".join([chunk async for chunk in tiny.astream(PROMPT, max_new_tokens=20)])]

    answers = [
        tiny.invoke(PROMPT, max_new_tokens=20),
        "".join(tiny.stream(PROMPT, max_new_tokens=20)),
        *tiny.batch([PROMPT, PROMPT], max_new_tokens=20),
        *asyncio.run(asynchronous()),
        *asyncio.run(asynchronous()),
    ]
    assert set(answers) == set(reference(tiny, max_new_tokens=20))


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
        assert ours == reference(tiny, prompt, max_new_tokens=15, **settings)


def test_a_call_may_replace_every_parameter_of_the_model(gpt2: Path, tiny: HuggingFaceLLM) -> None:
    llm = load_llm(f"local:{gpt2}", max_new_tokens=3)
    answer = text(tiny, max_new_tokens=8)
    assert llm.invoke(PROMPT) == text(tiny, max_new_tokens=3)
    assert llm.invoke(PROMPT, max_new_tokens=8) == answer
    assert llm.bind(max_new_tokens=8).invoke(PROMPT) == answer


def test_of_the_checkpoints_generation_settings_only_the_end_tokens_are_used(
    gpt2: Path, tiny: HuggingFaceLLM, tmp_path: Path
) -> None:
    own = {"do_sample": True, "temperature": 9.0, "max_new_tokens": 2, "repetition_penalty": 3.0, "eos_token_id": 0}
    llm = load_exactly(changed_copy(gpt2, tmp_path / "set", generation_config=own))
    assert text(llm, max_new_tokens=20) == text(tiny, max_new_tokens=20)


def test_temperature_0_is_greedy_whatever_else_is_set(tiny: HuggingFaceLLM) -> None:
    greedy = text(tiny, max_new_tokens=12)
    assert text(tiny, max_new_tokens=12, temperature=0, do_sample=True, top_p=0.5, top_k=3) == greedy


def test_max_length_counts_prompt_and_answer(tiny: HuggingFaceLLM) -> None:
    prompt_tokens = tiny.prompt_tokens(PROMPT)
    assert text(tiny, max_length=prompt_tokens + 5) == text(tiny, max_new_tokens=5)
    [answer] = tiny.complete(PROMPT)
    assert answer.generation_info == {
        "finish_reason": "length",
        "input_tokens": prompt_tokens,
        "output_tokens": 128 - prompt_tokens,
    }
    message = f"it has {prompt_tokens} tokens, 1 too many for an answer within max_length={prompt_tokens}"
    with pytest.raises(ValueError, match=message):
        text(tiny, max_length=prompt_tokens)


def test_the_full_text_is_the_prompt_and_the_answer(tiny: HuggingFaceLLM) -> None:
    assert text(tiny, max_new_tokens=5, return_full_text=True) == PROMPT + text(tiny, max_new_tokens=5)


def test_more_answers_than_beams_are_refused(tiny: HuggingFaceLLM) -> None:
    with pytest.raises(ValueError, match="num_return_sequences=3: a search with num_beams=2 has no more answers"):
        tiny.complete(PROMPT, num_beams=2, num_return_sequences=3, temperature=1.0)


# Ends


def test_an_answer_ends_at_an_end_token_which_is_counted_and_not_shown(gpt2: Path, tmp_path: Path) -> None:
    llm, expected = ending_checkpoint(gpt2, tmp_path / "ends", after=2)
    [answer] = llm.complete(PROMPT)
    assert answer.text == expected == "".join(llm.stream(PROMPT))
    info = {"finish_reason": "stop", "input_tokens": llm.prompt_tokens(PROMPT), "output_tokens": 3}
    assert answer.generation_info == info == list(llm.chunks(PROMPT))[-1].generation_info


def test_min_length_bans_the_end_token_until_prompt_and_answer_are_that_long(gpt2: Path, tmp_path: Path) -> None:
    llm, _ = ending_checkpoint(gpt2, tmp_path / "ends", after=2)
    min_length = llm.prompt_tokens(PROMPT) + 9
    for prompts in ([PROMPT], [PROMPT, PROMPT * 3]):
        answer = llm.generate(prompts, min_length=min_length, max_new_tokens=30).generations[0][0]
        assert (answer.generation_info or {})["output_tokens"] > 9


def test_an_answer_is_cut_at_a_stop_string_and_the_work_ends(tiny: HuggingFaceLLM) -> None:
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
    # The length penalty makes the beam that ends there the best, because it is short.
    settings: dict[str, Any] = {"num_beams": 2, "max_new_tokens": 30, "length_penalty": -3.0}
    stop = text(tiny, **settings)[3:5]
    [expected] = reference(tiny, **settings, stop_strings=[stop], tokenizer=tiny.pipeline.tokenizer)
    assert stop in expected
    [answer] = tiny.complete(PROMPT, [stop], **settings)
    assert answer.text == expected[: expected.find(stop)]
    assert (answer.generation_info or {})["finish_reason"] == "stop"


def test_a_stop_string_that_is_a_special_token_ends_the_answer(gpt2: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    third = greedy_tokens(load_exactly(gpt2), 3)[2]
    folder = shutil.copytree(gpt2, tmp_path / "special")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    name = tokenizer.convert_ids_to_tokens(third)
    tokenizer.add_special_tokens({"additional_special_tokens": [name]})
    tokenizer.save_pretrained(folder)
    [answer] = load_exactly(folder).complete(PROMPT, [name])
    assert (answer.generation_info or {})["output_tokens"] == 3


# Random draws


def test_a_seed_makes_answers_repeatable_and_leaves_other_random_numbers_alone(tiny: HuggingFaceLLM) -> None:
    import torch

    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    first, again, other = (text(tiny, temperature=1.0, max_new_tokens=12, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    beams = [text(tiny, temperature=1.0, num_beams=2, max_new_tokens=12, seed=seed) for seed in (1, 1, 2)]
    assert beams[0] == beams[1] != beams[2]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert text(tiny, temperature=1.0, max_new_tokens=12) != text(tiny, temperature=1.0, max_new_tokens=12)


def test_answer_n_of_a_seed_is_the_answer_of_the_nth_following_seed(tiny: HuggingFaceLLM) -> None:
    settings: dict[str, Any] = {"temperature": 0.8, "max_new_tokens": 10}
    for prompt in PROMPTS:
        together = [answer.text for answer in tiny.complete(prompt, seed=7, num_return_sequences=4, **settings)]
        assert together == [text(tiny, prompt, seed=seed, **settings) for seed in (7, 8, 9, 10)]


def test_tokens_are_drawn_with_the_probability_that_the_model_gives_them(tiny: HuggingFaceLLM) -> None:
    import torch

    with torch.no_grad():
        logits = tiny.pipeline.model(torch.tensor([tiny.get_token_ids(PROMPT)])).logits[0, -1]
    probability, likeliest = (logits / 2).softmax(-1).max(-1)
    answers = tiny.complete(PROMPT, temperature=2.0, max_new_tokens=1, num_return_sequences=400, seed=3)
    frequency = [answer.text for answer in answers].count(decode(tiny, [int(likeliest)])) / 400
    # Four standard deviations of a binomial frequency of 400.
    assert abs(frequency - float(probability)) < 4 * float((probability * (1 - probability) / 400).sqrt())


def test_top_k_and_top_p_leave_only_the_likeliest_tokens(tiny: HuggingFaceLLM) -> None:
    greedy = text(tiny, max_new_tokens=10)
    assert text(tiny, max_new_tokens=10, temperature=5.0, top_k=1) == greedy
    assert text(tiny, max_new_tokens=10, temperature=5.0, top_p=1e-6) == greedy
