"""The scripted model: a prompt is read out of its text alone, and answers come from a script or by general rules."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from sagechain.llms import PromptedChatModel
from sagechain.llms.filling import Words, filled
from sagechain.llms.prompt_reading import Said, read_prompt
from sagechain.llms.testing import ScriptedLLM
from sagechain.prompts import get_family
from sagechain.prompts.families.base import RoleMessage, alternate_roles, to_role_messages
from sagechain.prompts.output_format import JsonFormat, ToolCallFormat

FAMILIES = ["chatml", "falcon", "falcon180b", "llama2", "plain"]
SAID = st.text() | st.sampled_from(
    ["", "User: a", "\nAssistant: b", "<|im_end|>\n", "[INST] x [/INST] y </s>", "<<SYS>>\n<</SYS>>", "AI:", "System: z",
     "<tools>\n</tools>", "<tool_call>\n{}\n</tool_call>", "<tool_response>1</tool_response>", "Falcon: c", "Human:"]
)  # fmt: skip
MESSAGE = st.builds(lambda kind, text: kind(text), st.sampled_from([SystemMessage, HumanMessage, AIMessage]), SAID)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def get_weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


def place_order(product_id: str, quantity: int = 1, size: str | None = None, gift: bool = False) -> str:
    """Order a product."""
    return f"{product_id} {quantity} {size} {gift}"


def clock() -> str:
    """Tell the time."""
    return "noon"


TOOLS: list[Any] = [add, get_weather, place_order, clock]


def asked(family: str, *said: BaseMessage | str, **use: Any) -> str:
    messages = [HumanMessage(each) if isinstance(each, str) else each for each in said]
    output_format = ToolCallFormat.from_tools(use.pop("tools", TOOLS), **use)
    return get_family(family).render(messages, output_format=output_format).text


def answer(family: str, *said: BaseMessage | str, **use: Any) -> AIMessage:
    choice = use.pop("choice", None)
    chat = PromptedChatModel(llm=ScriptedLLM(family=family)).bind_tools(
        use.pop("tools", TOOLS), tool_choice=choice, **use
    )
    message = chat.invoke([HumanMessage(each) if isinstance(each, str) else each for each in said])
    assert message.invalid_tool_calls == []
    return message


def calls(message: AIMessage) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in message.tool_calls]


# Reading a prompt back


@given(messages=st.lists(MESSAGE, min_size=1, max_size=6))
@pytest.mark.parametrize("family", FAMILIES)
def test_a_rendered_prompt_reads_back_as_what_was_said_and_no_words_become_structure(
    family: str, messages: list[BaseMessage]
) -> None:
    layout = get_family(family)
    turns = [RoleMessage(turn.role, turn.text.strip()) for turn in to_role_messages(messages, layout.escaping)]
    system = "\n\n".join(turn.text for turn in turns if turn.role == "system")
    if family != "chatml":
        _, turns = alternate_roles(turns)
    spoken = [(turn.role, turn.text.strip()) for turn in turns]
    said = tuple(Said(role, text) for role, text in spoken if text and role in ("user", "assistant"))
    read = read_prompt(family, layout.render(messages).text)
    assert (read.system.strip(), read.said) == (system.strip(), said)
    assert (read.tools, read.wants_json) == ([], False)


@pytest.mark.parametrize("family", FAMILIES)
def test_tools_calls_and_results_read_back(family: str) -> None:
    call = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1"}
    read = read_prompt(
        family,
        asked(
            family,
            SystemMessage("Be brief."),
            "1 + 2?",
            AIMessage("I add.", tool_calls=[call]),
            ToolMessage("3", tool_call_id="1"),
            choice="add",
            parallel=False,
        ),
    )
    assert [tool["name"] for tool in read.tools] == ["add", "get_weather", "place_order", "clock"]
    assert (read.must_call, read.named_tool, read.one_call_only) == (True, "add", True)
    assert (read.question, read.results, read.rounds, read.called) == ("1 + 2?", ["3"], 1, {"add"})
    assert [each.kind for each in read.said] == ["user", "assistant", "call", "result"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_choice_of_tools_reads_back(family: str) -> None:
    auto, some, none = (read_prompt(family, asked(family, "Hi", choice=c)) for c in ("auto", "any", "none"))
    assert (auto.must_call, some.must_call, some.named_tool, none.tools) == (False, True, None, [])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_schema_of_a_json_answer_reads_back(family: str) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    told, free = (
        read_prompt(family, get_family(family).render([HumanMessage("Hi")], output_format=output_format).text)
        for output_format in (JsonFormat(schema), JsonFormat())
    )
    assert (told.wants_json, told.schema) == (True, schema)
    assert (free.wants_json, free.schema) == (True, None)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_that_is_not_in_the_familys_layout_is_a_value_error(family: str) -> None:
    with pytest.raises(ValueError, match=f"prompt: it does not end with .* as one of family '{family}' does"):
        ScriptedLLM(family=family).invoke("Hello")


# A script


def test_a_script_is_answered_in_its_order_and_the_prompts_are_kept() -> None:
    llm = ScriptedLLM(family="falcon", answers=["Paris.", "Rome."])
    chat = PromptedChatModel(llm=llm, timeout=5)
    assert llm.answers_left == 2
    assert [chat.invoke(f"{place}?").text for place in ("France", "Italy")] == ["Paris.", "Rome."]
    assert llm.prompts == ["User: France?\nAssistant:", "User: Italy?\nAssistant:"]
    assert llm.answers_left == 0


def test_a_batch_takes_the_answers_in_the_order_of_its_prompts() -> None:
    llm = ScriptedLLM(answers=[str(number) for number in range(40)])
    assert llm.batch(["?"] * 40) == [str(number) for number in range(40)]


def test_a_prompt_after_the_scripts_end_is_an_error_that_shows_it() -> None:
    llm = ScriptedLLM(answers=["Paris."])
    llm.invoke("first")
    with pytest.raises(ValueError, match=r"answers: all 1 have been given, and here is prompt 2, which ends 'second'"):
        llm.invoke("second")


@pytest.mark.parametrize("family", FAMILIES)
def test_scripted_calls_are_written_in_the_form_that_the_family_shows(family: str) -> None:
    first, second = {"name": "add", "args": {"a": 1, "b": 2}}, {"name": "clock", "args": {}}
    script = [first, [first, second], AIMessage("Both.", tool_calls=[{**first, "id": "1"}, {**second, "id": "2"}])]
    chat = PromptedChatModel(llm=ScriptedLLM(family=family, answers=script)).bind_tools(TOOLS)
    one, two, both = (chat.invoke("Hi") for _ in range(3))
    assert calls(one) == [("add", {"a": 1, "b": 2})]
    assert calls(two) == calls(both) == [("add", {"a": 1, "b": 2}), ("clock", {})]
    assert both.text == "Both."


@pytest.mark.parametrize("wrong", [{"answer": 42}, 42, {"name": 1, "args": {}}, [{"name": "add", "args": {}}, "text"]])
def test_an_answer_that_is_neither_text_nor_call_is_a_value_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"answers\[1\]: .* is neither a text nor a call"):
        ScriptedLLM(answers=["Hi", wrong])


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"family": "chatlm"}, "family: 'chatlm' is unknown. Did you mean 'chatml'?"),
        ({"family": "messages"}, "family: 'messages' is unknown"),
        ({"answer": []}, "parameter: 'answer' is unknown. Did you mean 'answers'?"),
        ({"stream_by": "letters"}, "stream_by"),
    ],
)
def test_a_wrong_field_is_a_value_error(field: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        ScriptedLLM(**field)


# Tokens, limits, stops, streams


@given(text=st.text())
def test_tokens_are_words_and_marks_and_add_up_to_the_text(text: str) -> None:
    llm = ScriptedLLM(answers=[text])
    pieces = [piece.text for piece in llm.chunks("?")][:-1]
    assert "".join(pieces) == text
    assert len(pieces) == llm.text_tokens(text) == len(llm.get_token_ids(text))


def test_the_tokens_of_a_sentence() -> None:
    assert [piece.text for piece in ScriptedLLM(answers=["It's 3.5 °C, I think. "]).chunks("?")][:-1] == (
        ["It", "'", "s", " 3", ".", "5", " °", "C", ",", " I", " think", ".", " "]
    )


@pytest.mark.parametrize("stream_by", ["tokens", "characters", "whole"])
@pytest.mark.parametrize(
    ("settings", "text", "reason", "tokens"),
    [
        ({}, "One, two, three.", "stop", 6),
        ({"max_new_tokens": 3}, "One, two", "length", 3),
        ({"max_new_tokens": 6}, "One, two, three.", "stop", 6),
        ({"stop": [", th"]}, "One, two", "stop", 3),
        ({"stop": ["two"], "max_new_tokens": 1}, "One", "length", 1),
    ],
)
def test_an_answer_ends_at_its_limit_or_a_stop_string_and_a_stream_gives_the_same(
    stream_by: Any, settings: dict[str, Any], text: str, reason: str, tokens: int
) -> None:
    llm = ScriptedLLM(answers=["One, two, three."] * 2, stream_by=stream_by)
    [whole] = llm.complete("Count to three:", **settings)
    pieces = list(llm.chunks("Count to three:", **settings))
    info = {"finish_reason": reason, "input_tokens": 4, "output_tokens": tokens}
    assert (whole.text, whole.generation_info) == (text, info)
    assert ("".join(piece.text for piece in pieces), pieces[-1].generation_info) == (text, info)


def test_usage_is_counted_by_the_models_own_tokens() -> None:
    llm = ScriptedLLM(family="plain", answers=["It is Paris."] * 2)
    chat = PromptedChatModel(llm=llm)
    usage = {"input_tokens": llm.text_tokens("Human: Where?\nAI:"), "output_tokens": 4, "total_tokens": 10}
    assert chat.invoke("Where?").usage_metadata == usage
    assert [m.usage_metadata for m in chat.stream("Where?") if m.usage_metadata] == [usage]
    assert chat.get_num_tokens("It is Paris.") == 4


def test_a_context_is_kept() -> None:
    llm = ScriptedLLM(answers=["one two three four"] * 2, context=5)
    assert llm.invoke("a b") == "one two three"
    with pytest.raises(ValueError, match="prompt: it has 6 tokens, 1 more than the context of 5"):
        llm.invoke("a b c d e f")


def test_several_answers_to_one_prompt_are_taken_from_the_script() -> None:
    llm = ScriptedLLM(answers=["a", "b", "c"])
    assert [each.text for each in llm.complete("?", num_return_sequences=2, temperature=1.0)] == ["a", "b"]


# An ideal model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("What is add(20, 22)?", [("add", {"a": 20, "b": 22})]),
        ("Please add -1.0 and 2", [("add", {"a": -1, "b": 2})]),
        ("What is the weather in San Francisco, CA?", [("get_weather", {"city": "San Francisco, CA"})]),
        ("The weather in Paris and Rome?", [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]),
        ("Weather for '東京'!", [("get_weather", {"city": "東京"})]),
        ("Order 3 of AB-12", [("place_order", {"product_id": "AB-12", "quantity": 3})]),
        ("Order 'tent', size is L, as a gift", [("place_order", {"product_id": "tent", "size": "L", "gift": True})]),
        ("Order with product id: x9 and quantity = 4", [("place_order", {"product_id": "x9", "quantity": 4})]),
        ("Use the clock, and add 1 to 2", [("clock", {}), ("add", {"a": 1, "b": 2})]),
        ("Hello!", []),
        ("<tool_call>\n{}\n</tool_call>", []),
    ],
)
def test_tools_that_the_words_ask_for_are_called_with_what_the_words_say(
    family: str, words: str, expected: list[tuple[str, dict[str, Any]]]
) -> None:
    assert calls(answer(family, words)) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forced_call_is_made_whatever_the_words_are_and_one_only_if_one_is_wanted(family: str) -> None:
    assert calls(answer(family, "Hello!", choice="any")) == [("add", {"a": 1, "b": 1})]
    assert calls(answer(family, "Hello!", choice="clock")) == [("clock", {})]
    both = answer(family, "Weather in Paris and Rome?", parallel_tool_calls=False)
    assert calls(both) == [("get_weather", {"city": "Paris"})]
    assert answer(family, "Weather in Paris?", choice="none").text == "You said: Weather in Paris?"


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_are_called_one_round_after_another_with_what_the_results_say_and_then_told(family: str) -> None:
    asked: list[BaseMessage] = [HumanMessage("What is the weather in Oslo? Then order 2 of what sells there.")]
    first = answer(family, *asked)
    assert calls(first) == [("get_weather", {"city": "Oslo"})]
    asked += [
        first,
        ToolMessage('{"rain": true, "product_id": "umbrella"}', tool_call_id=str(first.tool_calls[0]["id"])),
    ]
    second = answer(family, *asked)
    assert calls(second) == [("place_order", {"product_id": "umbrella", "quantity": 2})]
    asked += [second, ToolMessage("ordered", tool_call_id=str(second.tool_calls[0]["id"]))]
    third = answer(family, *asked)
    assert third.text == 'This is what I found: {"rain": true, "product_id": "umbrella"}; ordered'
    assert calls(answer(family, *asked, third, HumanMessage("Use the clock"))) == [("clock", {})]


def test_where_a_call_is_forced_again_another_tool_than_before_is_taken() -> None:
    first = answer("chatml", "Weather in Oslo?", choice="any", tools=[get_weather, clock])
    result = ToolMessage("rain", tool_call_id=str(first.tool_calls[0]["id"]))
    again = answer("chatml", "Hm.", first, result, choice="any", tools=[get_weather, clock])
    assert calls(again) == [("clock", {})]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conversation_is_remembered(family: str) -> None:
    chat = PromptedChatModel(llm=ScriptedLLM(family=family))
    talk = [SystemMessage("The shop is open."), HumanMessage("My favourite colour is green."), AIMessage("Noted.")]
    assert chat.invoke([*talk, HumanMessage("What is my favourite colour?")]).text == "Your favourite colour is green."
    assert chat.invoke([*talk, HumanMessage("What is my name?")]).text == "You said: What is my name?"
    assert chat.invoke([HumanMessage("Hi"), AIMessage("Hi")]).text == "You said: Hi"
    assert chat.invoke([AIMessage("Hi")]).text == "What can I do for you?"


SCHEMA = {
    "title": "Visit",
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "the guest"},
        "age": {"type": "integer", "minimum": 18},
        "room": {"enum": ["single", "double"]},
        "price": {"type": "number", "exclusiveMaximum": 100},
        "pets": {"type": "array", "items": {"type": "string"}},
        "nights": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "address": {"$ref": "#/$defs/Address"},
        "vip": {"type": "boolean"},
        "note": {"type": "string", "default": "none"},
        "kind": {"const": "visit"},
        "nothing": {"type": "null"},
    },
    "required": ["name", "age", "room", "price", "pets", "nights", "address", "vip", "note", "kind", "nothing"],
    "$defs": {"Address": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


def json_answer(family: str, words: str, schema: dict[str, Any] | None) -> Any:
    rendered = get_family(family).render([HumanMessage(words)], output_format=JsonFormat(schema))
    return json.loads(ScriptedLLM(family=family).invoke(rendered.text, stop=list(rendered.stop)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_json_answer_fits_its_schema_with_what_the_words_say(family: str) -> None:
    words = (
        "My name is Ada and my age is 36. A double room, 3 nights at 250. Pets: 'Tom', 'Kim'. The city is Graz. vip!"
    )
    assert json_answer(family, words, SCHEMA) == {
        "name": "Ada",
        "age": 36,
        "room": "double",
        "price": 99,
        "pets": ["Tom", "Kim"],
        "nights": 3,
        "address": {"city": "Graz"},
        "vip": True,
        "note": "none",
        "kind": "visit",
        "nothing": None,
    }


VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["red", "a b", ""])
BOUNDS = st.integers(-5, 5).flatmap(
    lambda low: st.sampled_from(
        [
            {},
            {"minimum": low, "maximum": low + 3},
            {"exclusiveMinimum": low, "exclusiveMaximum": low + 2},
            {"minimum": low},
            {"exclusiveMaximum": low},
        ]
    )
)
LEAVES = st.one_of(
    st.sampled_from([{"type": "string"}, {"type": "boolean"}, {"type": "null"}, {}, {"type": ["null", "integer"]}]),
    st.builds(lambda kind, bounds: {"type": kind, **bounds}, st.sampled_from(["integer", "number"]), BOUNDS),
    st.builds(lambda value: {"const": value}, VALUES),
    st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=3)),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(
            lambda parts, needed: {"type": "object", "properties": parts, "required": sorted(needed & parts.keys())},
            st.dictionaries(st.sampled_from(["name", "age", "red", "query", "a_b"]), inner, max_size=4),
            st.sets(st.sampled_from(["name", "age", "red", "query", "a_b"])),
        ),
        st.builds(
            lambda items, size: {"type": "array", "items": items, **size},
            inner,
            st.sampled_from([{}, {"maxItems": 1}, {"minItems": 2}, {"minItems": 1, "maxItems": 2}]),
        ),
        st.builds(lambda first: {"anyOf": [{"type": "null"}, first]}, inner),
    ),
    max_leaves=8,
)
NAMED = st.builds(
    lambda it: {
        "$defs": {"It": it},
        "type": "object",
        "properties": {"it": {"$ref": "#/$defs/It"}},
        "required": ["it"],
    },
    SCHEMAS,
)
WORDS = st.text() | st.lists(
    st.sampled_from(["My", "name is", "Ada", "age: 36", "3", "-0.5", "'blue tent'", "AB-12", "red", "no", "a b", "for Bob,",
                     "not", "query =", "what?", "tent'", "."])
).map(" ".join)  # fmt: skip


@given(schema=SCHEMAS | NAMED, words=WORDS)
def test_whatever_is_said_the_value_fits_the_schema(schema: dict[str, Any], words: str) -> None:
    value = filled(schema, Words(words, ['{"age": 7, "name": "Cy", "query": []}', "no JSON"]))
    json.dumps(value)
    jsonschema.validate(value, schema)


def test_what_the_words_do_not_say_is_a_sensible_default() -> None:
    assert json_answer("chatml", "Hello", SCHEMA) == {
        "name": "the guest",
        "age": 18,
        "room": "single",
        "price": 1,
        "pets": [],
        "nights": 1,
        "address": {"city": "city"},
        "vip": False,
        "note": "none",
        "kind": "visit",
        "nothing": None,
    }


def test_without_a_schema_the_object_has_the_keys_that_the_words_quote() -> None:
    assert json_answer("llama2", "Tell me of Rome as JSON with 'city' and 'land' as keys.", None) == (
        {"city": "Rome", "land": "JSON"}
    )
