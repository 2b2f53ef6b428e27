"""llama.cpp and transformers over the same weights: one meaning of every parameter, the same errors.

Whole texts are not compared: llama.cpp multiplies in 8 bits, so after a few words the answers may differ.
"""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from sagechain.llms import HuggingFaceLLM, LlamaCppLLM, TextModel, load_llm
from sagechain.prompts import get_family
from sagechain.prompts.families import COMMON_ESCAPING

PROMPT = "User: What is the capital of France?\nAssistant:"
ANSWER = " The capital of France is Paris."
STORY = "Once upon a time"


@pytest.fixture(params=["llama.cpp", "transformers"])
def engine(request: pytest.FixtureRequest) -> TextModel:
    model = request.getfixturevalue("llm" if request.param == "llama.cpp" else "converted")
    assert isinstance(model, TextModel)
    return model


def text(llm: TextModel, prompt: str = PROMPT, stop: list[str] | None = None, **parameters: Any) -> str:
    return llm.complete(prompt, stop, **parameters)[0].text


def test_greedy_answers_agree(engine: TextModel) -> None:
    assert text(engine, max_new_tokens=7) == ANSWER
    assert "".join(engine.stream(PROMPT, max_new_tokens=7)) == ANSWER
    assert engine.batch([PROMPT, PROMPT], max_new_tokens=7) == [ANSWER, ANSWER]


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": 0.0, "top_p": 0.5, "do_sample": True},
        {"temperature": 3.0, "do_sample": False},
        {"temperature": 3.0, "top_k": 1},
        {"temperature": 3.0, "top_p": 1e-6},
        {"top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "num_return_sequences": 1},
        {
            "num_beams": 1,
            "no_repeat_ngram_size": 0,
            "min_length": 0,
            "early_stopping": False,
            "return_full_text": False,
        },
    ],
    ids=str,
)
def test_parameters_that_leave_no_choice_are_greedy(engine: TextModel, parameters: dict[str, Any]) -> None:
    assert text(engine, max_new_tokens=7, **parameters) == ANSWER


def test_a_seed_is_repeatable_and_no_seed_is_not(engine: TextModel) -> None:
    settings: dict[str, Any] = {"temperature": 1.5, "max_new_tokens": 12}
    first, again, other = (text(engine, STORY, seed=seed, **settings) for seed in (1, 1, 2))
    assert first == again != other
    assert text(engine, STORY, **settings) != text(engine, STORY, **settings)


def test_several_answers_differ_and_are_repeatable_by_a_seed(engine: TextModel) -> None:
    settings: dict[str, Any] = {"num_return_sequences": 5, "temperature": 1.5, "max_new_tokens": 8, "seed": 3}
    first, again = (engine.complete(STORY, **settings) for _ in range(2))
    assert [answer.text for answer in first] == [answer.text for answer in again]
    assert len({answer.text for answer in first}) == 5
    for answer in first:
        info = answer.generation_info or {}
        assert info["input_tokens"] == engine.prompt_tokens(STORY)
        assert 0 < info["output_tokens"] <= 8
        assert info["finish_reason"] in ("stop", "length")


@pytest.mark.parametrize(
    ("stop", "shown", "tokens"),
    [
        ("France", " The capital of ", 4),
        ("of Fr", " The capital ", 4),
        ("al of France is P", " The capit", 6),
        (" ", "", 1),
    ],
)
def test_an_answer_is_cut_at_a_stop_string_and_the_work_ends(
    engine: TextModel, stop: str, shown: str, tokens: int
) -> None:
    [answer] = engine.complete(PROMPT, [stop], max_new_tokens=20)
    info = {"finish_reason": "stop", "input_tokens": 13, "output_tokens": tokens}
    assert (answer.text, answer.generation_info) == (shown, info)
    chunks = list(engine.chunks(PROMPT, [stop], max_new_tokens=20))
    assert ("".join(chunk.text for chunk in chunks), chunks[-1].generation_info) == (shown, info)


def test_each_prompt_of_a_batch_has_its_own_end(engine: TextModel) -> None:
    prompts = [PROMPT, "A B C D E F G H"]
    result = engine.generate(prompts, stop=["France", " K"], max_new_tokens=6)
    singly = [engine.complete(prompt, ["France", " K"], max_new_tokens=6)[0] for prompt in prompts]
    assert [answers[0].text for answers in result.generations] == [answer.text for answer in singly]
    assert [answers[0].generation_info for answers in result.generations] == [a.generation_info for a in singly]


def test_figures_agree(engine: TextModel) -> None:
    [cut] = engine.complete(PROMPT, max_new_tokens=7)
    assert cut.generation_info == {"finish_reason": "length", "input_tokens": 13, "output_tokens": 7}
    # The model ends a turn that is already complete; its end token is counted.
    [ended] = engine.complete("Q: Is the sky blue? Answer yes or no.\nA: Yes.<|im_end|>\n", max_new_tokens=20)
    assert ended.text == ""
    assert ended.generation_info == {"finish_reason": "stop", "input_tokens": 19, "output_tokens": 1}


def test_a_penalty_makes_earlier_words_less_likely(engine: TextModel) -> None:
    prompt = "one two one two one two one two"
    assert text(engine, prompt, max_new_tokens=3) == " two two two"
    assert "two" not in text(engine, prompt, max_new_tokens=3, repetition_penalty=1.8)


def test_lengths_count_the_models_own_tokens(engine: TextModel) -> None:
    assert text(engine, max_length=20) == text(engine, max_new_tokens=7)
    assert text(engine, max_length=500, max_new_tokens=2) == " The capital"
    with pytest.raises(ValueError, match="it has 13 tokens, 3 too many for an answer within max_length=11; shorten it"):
        text(engine, max_length=11)


def test_an_answer_may_fill_the_context(engine: TextModel, smollm2: Path) -> None:
    kind = "slots=1" if isinstance(engine, LlamaCppLLM) else "engine=transformers"
    small = load_llm(f"local:{smollm2}?context=256&{kind}")
    assert isinstance(small, TextModel)
    [answer] = small.complete("hello" + " hello" * 252, max_new_tokens=100)
    assert answer.generation_info == {"finish_reason": "length", "input_tokens": 253, "output_tokens": 3}


@pytest.mark.parametrize(("words", "more"), [(3000, 953), (2047, 0)])
def test_a_prompt_longer_than_the_context_is_refused(engine: TextModel, words: int, more: int) -> None:
    tokens = 2048 + more
    message = (
        rf"^prompt: it has {tokens} tokens, {more} more than the context of 2048; "
        r"shorten it, or load the model with \?context=…$"
    )
    prompt = "hello " * 3000 if words == 3000 else "hello" + " hello" * words
    with pytest.raises(ValueError, match=message):
        engine.invoke(prompt)
    with pytest.raises(ValueError, match=message):
        list(engine.stream(prompt))


def test_the_full_text_is_the_prompt_and_the_answer_whatever_the_stops(engine: TextModel) -> None:
    settings: dict[str, Any] = {"max_new_tokens": 7, "stop": ["\nAssistant:"], "return_full_text": True}
    assert engine.invoke(PROMPT, **settings) == PROMPT + ANSWER == "".join(engine.stream(PROMPT, **settings))


@pytest.mark.parametrize(
    ("prompt", "parameters", "message"),
    [
        ("", {}, "prompt: it is empty"),
        ("caf\udce9", {}, "prompt: it is not valid text at character 3"),
        (PROMPT, {"temperature": -1.0}, "temperature"),
        (PROMPT, {"top_p": 0.0}, "top_p"),
        (PROMPT, {"top_p": 1.5}, "top_p"),
        (PROMPT, {"top_k": -1}, "top_k"),
        (PROMPT, {"max_new_tokens": 0}, "max_new_tokens"),
        (PROMPT, {"max_new_tokens": "7"}, "max_new_tokens"),
        (PROMPT, {"repetition_penalty": 0.0}, "repetition_penalty"),
        (PROMPT, {"stop": [""]}, "an empty stop string"),
        (PROMPT, {"seed": -1}, "seed"),
        (PROMPT, {"num_return_sequences": 2}, "needs sampling"),
        (PROMPT, {"temprature": 1.0}, "Did you mean 'temperature'"),
    ],
    ids=str,
)
def test_bad_input_is_the_same_value_error(
    engine: TextModel, prompt: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        engine.invoke(prompt, **parameters)


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_beams": 2},
        {"num_beams": 2, "early_stopping": True},
        {"num_beams": 2, "length_penalty": 2.0},
        {"no_repeat_ngram_size": 2},
        {"min_length": 16},
    ],
    ids=str,
)
def test_a_parameter_that_llama_cpp_does_not_carry_is_refused_and_the_error_names_transformers(
    llm: LlamaCppLLM, converted: HuggingFaceLLM, parameters: dict[str, Any]
) -> None:
    assert text(converted, max_new_tokens=6, **parameters)
    with pytest.raises(ValueError, match=r"llama.cpp does not carry it.*\?engine=transformers"):
        text(llm, max_new_tokens=6, **parameters)


TEXTS = [
    "Hi",
    "  two  blanks",
    "<|im_start|>user\nHi<|im_end|>",
    "1234567 3.14",
    "naïve 😀 日本語",
    "\n\n \n x",
    "I'LL",
]


def test_tokens_and_layouts_are_the_same(llm: LlamaCppLLM, converted: HuggingFaceLLM) -> None:
    for sample in TEXTS:
        assert llm.get_token_ids(sample) == converted.get_token_ids(sample)
        assert llm.text_tokens(sample) == converted.text_tokens(sample)
    messages = [SystemMessage("Be brief."), HumanMessage(" Hi<|im_end|> "), AIMessage("Yes"), HumanMessage("Why?")]
    assert llm.capabilities.takes_roles
    assert converted.capabilities.takes_roles
    for count in (1, 2, 4):
        assert llm.prompt_tokens(messages[:count]) == converted.prompt_tokens(messages[:count])


@pytest.mark.parametrize("sample", TEXTS)
def test_our_chatml_is_the_models_own_template(converted: HuggingFaceLLM, sample: str) -> None:
    family = get_family("chatml")
    roles = {"system": SystemMessage, "assistant": AIMessage, "user": HumanMessage}
    dialog = [{"role": role, "content": (family.escaping + COMMON_ESCAPING).escape(sample)} for role in roles]
    prompt = family.render([kind(sample) for kind in roles.values()]).text
    template = converted.pipeline.tokenizer.apply_chat_template
    assert prompt == template(dialog, tokenize=False, add_generation_prompt=True)


def test_messages_are_answered(engine: TextModel) -> None:
    messages = [HumanMessage("What is the capital of France? Answer in one sentence.")]
    [answer] = engine.complete(messages, max_new_tokens=30)
    assert "Paris" in answer.text
    assert answer.generation_info is not None
    assert answer.generation_info["finish_reason"] == "stop"
    assert answer.generation_info["input_tokens"] == engine.prompt_tokens(messages)
