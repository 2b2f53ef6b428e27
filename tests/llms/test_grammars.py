"""The embedded model in llama.cpp, held to the output format of its answer."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator
from langchain_core.messages import HumanMessage
from sagechain.llms import LlamaCppLLM
from sagechain.llms.constrained.schemas import NOT_HELD
from sagechain.prompts.output_format import AnyTool, JsonFormat, ToolCallFormat

from tests.llms.held import ENDLESS, SCHEMAS, fits

ASKED = [HumanMessage("Answer with something.")]
HOT: dict[str, Any] = {"temperature": 2.0, "seed": 1}


def weather(city: Literal["Paris", "New York"], days: Literal[1, 2] = 1) -> None:
    """The weather in a city."""


def search(words: Literal["sun", "日本"] | None) -> None:
    """Search the web."""


TOOLS: list[AnyTool] = [weather, search]
WEATHER = [HumanMessage("What is the weather in Paris?")]


def calls(text: str) -> list[Any]:
    """The calls that a text consists of."""
    blocks = text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    return [json.loads(block) for block in blocks.split("\n</tool_call>\n<tool_call>\n")]


@pytest.mark.parametrize("settings", [{}, HOT], ids=["greedy", "drawn"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_an_answer_that_is_held_to_a_schema_fits_it(llm: LlamaCppLLM, name: str, settings: dict[str, Any]) -> None:
    [answer] = llm.complete(ASKED, output_format=JsonFormat(SCHEMAS[name]), max_new_tokens=150, **settings)
    assert (answer.generation_info or {})["finish_reason"] == "stop"
    assert fits(answer.text, SCHEMAS[name])


def test_a_schema_may_refer_to_itself(llm: LlamaCppLLM) -> None:
    answers = llm.complete(ASKED, output_format=JsonFormat(ENDLESS), max_new_tokens=60, num_return_sequences=4, **HOT)
    ended = [answer.text for answer in answers if (answer.generation_info or {})["finish_reason"] == "stop"]
    assert ended
    assert all(fits(text, ENDLESS) for text in ended)


def test_an_answer_that_is_cut_says_so_and_is_the_beginning_of_one_that_fits(llm: LlamaCppLLM) -> None:
    output_format = JsonFormat(SCHEMAS["nested objects by $ref"])
    whole, cut = (llm.complete(ASKED, output_format=output_format, max_new_tokens=tokens)[0] for tokens in (150, 6))
    assert (cut.generation_info or {})["finish_reason"] == "length"
    assert whole.text.startswith(cut.text)


def test_without_a_schema_it_is_any_object(llm: LlamaCppLLM) -> None:
    [answer] = llm.complete('{"a": 1}\n{"a": 1}\n{"a": 1}\n', output_format=JsonFormat(), max_new_tokens=60)
    assert isinstance(json.loads(answer.text), dict)


def test_text_prompts_streams_and_several_answers_are_held_too(llm: LlamaCppLLM) -> None:
    output_format, schema = JsonFormat(SCHEMAS["integer"]), SCHEMAS["integer"]
    assert fits(llm.complete("A small number: ", output_format=output_format)[0].text, schema)
    assert fits("".join(piece.text for piece in llm.chunks(ASKED, output_format=output_format)), schema)
    several = llm.complete(ASKED, output_format=output_format, num_return_sequences=6, **HOT)
    assert len({answer.text for answer in several}) > 1
    assert all(fits(answer.text, schema) for answer in several)
    likely = llm.with_fields(likelihood=True, repetition_penalty=1.3, top_k=5, top_p=0.5)
    assert fits(likely.complete(ASKED, output_format=output_format, **HOT)[0].text, schema)


def test_calls_that_run_together_are_each_held_to_their_own(llm: LlamaCppLLM) -> None:
    words = ["one", "two two", "three", "four", "five", "six"]  # more than there are slots
    with ThreadPoolExecutor(len(words)) as threads:
        answers = threads.map(lambda word: llm.complete(ASKED, output_format=JsonFormat({"const": word})), words)
        assert [json.loads(answer.text) for [answer] in answers] == words


def test_after_a_held_stream_that_was_left_the_next_is_held(llm: LlamaCppLLM) -> None:
    endless = {"type": "array", "items": {"const": "again"}, "minItems": 500}
    with closing(llm.chunks(ASKED, output_format=JsonFormat(endless))) as pieces:
        assert next(pieces).text
    assert llm.complete(ASKED, output_format=JsonFormat({"const": "done"}))[0].text == '"done"'


def test_a_stop_string_still_ends_the_answer(llm: LlamaCppLLM) -> None:
    [answer] = llm.complete(ASKED, ["true"], output_format=JsonFormat({"const": [False, True, False]}))
    assert answer.text == "[false, "


@pytest.mark.parametrize("settings", [{}, HOT], ids=["greedy", "drawn"])
@pytest.mark.parametrize("choice", ["any", "weather", "search"])
def test_where_a_call_must_come_one_comes_and_nothing_else(
    llm: LlamaCppLLM, choice: str, settings: dict[str, Any]
) -> None:
    use = ToolCallFormat.from_tools(TOOLS, choice, parallel=False)
    [answer] = llm.complete(WEATHER, output_format=use, max_new_tokens=100, **settings)
    [call] = calls(answer.text)
    assert call.keys() == {"name", "arguments"}
    assert answer.text == f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"
    [tool] = [tool for tool in use.callable if tool["name"] == call["name"]]
    Draft202012Validator({**tool["parameters"], "additionalProperties": False}).validate(call["arguments"])


def test_several_calls_may_come_in_parallel(llm: LlamaCppLLM) -> None:
    [answer] = llm.complete(WEATHER, output_format=ToolCallFormat.from_tools(TOOLS, "weather"), max_new_tokens=80)
    assert answer.text.count("\n</tool_call>\n<tool_call>\n") == answer.text.count("</tool_call>") > 1


def test_a_tool_without_parameters_gets_none_and_any_name_is_kept(llm: LlamaCppLLM) -> None:
    tool = {"name": 'détail "x"', "description": "", "parameters": {"type": "object", "properties": {}}}
    use = ToolCallFormat((tool,), "any", parallel=False)
    assert calls(llm.complete(WEATHER, output_format=use)[0].text) == [{"name": tool["name"], "arguments": {}}]


# A wrong key and an argument that no tool has, as the free model then writes them too.
SHOWN = "".join(
    f"User: What is the weather in {city}?\nAssistant: {{}}<tool_call>\n"
    f'{{{{"name": "weather", "args": {{{{"city": "{city}"}}}}, "x": 1}}}}\n</tool_call>\n'
    for city in ("Rome", "Oslo", "Bonn", "Bern")
)


@pytest.mark.parametrize("before", ["", "Let me look.\n"])
def test_where_a_call_may_come_it_is_held_from_the_tag_that_opens_it(llm: LlamaCppLLM, before: str) -> None:
    prompt = SHOWN.format(*[before] * 4) + "User: What is the weather in Paris?\nAssistant:"
    [free] = llm.complete(prompt, ["\nUser:"], max_new_tokens=50)
    assert '"args"' in free.text
    [held] = llm.complete(prompt, output_format=ToolCallFormat.from_tools(TOOLS, parallel=False), max_new_tokens=80)
    text, call = held.text.split("<tool_call>")
    assert text.strip() == before.strip()
    assert calls(call.strip())[0]["name"] == "weather"


def test_where_no_call_is_opened_the_text_is_that_of_the_free_model(llm: LlamaCppLLM) -> None:
    prompt = "User: What is the capital of France?\nAssistant:"
    for choice in ("auto", "none"):
        [answer] = llm.complete(prompt, output_format=ToolCallFormat.from_tools(TOOLS, choice), max_new_tokens=7)
        assert answer.text == " The capital of France is Paris."


def test_a_part_that_cannot_be_held_to_is_named_with_its_tool(llm: LlamaCppLLM) -> None:
    def tag(words: set[str]) -> None:
        """Tag it."""

    message = r"^tools\['tag'\].parameters.properties.words: decoding can't be held to 'uniqueItems'; leave it out"
    with pytest.raises(ValueError, match=message):
        llm.complete(WEATHER, output_format=ToolCallFormat.from_tools([weather, tag]))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 5, "maximum": 3},
        {"type": "string", "pattern": "("},
        {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "minProperties": 2},
    ],
)
def test_what_llama_cpp_does_not_take_is_refused_and_never_answered_freely(
    llm: LlamaCppLLM, schema: dict[str, Any]
) -> None:
    for ask in (llm.complete, llm.chunks):
        with pytest.raises(ValueError, match=r"llama\.cpp can't hold decoding to this JSON schema"):
            list(ask(ASKED, output_format=JsonFormat(schema), max_new_tokens=5))


@pytest.mark.parametrize("keyword", sorted(NOT_HELD - {"$dynamicRef", "$recursiveRef"}))
def test_llama_cpp_does_not_take_what_is_refused_here(
    llm: LlamaCppLLM, keyword: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagechain.llms.constrained.schemas.NOT_HELD", frozenset())
    values: dict[str, Any] = {
        "uniqueItems": True,
        "minContains": 1,
        "maxContains": 1,
        "dependentRequired": {"a": ["b"]},
    }
    part: dict[str, Any] = {"a": {}} if keyword.startswith("depend") else {"type": "integer"}
    value = values.get(keyword, part)
    with pytest.raises(ValueError, match=r"llama\.cpp can't hold"):
        llm.complete(ASKED, output_format=JsonFormat({keyword: value}), max_new_tokens=5)
