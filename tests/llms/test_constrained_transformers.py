"""A tiny random GPT-2 in transformers with constrained decoding: any answer that fits is due to the constraint alone."""

import asyncio
import json
import shutil
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import llguidance
import pytest
from sagechain.llms import HuggingFaceLLM
from sagechain.prompts import AnyTool, JsonFormat, ToolCallFormat

from tests.llms.checkpoints import load_exactly
from tests.llms.schema_cases import ENDLESS, SCHEMAS, fits

PROMPT = "def add"
RANDOM: dict[str, Any] = {"temperature": 1.0, "seed": 1}
# Short ones: the model has 128 positions and few tokens of more than one letter.
SHORT = {name: schema for name, schema in SCHEMAS.items() if name not in ("nested objects by $ref", "formats")}
YES = {"type": "array", "items": {"enum": [True, "yes"]}, "minItems": 2, "maxItems": 2}


def check(city: Literal["Paris", "Rome"]) -> None:
    """Check."""


def stop() -> None:
    """Stop."""


TOOLS: list[AnyTool] = [check, stop]


@pytest.mark.parametrize("settings", [{}, RANDOM, {"num_beams": 3}], ids=["greedy", "random", "beams"])
@pytest.mark.parametrize("name", SHORT)
def test_a_constrained_answer_fits_its_schema(tiny: HuggingFaceLLM, name: str, settings: dict[str, Any]) -> None:
    assert tiny.capabilities.constrained_decoding
    [answer] = tiny.complete(PROMPT, output_format=JsonFormat(SHORT[name]), **settings)
    assert (answer.generation_info or {})["finish_reason"] == "stop"
    assert fits(answer.text, SHORT[name])


@pytest.mark.parametrize(
    "settings",
    [
        {"top_k": 1, **RANDOM},
        {"top_p": 0.01, **RANDOM},
        {"repetition_penalty": 5.0},
        {"no_repeat_ngram_size": 1},
        {"min_length": 60},
        {"num_return_sequences": 3, **RANDOM},
        {"num_beams": 3, "num_return_sequences": 3},
    ],
    ids=str,
)
def test_the_schema_has_precedence_over_every_parameter(tiny: HuggingFaceLLM, settings: dict[str, Any]) -> None:
    answers = tiny.complete(PROMPT, output_format=JsonFormat(YES), **settings)
    assert len(answers) == settings.get("num_return_sequences", 1)
    assert all(fits(answer.text, YES) for answer in answers)


def test_a_schema_may_refer_to_itself(tiny: HuggingFaceLLM) -> None:
    answers = tiny.complete(
        PROMPT, output_format=JsonFormat(ENDLESS), max_new_tokens=100, num_return_sequences=8, **RANDOM
    )
    ended = [answer.text for answer in answers if (answer.generation_info or {})["finish_reason"] == "stop"]
    assert ended
    assert all(fits(text, ENDLESS) for text in ended)


def test_streams_stop_strings_and_limits_work_as_without_a_schema(tiny: HuggingFaceLLM) -> None:
    output_format = JsonFormat({"const": "no yes no"})
    assert "".join(chunk.text for chunk in tiny.chunks(PROMPT, output_format=output_format)) == '"no yes no"'
    assert tiny.complete(PROMPT, ["yes"], output_format=output_format)[0].text == '"no '
    [truncated] = tiny.complete(PROMPT, output_format=output_format, max_new_tokens=3)
    assert (truncated.generation_info or {})["finish_reason"] == "length"
    assert '"no yes no"'.startswith(truncated.text)
    likely = tiny.with_fields(likelihood=True).complete(PROMPT, output_format=output_format)[0].generation_info or {}
    assert -30 < likely["likelihood"] < 0


def test_after_a_closed_stream_the_next_answer_is_constrained(tiny: HuggingFaceLLM) -> None:
    endless = {"type": "array", "items": {"const": "again"}, "minItems": 500}
    with closing(tiny.chunks(PROMPT, output_format=JsonFormat(endless))) as chunks:
        assert next(chunks).text
    assert tiny.complete(PROMPT, output_format=JsonFormat({"const": "done"}))[0].text == '"done"'


@pytest.mark.parametrize("choice", ["any", "check", "stop"])
def test_a_required_call_is_the_whole_answer(tiny: HuggingFaceLLM, choice: str) -> None:
    tools = ToolCallFormat.from_tools(TOOLS, choice, parallel=False)
    expected: dict[str, list[Any]] = {"check": [{"city": "Paris"}, {"city": "Rome"}], "stop": [{}]}
    for settings in ({}, RANDOM):
        text = tiny.complete("a", output_format=tools, **settings)[0].text
        call = json.loads(text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>"))
        assert call["name"] in [tool["name"] for tool in tools.callable_tools]
        assert call["arguments"] in expected[call["name"]]
        assert text == f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string", "pattern": "("}, "regex parse error"),
        ({"type": "string", "pattern": r"^[^\s\S]$"}, "Unsatisfiable schema"),
        ({"type": "integer", "minimum": 5, "maximum": 3}, r"minimum \(5\) is greater than maximum \(3\)"),
        ({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2}, "min/maxProperties"),
    ],
)
def test_a_schema_that_llguidance_refuses_is_a_value_error_with_the_reason(
    tiny: HuggingFaceLLM, schema: dict[str, Any], reason: str
) -> None:
    for generate in (tiny.complete, tiny.chunks):
        with pytest.raises(ValueError, match=f"^schema: decoding can't be constrained to it: .*{reason}"):
            list(generate(PROMPT, output_format=JsonFormat(schema)))


def test_an_event_loop_does_not_wait_while_a_grammar_is_compiled(
    tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    compiler = llguidance.LLMatcher

    def compile_grammar(*args: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return compiler(*args, **options)

    monkeypatch.setattr(llguidance, "LLMatcher", compile_grammar)
    [answer] = asyncio.run(tiny.acomplete(PROMPT, output_format=JsonFormat({"const": "a"})))
    assert (answer.text, threads) == ('"a"', ["sagechain-generation"])


def test_the_name_of_a_special_token_is_written_as_text(tiny: HuggingFaceLLM) -> None:
    name = "<|endoftext|>"  # as one token it would have no text
    assert tiny.complete(PROMPT, output_format=JsonFormat({"const": name}))[0].text == json.dumps(name)


def test_a_stop_string_that_is_a_special_token_ends_a_constrained_answer(gpt2: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = shutil.copytree(gpt2, tmp_path / "special")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["quick"]})
    tokenizer.save_pretrained(folder)
    llm = load_exactly(folder)
    end = llm.get_token_ids("quick")
    assert len(end) == 1
    # The model prefers this token to the end token, and both are allowed once the JSON is complete.
    with pytest.MonkeyPatch.context() as patch:
        forward = llm.pipeline.model.forward

        def prefer_stop(*args: Any, **settings: Any) -> Any:
            output = forward(*args, **settings)
            output.logits[..., end[0]] += 1000
            return output

        patch.setattr(llm.pipeline.model, "forward", prefer_stop)
        [answer] = llm.with_fields(likelihood=True).complete(PROMPT, ["quick"], output_format=JsonFormat({"const": 1}))
    assert answer.text == "1"
    assert (answer.generation_info or {})["output_tokens"] == 2


def test_without_llguidance_answers_are_not_constrained(
    gpt2: Path, tiny: HuggingFaceLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    llm = load_exactly(shutil.copytree(gpt2, tmp_path / "unconstrained"))
    assert not llm.capabilities.constrained_decoding
    free = tiny.complete(PROMPT, max_new_tokens=10)[0].text
    assert llm.complete(PROMPT, max_new_tokens=10, output_format=JsonFormat())[0].text == free


def test_a_tokenizer_that_llguidance_cannot_read_leaves_answers_unconstrained(gpt2: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = shutil.copytree(gpt2, tmp_path / "words")
    tokenizer = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "a": 1, "b": 2}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    llm = load_exactly(folder)
    assert not llm.capabilities.constrained_decoding
    assert llm.complete("a b", max_new_tokens=2, output_format=JsonFormat())


def test_the_embedded_model_is_constrained_too(converted: HuggingFaceLLM) -> None:
    tools = ToolCallFormat.from_tools(TOOLS, "check", parallel=False)
    [answer] = converted.complete("Check Rome: ", output_format=tools, max_new_tokens=60)
    assert answer.text == '<tool_call>\n{"name": "check", "arguments": {"city": "Rome"}}\n</tool_call>'
    text = converted.complete("a", output_format=JsonFormat({"const": "<|im_start|>"}))[0].text
    assert text == '"<|im_start|>"'
