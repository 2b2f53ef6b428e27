"""The embedded model in llama.cpp with constrained decoding."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator
from langchain_core.messages import HumanMessage
from sagechain.llms import LlamaCppLLM
from sagechain.prompts import AnyTool, JsonFormat, ToolCallFormat

from tests.llms.schema_cases import ENDLESS, SCHEMAS, fits

MESSAGES = [HumanMessage("Answer with something.")]
RANDOM: dict[str, Any] = {"temperature": 2.0, "seed": 1}


def weather(city: Literal["Paris", "New York"], days: Literal[1, 2] = 1) -> None:
    """The weather in a city."""


def search(words: Literal["sun", "日本"] | None) -> None:
    """Search the web."""


TOOLS: list[AnyTool] = [weather, search]
WEATHER = [HumanMessage("What is the weather in Paris?")]


def calls(text: str) -> list[Any]:
    """The tool calls that a text consists of."""
    blocks = text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")
    return [json.loads(block) for block in blocks.split("\n</tool_call>\n<tool_call>\n")]


@pytest.mark.parametrize("settings", [{}, RANDOM], ids=["greedy", "random"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_a_constrained_answer_fits_its_schema(llm: LlamaCppLLM, name: str, settings: dict[str, Any]) -> None:
    [answer] = llm.complete(MESSAGES, output_format=JsonFormat(SCHEMAS[name]), max_new_tokens=150, **settings)
    assert (answer.generation_info or {})["finish_reason"] == "stop"
    assert fits(answer.text, SCHEMAS[name])


def test_a_schema_may_refer_to_itself(llm: LlamaCppLLM) -> None:
    answers = llm.complete(
        MESSAGES, output_format=JsonFormat(ENDLESS), max_new_tokens=60, num_return_sequences=4, **RANDOM
    )
    ended = [answer.text for answer in answers if (answer.generation_info or {})["finish_reason"] == "stop"]
    assert ended
    assert all(fits(text, ENDLESS) for text in ended)


def test_a_truncated_answer_reports_it_and_starts_one_that_fits(llm: LlamaCppLLM) -> None:
    output_format = JsonFormat(SCHEMAS["nested objects by $ref"])
    whole, cut = (llm.complete(MESSAGES, output_format=output_format, max_new_tokens=tokens)[0] for tokens in (150, 6))
    assert (cut.generation_info or {})["finish_reason"] == "length"
    assert whole.text.startswith(cut.text)


def test_without_a_schema_the_answer_is_any_json_object(llm: LlamaCppLLM) -> None:
    [answer] = llm.complete('{"a": 1}\n{"a": 1}\n{"a": 1}\n', output_format=JsonFormat(), max_new_tokens=60)
    assert isinstance(json.loads(answer.text), dict)


def test_text_prompts_streams_and_several_answers_are_constrained_too(llm: LlamaCppLLM) -> None:
    output_format, schema = JsonFormat(SCHEMAS["integer"]), SCHEMAS["integer"]
    assert fits(llm.complete("A small number: ", output_format=output_format)[0].text, schema)
    assert fits("".join(chunk.text for chunk in llm.chunks(MESSAGES, output_format=output_format)), schema)
    several = llm.complete(MESSAGES, output_format=output_format, num_return_sequences=6, **RANDOM)
    assert len({answer.text for answer in several}) > 1
    assert all(fits(answer.text, schema) for answer in several)
    likely = llm.with_fields(likelihood=True, repetition_penalty=1.3, top_k=5, top_p=0.5)
    assert fits(likely.complete(MESSAGES, output_format=output_format, **RANDOM)[0].text, schema)


def test_concurrent_generations_are_each_constrained_to_their_own_schema(llm: LlamaCppLLM) -> None:
    words = ["one", "two two", "three", "four", "five", "six"]  # more than there are slots
    with ThreadPoolExecutor(len(words)) as threads:
        answers = threads.map(lambda word: llm.complete(MESSAGES, output_format=JsonFormat({"const": word})), words)
        assert [json.loads(answer.text) for [answer] in answers] == words


def test_after_a_closed_stream_the_next_answer_is_constrained(llm: LlamaCppLLM) -> None:
    endless = {"type": "array", "items": {"const": "again"}, "minItems": 500}
    with closing(llm.chunks(MESSAGES, output_format=JsonFormat(endless))) as chunks:
        assert next(chunks).text
    assert llm.complete(MESSAGES, output_format=JsonFormat({"const": "done"}))[0].text == '"done"'


def test_a_stop_string_still_ends_the_answer(llm: LlamaCppLLM) -> None:
    [answer] = llm.complete(MESSAGES, ["true"], output_format=JsonFormat({"const": [False, True, False]}))
    assert answer.text == "[false, "


@pytest.mark.parametrize("settings", [{}, RANDOM], ids=["greedy", "random"])
@pytest.mark.parametrize("choice", ["any", "weather", "search"])
def test_a_required_call_is_the_whole_answer(llm: LlamaCppLLM, choice: str, settings: dict[str, Any]) -> None:
    use = ToolCallFormat.from_tools(TOOLS, choice, parallel=False)
    [answer] = llm.complete(WEATHER, output_format=use, max_new_tokens=100, **settings)
    [call] = calls(answer.text)
    assert call.keys() == {"name", "arguments"}
    assert answer.text == f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"
    [tool] = [tool for tool in use.callable_tools if tool["name"] == call["name"]]
    Draft202012Validator({**tool["parameters"], "additionalProperties": False}).validate(call["arguments"])


def test_an_answer_may_contain_parallel_calls(llm: LlamaCppLLM) -> None:
    [answer] = llm.complete(
        WEATHER, output_format=ToolCallFormat.from_tools(TOOLS, "weather", parallel=True), max_new_tokens=80
    )
    assert answer.text.count("\n</tool_call>\n<tool_call>\n") == answer.text.count("</tool_call>") > 1


def test_a_tool_without_parameters_gets_no_arguments_and_any_name_is_written_as_it_is(llm: LlamaCppLLM) -> None:
    tool = {"name": 'détail "x"', "description": "", "parameters": {"type": "object", "properties": {}}}
    use = ToolCallFormat((tool,), "any", parallel=False)
    assert calls(llm.complete(WEATHER, output_format=use)[0].text) == [{"name": tool["name"], "arguments": {}}]


# A wrong key and an argument that no tool has: the unconstrained model repeats them.
SHOWN = "".join(
    f"User: What is the weather in {city}?\nAssistant: {{}}<tool_call>\n"
    f'{{{{"name": "weather", "args": {{{{"city": "{city}"}}}}, "x": 1}}}}\n</tool_call>\n'
    for city in ("Rome", "Oslo", "Bonn", "Bern")
)


@pytest.mark.parametrize("before", ["", "Let me look.\n"])
def test_an_optional_call_is_constrained_from_its_opening_tag(llm: LlamaCppLLM, before: str) -> None:
    prompt = SHOWN.format(*[before] * 4) + "User: What is the weather in Paris?\nAssistant:"
    [free] = llm.complete(prompt, ["\nUser:"], max_new_tokens=50)
    assert '"args"' in free.text
    [constrained] = llm.complete(
        prompt, output_format=ToolCallFormat.from_tools(TOOLS, parallel=False), max_new_tokens=80
    )
    text, call = constrained.text.split("<tool_call>")
    assert text.strip() == before.strip()
    assert calls(call.strip())[0]["name"] == "weather"


def test_an_answer_without_a_call_is_that_of_the_unconstrained_model(llm: LlamaCppLLM) -> None:
    prompt = "User: What is the capital of France?\nAssistant:"
    for choice in ("auto", "none"):
        [answer] = llm.complete(prompt, output_format=ToolCallFormat.from_tools(TOOLS, choice), max_new_tokens=7)
        assert answer.text == " The capital of France is Paris."


def test_an_unsupported_part_of_a_schema_is_named_with_its_tool(llm: LlamaCppLLM) -> None:
    def tag(words: set[str]) -> None:
        """Tag it."""

    message = (
        r"^tools\['tag'\].parameters.properties.words: decoding can't be constrained to 'uniqueItems'; leave it out"
    )
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
def test_a_grammar_that_llama_cpp_refuses_is_an_error_and_never_ignored(
    llm: LlamaCppLLM, schema: dict[str, Any]
) -> None:
    for generate in (llm.complete, llm.chunks):
        with pytest.raises(ValueError, match=r"can't be constrained to it: llama\.cpp refuses its grammar"):
            list(generate(MESSAGES, output_format=JsonFormat(schema), max_new_tokens=5))


@pytest.mark.parametrize(
    "schema",
    [
        {"const": "<|im_start|>"},
        {"enum": ["a<|im_end|>b"]},
        {"type": "string", "pattern": "^<\\|endoftext\\|>$"},
        {"type": "object", "properties": {"<|im_end|>": {"const": 1}}, "required": ["<|im_end|>"]},
    ],
    ids=str,
)
def test_the_name_of_a_special_token_in_a_schema_is_text(llm: LlamaCppLLM, schema: dict[str, Any]) -> None:
    [answer] = llm.complete("Write JSON:", output_format=JsonFormat(schema), max_new_tokens=30)
    assert (answer.generation_info or {})["finish_reason"] == "stop"
    assert fits(answer.text, schema)
