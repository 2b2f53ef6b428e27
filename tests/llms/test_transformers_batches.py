"""Several prompts at once in transformers, and how likely each answer was."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sagechain.llms import HuggingFaceLLM

from tests.llms.checkpoints import PROMPT, PROMPTS, decode, ending_checkpoint, greedy_tokens, load_exactly, text


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
def test_a_batch_returns_the_answers_of_single_prompts_in_order(tiny: HuggingFaceLLM, settings: dict[str, Any]) -> None:
    limit: dict[str, Any] = {} if "max_length" in settings else {"max_new_tokens": 15}
    singly = [tiny.complete(prompt, **settings, **limit) for prompt in PROMPTS]
    together = tiny.generate(PROMPTS, **settings, **limit)
    later = asyncio.run(tiny.agenerate(PROMPTS, **settings, **limit))
    for result in (together, later):
        assert [[(a.text, a.generation_info) for a in answers] for answers in result.generations] == [
            [(a.text, a.generation_info) for a in answers] for answers in singly
        ]


def test_in_a_batch_each_answer_may_fill_the_context(tiny: HuggingFaceLLM) -> None:
    result = tiny.generate([PROMPT * 10, "a"])
    for [answer] in result.generations:
        info = answer.generation_info or {}
        assert info["input_tokens"] + info["output_tokens"] == 128
    assert result.generations[1][0].text == text(tiny, "a")


def test_prompts_are_generated_side_by_side_up_to_the_batch_size(
    tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    model = tiny.pipeline.model
    generate = model.generate

    def count_rows(input_ids: Any, **settings: Any) -> Any:
        sizes.append(len(input_ids))
        return generate(input_ids=input_ids, **settings)

    monkeypatch.setattr(model, "generate", count_rows)
    tiny.batch(PROMPTS, max_new_tokens=2)
    tiny.with_fields(batch_size=3).batch(PROMPTS, max_new_tokens=2)
    assert sizes == [4, 3, 1]
    tiny.with_fields(batch_size=3).complete(PROMPT, num_return_sequences=10, temperature=1.0, max_new_tokens=2)
    assert sizes == [4, 3, 1, 3, 3, 3, 1]  # the answers to one prompt come in rounds


def test_answers_in_rounds_are_those_of_one_round(tiny: HuggingFaceLLM) -> None:
    settings: dict[str, Any] = {"num_return_sequences": 20, "temperature": 1.5, "max_new_tokens": 4, "seed": 7}
    rounds = tiny.with_fields(batch_size=8).complete(PROMPT, **settings)
    together = tiny.with_fields(batch_size=20).complete(PROMPT, **settings)
    assert [answer.text for answer in rounds] == [answer.text for answer in together]
    assert len({answer.text for answer in rounds}) > 10


def test_each_thread_gets_its_own_answers(tiny: HuggingFaceLLM) -> None:
    expected = {prompt: text(tiny, prompt, max_new_tokens=10) for prompt in PROMPTS}
    answers: dict[str, list[str]] = {prompt: [] for prompt in PROMPTS}

    def generate(prompt: str) -> None:
        answers[prompt].append(tiny.invoke(prompt, max_new_tokens=10))

    threads = [threading.Thread(target=generate, args=(prompt,)) for prompt in PROMPTS * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {prompt: [answer] * 3 for prompt, answer in expected.items()}


# Likelihood


def log_probabilities(llm: HuggingFaceLLM, tokens: list[int]) -> Any:
    """The model's log probability of every next token, of shape (tokens, vocabulary)."""
    import torch

    with torch.no_grad():
        return llm.pipeline.model(torch.tensor([tokens])).logits[0].log_softmax(-1)


def mean_log_probability(llm: HuggingFaceLLM, prompt: list[int], answer: list[int]) -> float:
    each = log_probabilities(llm, prompt + answer)[len(prompt) - 1 : -1]
    return float(sum(each[place, token] for place, token in enumerate(answer))) / len(answer)


def test_the_likelihood_is_the_mean_log_probability_of_the_answers_tokens(tiny: HuggingFaceLLM) -> None:
    prompt = tiny.get_token_ids(PROMPT)
    expected = mean_log_probability(tiny, prompt, greedy_tokens(tiny, 12))
    for llm in (tiny.with_fields(likelihood=True), tiny.with_fields(likelihood=True, context=len(prompt) + 12)):
        for info in (
            llm.complete(PROMPT, max_new_tokens=12)[0].generation_info,
            list(llm.chunks(PROMPT, max_new_tokens=12))[-1].generation_info,
            llm.generate([PROMPT, "a"], max_new_tokens=12).generations[0][0].generation_info,
        ):
            assert info is not None
            assert info["likelihood"] == pytest.approx(expected, abs=1e-5)
            assert info["output_tokens"] == 12


def test_the_likelihood_is_the_models_own_whatever_changed_the_draw(tiny: HuggingFaceLLM) -> None:
    expected = log_probabilities(tiny, tiny.get_token_ids(PROMPT))[-1]
    drawn = tiny.with_fields(likelihood=True).complete(
        PROMPT, num_return_sequences=20, seed=1, temperature=9.0, top_k=50, repetition_penalty=1.5, max_new_tokens=1
    )
    assert len({answer.text for answer in drawn}) > 3
    for answer in drawn:
        same_text = [float(expected[token]) for token in range(400) if decode(tiny, [token]) == answer.text]
        likelihood = (answer.generation_info or {})["likelihood"]
        assert any(abs(likelihood - each) < 1e-5 for each in same_text)


def test_the_likelihood_includes_the_end_token_and_nothing_after_it(gpt2: Path, tmp_path: Path) -> None:
    llm, _ = ending_checkpoint(gpt2, tmp_path / "ends", after=2)
    expected = mean_log_probability(llm, llm.get_token_ids(PROMPT), greedy_tokens(load_exactly(gpt2), 3))
    result = llm.with_fields(likelihood=True).generate([PROMPT, "a b a b"], max_new_tokens=30)
    assert (result.generations[0][0].generation_info or {})["likelihood"] == pytest.approx(expected, abs=1e-5)


def test_a_likelihood_comes_only_on_request_and_never_from_a_beam_search(tiny: HuggingFaceLLM) -> None:
    for answer in (tiny.complete(PROMPT), tiny.with_fields(likelihood=True).complete(PROMPT, num_beams=2)):
        assert "likelihood" not in (answer[0].generation_info or {})
