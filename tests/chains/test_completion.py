"""Completion of code: the request, the prompts it refuses; and that all ways to invoke it agree."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.prompts import PromptTemplate
from sagechain.chains import code_completion, ranked_completions
from sagechain.llms import HuggingFaceLLM, LlamaCppLLM, PromptedChatModel, load_chat_model, load_llm
from sagechain.llms.testing import ScriptedLLM
from sagechain.local_aws import LocalRuntime

from tests.conftest import FALCON_URI, LLAMA_URI
from tests.llms.conftest import gpt2, tiny

__all__ = ["gpt2", "tiny"]

from tests.chains.test_completion_ranking import BLOCK, BODY, PROMPT, Likely, texts

# The request


def test_the_prompt_is_sent_unchanged_over_the_falcon_wire_and_the_completion_streams(runtime: LocalRuntime) -> None:
    chain = code_completion(load_llm(FALCON_URI, max_new_tokens=12, stop=["zz"]))
    pieces = list(chain.stream("  def add(a, b):  "))
    body = json.loads(runtime.requests[-1].body)
    assert body["inputs"] == "  def add(a, b):  "
    assert body["stream"] is True
    assert (body["parameters"]["stop"], body["parameters"]["max_new_tokens"]) == (["zz", *BLOCK[:3]], 12)
    assert len(pieces) > 5
    assert chain.invoke("  def add(a, b):  ") == "".join(pieces)


def test_a_default_token_limit_is_set(runtime: LocalRuntime) -> None:
    code_completion(load_llm(FALCON_URI), until=["e"]).invoke(PROMPT)
    assert json.loads(runtime.requests[-1].body)["parameters"]["max_new_tokens"] == 256
    code_completion(load_llm(FALCON_URI), until=["e"], max_new_tokens=9).invoke(PROMPT)
    assert json.loads(runtime.requests[-1].body)["parameters"]["max_new_tokens"] == 9


def test_over_a_wire_with_one_answer_the_prompt_is_sent_once_per_candidate(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    ranked_completions(load_llm(FALCON_URI), candidates=3, max_new_tokens=4).invoke(PROMPT)
    sent = [json.loads(request.body) for request in runtime.requests[before:]]
    assert [body["inputs"] for body in sent] == [PROMPT] * 3
    drawn = {(each["parameters"]["temperature"], each["parameters"]["top_p"]) for each in sent}
    assert drawn == {(0.8, 0.95)}
    assert all("seed" not in body["parameters"] for body in sent)


def test_candidate_n_of_a_seed_is_the_answer_of_the_nth_following_seed(runtime: LocalRuntime) -> None:
    before = len(runtime.requests)
    falcon = load_llm(FALCON_URI, seed=5, temperature=1.5, max_new_tokens=6)
    found = ranked_completions(falcon, candidates=3, until="end").invoke(PROMPT)
    sent = [json.loads(request.body)["parameters"] for request in runtime.requests[before:]]
    assert [(each["seed"], each["temperature"], "top_p" in each) for each in sent] == [
        (5, 1.5, False),
        (6, 1.5, False),
        (7, 1.5, False),
    ]
    singly = {falcon.invoke(PROMPT, seed=seed) for seed in (5, 6, 7)}
    assert set(texts(found)) == singly
    assert len(singly) == 3


def test_a_chat_models_llm_completes_with_the_chats_parameters(runtime: LocalRuntime) -> None:
    chat = PromptedChatModel(llm=load_llm(FALCON_URI), max_tokens=3, temperature=0.5, stop=["zz"])
    code_completion(chat).invoke(PROMPT)
    body = json.loads(runtime.requests[-1].body)
    assert body["inputs"] == PROMPT
    given = {name: body["parameters"][name] for name in ("max_new_tokens", "temperature", "stop")}
    assert given == {"max_new_tokens": 3, "temperature": 0.5, "stop": ["zz", *BLOCK[:3]]}


def test_over_a_wire_with_roles_the_prompt_is_one_turn(runtime: LocalRuntime) -> None:
    code_completion(load_chat_model(LLAMA_URI, accept_eula=True), max_new_tokens=3).invoke(PROMPT)
    assert json.loads(runtime.requests[-1].body)["inputs"] == [[{"role": "user", "content": PROMPT}]]


def test_an_llm_of_another_library_gets_stop_strings_and_parameters_as_arguments() -> None:
    model = Likely(answers=[(BODY, {})])
    code_completion(model, candidates=2, best_of=7, stop="zz").invoke(PROMPT)  # type: ignore[call-arg]
    ranked_completions(model, until="end").invoke(PROMPT)
    code_completion(model, until="line").invoke(PROMPT)
    assert model.seen == [
        ([PROMPT, PROMPT], ["zz", *BLOCK], {"best_of": 7}),
        ([PROMPT], None, {}),
        ([PROMPT], ["\n"], {}),
    ]


def test_it_can_follow_a_prompt_template() -> None:
    chain = PromptTemplate.from_template("# {what}\n") | code_completion(FakeListLLM(responses=["import os\n# x"]))
    assert chain.invoke({"what": "modules"}) == "import os"
    several = code_completion(FakeListLLM(responses=["import", "import os\n"]), candidates=2)
    assert (PromptTemplate.from_template("# {what}\n") | several).invoke({"what": "modules"}) == "import os\n"


# All ways agree


async def _streamed(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


@pytest.mark.parametrize("options", [{}, {"candidates": 4, "seed": 3}, {"candidates": 2, "num_beams": 3}], ids=str)
def test_invoke_stream_batch_and_async_agree(tiny: HuggingFaceLLM, options: dict[str, Any]) -> None:
    chain = code_completion(tiny, max_new_tokens=12, **options)
    prompts = [PROMPT, "the quick brown"]
    expected = [chain.invoke(prompt) for prompt in prompts]
    assert ["".join(chain.stream(prompt)) for prompt in prompts] == expected
    assert chain.batch(prompts) == expected
    assert chain.batch(prompts, {"max_concurrency": 1}) == expected
    assert [asyncio.run(chain.ainvoke(prompt)) for prompt in prompts] == expected
    assert [asyncio.run(_streamed(chain.astream(prompt))) for prompt in prompts] == expected
    assert asyncio.run(chain.abatch(prompts)) == expected
    all_of_them = ranked_completions(tiny, max_new_tokens=12, **options)
    assert [found[0].text for found in all_of_them.batch(prompts)] == expected
    assert asyncio.run(all_of_them.abatch(prompts)) == all_of_them.batch(prompts)


def test_one_candidate_is_the_models_text_up_to_the_stop_string(tiny: HuggingFaceLLM) -> None:
    assert code_completion(tiny, until="end", max_new_tokens=20).invoke(PROMPT) == tiny.invoke(
        PROMPT, max_new_tokens=20
    )
    stop = tiny.invoke(PROMPT, max_new_tokens=20)[5:7]
    assert code_completion(tiny, until=[stop]).invoke(PROMPT) == tiny.invoke(PROMPT, stop=[stop])
    assert code_completion(tiny.with_fields(return_full_text=True), until=[stop]).invoke(PROMPT) == tiny.invoke(
        PROMPT, stop=[stop]
    )


def test_all_candidates_of_all_prompts_are_one_generate(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    own = tiny.pipeline.model.generate

    def counting(input_ids: Any, **settings: Any) -> Any:
        sizes.append(len(input_ids))
        return own(input_ids=input_ids, **settings)

    monkeypatch.setattr(tiny.pipeline.model, "generate", counting)
    code_completion(tiny, candidates=5, max_new_tokens=2).batch([PROMPT, "a", "b"])
    assert sizes == [15]


def test_the_candidates_of_a_checkpoint_are_ranked_by_likelihood(tiny: HuggingFaceLLM) -> None:
    found = ranked_completions(tiny, candidates=6, seed=2, temperature=1.0, max_new_tokens=5).invoke("a = ")
    order = [(each.parses, each.likelihood) for each in found]
    assert order == sorted(order, reverse=True)
    drawn = tiny.with_fields(likelihood=True).complete(
        "a = ", BLOCK, num_return_sequences=6, seed=2, temperature=1.0, max_new_tokens=5
    )
    expected = {(each.text, (each.generation_info or {})["likelihood"]) for each in drawn}
    assert {(each.text, each.likelihood) for each in found} == expected
    assert len(expected) == 6


def test_beams_come_in_the_order_of_the_search(tiny: HuggingFaceLLM) -> None:
    found = ranked_completions(tiny, candidates=3, num_beams=3, max_new_tokens=6, rank=lambda _: 0).invoke(PROMPT)
    searched = tiny.complete(PROMPT, BLOCK, num_return_sequences=3, num_beams=3, max_new_tokens=6)
    assert [(each.text, each.likelihood) for each in found] == [(each.text, None) for each in searched]


def test_the_embedded_model_draws_candidates_with_their_likelihood(llm: LlamaCppLLM) -> None:
    found = ranked_completions(llm, candidates=3, seed=1, temperature=2.0, max_new_tokens=8).invoke(PROMPT)
    assert len({each.text for each in found}) == 3
    assert all(each.likelihood is not None and each.likelihood < 0 for each in found)


def test_callbacks_and_tags_reach_the_model() -> None:
    class Heard(BaseCallbackHandler):
        def __init__(self) -> None:
            self.calls: list[tuple[list[str], Any]] = []

        def on_llm_start(self, serialized: Any, prompts: list[str], *, tags: Any = None, **kwargs: Any) -> None:
            self.calls.append((prompts, tags))

    for candidates in (1, 2):
        heard = Heard()
        chain = code_completion(FakeListLLM(responses=[BODY]), candidates=candidates)
        chain.batch([PROMPT, "x"], {"callbacks": [heard], "tags": ["mine"]})
        assert [prompts for prompts, _ in heard.calls] == [[PROMPT]] * candidates + [["x"]] * candidates
        assert all("mine" in tags for _, tags in heard.calls)


# A prompt that is bad among good ones

LONG = "a" * 500  # the tiny model has 128 positions


@pytest.mark.parametrize("make", [code_completion, ranked_completions])
@pytest.mark.parametrize("candidates", [1, 2])
def test_a_bad_prompt_does_not_affect_the_others_of_its_batch(tiny: HuggingFaceLLM, make: Any, candidates: int) -> None:
    chain = make(tiny, candidates=candidates, seed=1, max_new_tokens=6)
    good, mixed = [PROMPT, "a = ", "b"], [PROMPT, "", "a = ", LONG, 5, "b"]
    for config in ({}, {"max_concurrency": 1}):
        expected = chain.batch(good, config)
        for found in (
            chain.batch(mixed, config, return_exceptions=True),
            asyncio.run(chain.abatch(mixed, config, return_exceptions=True)),
        ):
            assert [found[0], found[2], found[5]] == expected
            assert [type(found[place]) for place in (1, 3, 4)] == [ValueError] * 3
            assert [str(found[place]) for place in (1, 3, 4)] == [
                "prompt: '' is empty; give the beginning of some code",
                "prompt: it has 500 tokens, 372 more than the context of 128; shorten it",
                "prompt: 5 is not text; give the beginning of some code",
            ]


def test_a_batch_of_bad_prompts_sends_no_request() -> None:
    for make in (code_completion, ranked_completions):
        model = ScriptedLLM(answers=["x"] * 4, context=4)
        chain = make(model, candidates=2, temperature=1.0)
        assert list(map(type, chain.batch(["", "a b c d e"], return_exceptions=True))) == [ValueError] * 2
        assert chain.batch([]) == []
        assert model.prompts == []


@pytest.mark.parametrize("make", [code_completion, ranked_completions])
@pytest.mark.parametrize("candidates", [1, 2])
def test_the_first_bad_prompt_is_raised_before_any_request(make: Any, candidates: int) -> None:
    model = ScriptedLLM(answers=["x"] * 9, context=6)
    chain = make(model, candidates=candidates, temperature=1.0)
    for prompts, words in (
        (["a", "", "a b c d e f g"], "prompt: '' is empty"),
        (["a", "a b c d e f g", ""], "prompt: it has 7 tokens, 1 more than the context of 6; shorten it, or give"),
        (["a", "a b c d e f"], "prompt: it has 6 tokens, 0 more than the context of 6"),
        (["a", "\ud800"], "prompt: it is not valid text at character 0"),
    ):
        with pytest.raises(ValueError, match=words):
            chain.batch(prompts)
        with pytest.raises(ValueError, match=words):
            asyncio.run(chain.abatch(prompts))
    with pytest.raises(ValueError, match="2 too many for an answer within max_length=3"):
        make(model, candidates=candidates, temperature=1.0, max_length=3).batch(["a", "a b c d"])
    assert model.prompts == []


def test_a_prompt_too_long_for_the_embedded_model_does_not_affect_the_others_of_its_batch(llm: LlamaCppLLM) -> None:
    chain = code_completion(llm, candidates=2, seed=1, max_new_tokens=3)
    found: list[Any] = chain.batch([PROMPT, "hello " * 3000], return_exceptions=True)
    assert found[0] == chain.invoke(PROMPT)
    assert str(found[1]) == (
        "prompt: it has 3001 tokens, 953 more than the context of 2048; shorten it, or load the model with ?context=…"
    )


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"until": "blok"},
            "until: 'blok' is unknown. Did you mean 'block'\\? Known: a list of stop strings, block, end",
        ),
        ({"until": []}, "until: \\[\\] contains no stop strings; give block, line, end or a list of texts, none empty"),
        ({"until": ["a", ""]}, "until: \\['a', ''\\] contains no stop strings"),
        ({"until": 3}, "until: 3 contains no stop strings"),
        ({"candidates": 0}, "candidates: 0 is not a number of completions; give 1 or more"),
        ({"candidates": "4"}, "candidates: '4' is not a number of completions"),
        ({"candidates": True}, "candidates: True is not a number of completions"),
    ],
)
def test_invalid_arguments_are_refused_before_any_request(options: dict[str, Any], message: str) -> None:
    for make in (code_completion, ranked_completions):
        with pytest.raises(ValueError, match=message):
            make(FakeListLLM(responses=["x"]), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "parameter: 'temprature' is unknown. Did you mean 'temperature'"),
        ({"temperature": -1}, "temperature"),
        (
            {"candidates": 3, "temperature": 0},
            "candidates: without sampling all 3 are the same; give a temperature above 0",
        ),
        (
            {"candidates": 3, "num_return_sequences": 2},
            "num_return_sequences=2: leave it out; candidates=3 replaces it",
        ),
        ({"return_full_text": True}, "return_full_text: a completion comes without its prompt"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(tiny: HuggingFaceLLM, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        code_completion(tiny, **options)


def test_a_parameter_that_the_wire_does_not_carry_is_refused(runtime: LocalRuntime) -> None:
    with pytest.raises(ValueError, match="num_beams: the tgi wire does not carry it"):
        code_completion(load_llm(FALCON_URI), num_beams=2)


def test_a_model_that_continues_no_text_is_refused() -> None:
    bound: Any = FakeListLLM(responses=["x"]).bind(stop=["y"])
    for model in (FakeListChatModel(responses=["x"]), bound):
        with pytest.raises(ValueError, match=f"model: {type(model).__name__} does not continue text; give an LLM"):
            code_completion(model)


@pytest.mark.parametrize(("prompt", "words"), [("", "prompt: '' is empty"), (5, "prompt: 5 is not text")])
def test_a_prompt_without_text_is_refused(prompt: Any, words: str) -> None:
    for candidates in (1, 2):
        chain = code_completion(FakeListLLM(responses=["x"]), candidates=candidates)
        for ask in (chain.invoke, lambda p, c=chain: list(c.stream(p)), lambda p, c=chain: c.batch(["x", p])):
            with pytest.raises(ValueError, match=words):
                ask(prompt)
        with pytest.raises(ValueError, match=words):
            asyncio.run(chain.ainvoke(prompt))


def test_a_setting_that_another_llm_cannot_honour_is_a_value_error() -> None:
    for parameters in ({"temperature": 0.5}, {"max_tokens": 5}, {"seed": 1}):
        with pytest.raises(ValueError, match=r"(temperature|max_tokens|seed)\b.* FakeListLLM cannot be given it"):
            code_completion(FakeListLLM(responses=["x"]), **parameters)
