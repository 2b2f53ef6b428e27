"""A tiny random GPT-2 in transformers, held to the shape of its answer by xgrammar: what fits was not the model's doing."""

import json
import sys
from typing import Any, Literal

import pytest
from sagechain.llms import HuggingFaceLLM
from sagechain.prompts.shapes import AnyTool, JsonAnswer, ToolUse

from tests.llms.held import SCHEMAS, fits

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
    assert tiny.constrains
    [answer] = tiny.complete(PROMPT, shape=JsonAnswer(SHORT[name]), **settings)
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
    answers = tiny.complete(PROMPT, shape=JsonAnswer(YES), **settings)
    assert len(answers) == settings.get("num_return_sequences", 1)
    assert all(fits(answer.text, YES) for answer in answers)


def test_streams_stops_and_limits_are_as_ever(tiny: HuggingFaceLLM) -> None:
    shape = JsonAnswer({"const": "no yes no"})
    assert "".join(piece.text for piece in tiny.pieces(PROMPT, shape=shape)) == '"no yes no"'
    assert tiny.complete(PROMPT, ["yes"], shape=shape)[0].text == '"no '
    [cut] = tiny.complete(PROMPT, shape=shape, max_new_tokens=3)
    assert (cut.generation_info or {})["finish_reason"] == "length"
    assert '"no yes no"'.startswith(cut.text)
    likely = tiny.renewed(likelihood=True).complete(PROMPT, shape=shape)[0].generation_info or {}
    assert -30 < likely["likelihood"] < 0


def test_rows_that_share_a_batch_are_each_held(tiny: HuggingFaceLLM) -> None:
    from contextlib import closing

    from sagechain.llms.calls import whole
    from sagechain.llms.hugging_face_call import HuggingFaceCall, start

    shapes = [JsonAnswer({"const": "a"}), None, JsonAnswer({"const": "b or c"})]
    parameters = tiny._parameters(None, {"max_new_tokens": 30})
    calls = [
        tiny._start(prompt, parameters, stream=False, shape=shape)
        for prompt, shape in zip(["a", PROMPT * 4, "b b"], shapes, strict=True)
    ]
    assert all(isinstance(call, HuggingFaceCall) for call in calls)
    start(calls, most_rows=3)
    texts = []
    for call in calls:
        with closing(call):
            texts.append(whole(call, parameters)[0].text)
    assert texts[::2] == ['"a"', '"b or c"']
    assert texts[1] == tiny.complete(PROMPT * 4, max_new_tokens=30)[0].text


@pytest.mark.parametrize("choice", ["any", "check", "stop"])
def test_where_a_call_must_come_one_comes_and_nothing_else(tiny: HuggingFaceLLM, choice: str) -> None:
    use = ToolUse.of(TOOLS, choice, parallel=False)
    for settings in ({}, HOT):
        text = tiny.complete("a", shape=use, **settings)[0].text
        call = json.loads(text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>"))
        assert call["name"] in [tool["name"] for tool in use.callable]
        assert text == f"<tool_call>\n{json.dumps(call)}\n</tool_call>"
        assert call["arguments"] in ({"city": "Paris"}, {"city": "Rome"} if call["name"] == "check" else {}) or (
            call == {"name": "stop", "arguments": {}}
        )


def test_where_a_call_may_come_only_text_without_one_or_a_whole_one_fits(tiny: HuggingFaceLLM) -> None:
    from sagechain.llms.hugging_face_grammars import held_to
    from xgrammar import GrammarMatcher

    def taken(text: str, *, parallel: bool = True) -> bool:
        matcher = GrammarMatcher(held_to(tiny._engine, ToolUse.of(TOOLS, parallel=parallel)))
        return bool(matcher.accept_string(text) and matcher.is_completed())

    call = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>'
    assert all(map(taken, ["", "Hello.", "a <tool_box> b", call, f"Let me see.\n{call}", f"{call}\n{call}"]))
    assert not any(map(taken, ["<tool_call>", "Hi <tool_call>x", f"{call} Done.", call.replace("stop", "halt")]))
    assert not taken(f"{call}\n{call}", parallel=False)


def test_what_xgrammar_cannot_hold_to_is_refused(tiny: HuggingFaceLLM) -> None:
    composed = {"allOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}}]}
    with pytest.raises(ValueError, match="decoding can't be held to several schemas in 'allOf'"):
        tiny.complete(PROMPT, shape=JsonAnswer(composed))
    with pytest.raises(ValueError, match="xgrammar can't hold decoding to it"):
        tiny.complete(PROMPT, shape=JsonAnswer({"type": "string", "pattern": "("}))


def test_without_xgrammar_answers_are_free(tiny: HuggingFaceLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagechain.llms.hugging_face.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "xgrammar", None)
    assert not tiny.constrains
    free = tiny.complete(PROMPT, max_new_tokens=10)[0].text
    assert tiny.complete(PROMPT, max_new_tokens=10, shape=JsonAnswer())[0].text == free


def test_the_embedded_model_is_held_too(converted: HuggingFaceLLM) -> None:
    use = ToolUse.of(TOOLS, "check", parallel=False)
    [answer] = converted.complete("Check Rome: ", shape=use, max_new_tokens=40)
    assert answer.text == '<tool_call>\n{"name": "check", "arguments": {"city": "Rome"}}\n</tool_call>'
