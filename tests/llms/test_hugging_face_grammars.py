"""A tiny random GPT-2 in transformers, constrained by xgrammar: what matches the output format is not the model's doing."""

import asyncio
import json
import sys
import threading
from contextlib import closing
from typing import Any, Literal

import pytest
from sagechain.llms import HuggingFaceLLM, errors
from sagechain.prompts.output_format import AnyTool, JsonFormat, OutputFormat, ToolCallFormat

from tests.llms.held import ENDLESS, SCHEMAS, fits

PROMPT = "def add"
HOT: dict[str, Any] = {"temperature": 1.0, "seed": 1}
# A model of 128 positions and hardly a whole word: short ones only.
SHORT = {name: schema for name, schema in SCHEMAS.items() if name not in ("nested objects by $ref", "formats")}
YES = {"type": "array", "items": {"enum": [True, "yes"]}, "minItems": 2, "maxItems": 2}


def check(city: Literal["Paris", "Rome"]) -> None:
    """Check."""


def stop() -> None:
    """Stop."""


TOOLS: list[AnyTool] = [check, stop]


@pytest.mark.parametrize("settings", [{}, HOT, {"num_beams": 3}], ids=["greedy", "drawn", "beams"])
@pytest.mark.parametrize("name", SHORT)
def test_an_answer_that_is_held_to_a_schema_fits_it(tiny: HuggingFaceLLM, name: str, settings: dict[str, Any]) -> None:
    assert tiny.capabilities.constrained_decoding
    [answer] = tiny.complete(PROMPT, output_format=JsonFormat(SHORT[name]), **settings)
    assert (answer.generation_info or {})["finish_reason"] == "stop"
    assert fits(answer.text, SHORT[name])


@pytest.mark.parametrize(
    "settings",
    [
        {"top_k": 1, **HOT},
        {"top_p": 0.01, **HOT},
        {"repetition_penalty": 5.0},
        {"no_repeat_ngram_size": 1},
        {"min_length": 60},
        {"num_return_sequences": 3, **HOT},
        {"num_beams": 3, "num_return_sequences": 3},
    ],
    ids=str,
)
def test_whatever_else_changes_the_draw_the_shape_wins(tiny: HuggingFaceLLM, settings: dict[str, Any]) -> None:
    answers = tiny.complete(PROMPT, output_format=JsonFormat(YES), **settings)
    assert len(answers) == settings.get("num_return_sequences", 1)
    assert all(fits(answer.text, YES) for answer in answers)


def test_a_schema_may_refer_to_itself(tiny: HuggingFaceLLM) -> None:
    answers = tiny.complete(
        PROMPT, output_format=JsonFormat(ENDLESS), max_new_tokens=100, num_return_sequences=8, **HOT
    )
    ended = [answer.text for answer in answers if (answer.generation_info or {})["finish_reason"] == "stop"]
    assert ended
    assert all(fits(text, ENDLESS) for text in ended)


def test_streams_stops_and_limits_are_as_ever(tiny: HuggingFaceLLM) -> None:
    output_format = JsonFormat({"const": "no yes no"})
    assert "".join(piece.text for piece in tiny.chunks(PROMPT, output_format=output_format)) == '"no yes no"'
    assert tiny.complete(PROMPT, ["yes"], output_format=output_format)[0].text == '"no '
    [cut] = tiny.complete(PROMPT, output_format=output_format, max_new_tokens=3)
    assert (cut.generation_info or {})["finish_reason"] == "length"
    assert '"no yes no"'.startswith(cut.text)
    likely = tiny.with_fields(likelihood=True).complete(PROMPT, output_format=output_format)[0].generation_info or {}
    assert -30 < likely["likelihood"] < 0


def test_after_a_held_stream_that_was_left_the_next_is_held(tiny: HuggingFaceLLM) -> None:
    endless = {"type": "array", "items": {"const": "again"}, "minItems": 500}
    with closing(tiny.chunks(PROMPT, output_format=JsonFormat(endless))) as pieces:
        assert next(pieces).text
    assert tiny.complete(PROMPT, output_format=JsonFormat({"const": "done"}))[0].text == '"done"'


def test_rows_that_share_a_batch_are_each_held(tiny: HuggingFaceLLM) -> None:
    from sagechain.llms.local.transformers.request import HuggingFaceCall, start

    shapes = [JsonFormat({"const": "a"}), None, JsonFormat({"const": "b or c"})]
    parameters = tiny._parameters(None, {"max_new_tokens": 30})
    calls = [
        tiny._start_generation(prompt, parameters, stream=False, output_format=output_format)
        for prompt, output_format in zip(["a", PROMPT * 4, "b b"], shapes, strict=True)
    ]
    assert all(isinstance(call, HuggingFaceCall) for call in calls)
    start(calls, most_rows=3)
    texts = []
    for call in calls:
        with closing(call):
            texts.append(call.answers()[0].text)
    assert texts[::2] == ['"a"', '"b or c"']
    assert texts[1] == tiny.complete(PROMPT * 4, max_new_tokens=30)[0].text


@pytest.mark.parametrize("choice", ["any", "check", "stop"])
def test_where_a_call_must_come_one_comes_and_nothing_else(tiny: HuggingFaceLLM, choice: str) -> None:
    use = ToolCallFormat.from_tools(TOOLS, choice, parallel=False)
    for settings in ({}, HOT):
        text = tiny.complete("a", output_format=use, **settings)[0].text
        call = json.loads(text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>"))
        assert call["name"] in [tool["name"] for tool in use.callable]
        assert text == f"<tool_call>\n{json.dumps(call)}\n</tool_call>"
        assert call["arguments"] in ({"city": "Paris"}, {"city": "Rome"} if call["name"] == "check" else {}) or (
            call == {"name": "stop", "arguments": {}}
        )


def taken(llm: HuggingFaceLLM, output_format: OutputFormat, text: str) -> bool:
    """Whether a whole answer in that output format may be this text."""
    from sagechain.llms.constrained.transformers_grammars import held_to
    from xgrammar import GrammarMatcher

    compiled = held_to(llm._engine, output_format)
    assert compiled is not None
    matcher = GrammarMatcher(compiled())
    return bool(matcher.accept_string(text) and matcher.is_completed())


def test_where_a_call_may_come_only_text_without_one_or_a_whole_one_fits(tiny: HuggingFaceLLM) -> None:
    several, one = ToolCallFormat.from_tools(TOOLS), ToolCallFormat.from_tools(TOOLS, parallel=False)
    call = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>'
    for text in ("", "Hello.", "a <tool_box> b", call, f"Let me see.\n{call}", f"{call}\n{call}"):
        assert taken(tiny, several, text)
    for text in ("<tool_call>", "Hi <tool_call>x", f"{call} Done.", call.replace("stop", "halt")):
        assert not taken(tiny, several, text)
    assert not taken(tiny, one, f"{call}\n{call}")


def test_a_tool_may_take_what_refers_to_itself(tiny: HuggingFaceLLM) -> None:
    use = ToolCallFormat(({"name": "plant", "description": "", "parameters": ENDLESS},), "any")
    call = '<tool_call>\n{"name": "plant", "arguments": {"size": 1, "below": {"size": 2, "below": null}}}\n</tool_call>'
    assert taken(tiny, use, call)
    assert not taken(tiny, use, call.replace("size", "age"))


def test_what_xgrammar_cannot_hold_to_is_refused(tiny: HuggingFaceLLM) -> None:
    composed = {"allOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}}]}
    with pytest.raises(ValueError, match="decoding can't be held to several schemas in 'allOf'"):
        tiny.complete(PROMPT, output_format=JsonFormat(composed))
    for ask in (tiny.complete, tiny.chunks):
        with pytest.raises(ValueError, match="xgrammar can't hold decoding to it"):
            list(ask(PROMPT, output_format=JsonFormat({"type": "string", "pattern": "("})))


def test_where_nothing_fits_the_model_has_failed_and_writes_nothing_freely(tiny: HuggingFaceLLM) -> None:
    nothing = JsonFormat({"type": "string", "pattern": r"^[^\s\S]$"})
    with pytest.raises(errors.ModelFailed, match="does any value fit the schema"):
        tiny.complete(PROMPT, output_format=nothing)
    with pytest.raises(errors.StreamInterrupted) as caught:
        list(tiny.chunks(PROMPT, output_format=nothing))
    assert caught.value.partial_text == '"'


def test_an_event_loop_does_not_wait_while_a_grammar_is_compiled(
    tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiling: list[str] = []
    compiler = tiny._engine.grammars

    class Compiler:
        def compile_lark(self, *args: Any, **options: Any) -> Any:
            compiling.append(threading.current_thread().name)
            return compiler.compile_lark(*args, **options)

    monkeypatch.setattr(tiny._engine, "grammars", Compiler())
    [answer] = asyncio.run(tiny.acomplete(PROMPT, output_format=JsonFormat({"const": "a"})))
    assert (answer.text, compiling) == ('"a"', ["sagechain-hugging-face"])


def test_special_tokens_are_no_text(converted: HuggingFaceLLM) -> None:
    from sagechain.llms.constrained.transformers_grammars import held_to
    from xgrammar import GrammarMatcher

    compiled = held_to(converted._engine, JsonFormat({"type": "string"}))
    assert compiled is not None
    matcher = GrammarMatcher(compiled())
    assert matcher.accept_string('"')
    assert not matcher.accept_token(converted._engine.special_ids(["<|im_start|>"])[0])
    assert matcher.accept_string('<|im_start|>"')


def test_without_xgrammar_answers_are_free(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagechain.llms.local.transformers.llm.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "xgrammar", None)
    assert not tiny.capabilities.constrained_decoding
    free = tiny.complete(PROMPT, max_new_tokens=10)[0].text
    assert tiny.complete(PROMPT, max_new_tokens=10, output_format=JsonFormat())[0].text == free


def test_the_embedded_model_is_held_too(converted: HuggingFaceLLM) -> None:
    use = ToolCallFormat.from_tools(TOOLS, "check", parallel=False)
    [answer] = converted.complete("Check Rome: ", output_format=use, max_new_tokens=60)
    assert answer.text == '<tool_call>\n{"name": "check", "arguments": {"city": "Rome"}}\n</tool_call>'
