"""Structured answers of every Python type, whichever way the model is asked for them."""

import json
import typing
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Literal, get_args

import pytest
import typing_extensions
from pydantic import BaseModel, ConfigDict, RootModel, field_validator
from sagechain.llms import PromptedChatModel, errors
from sagechain.llms.chat.structured_output import Method
from sagechain.llms.testing import ScriptedLLM

METHODS = get_args(Method)


class A(BaseModel):
    x: int


class B(BaseModel):
    y: str


class Colour(Enum):
    RED = "red"
    BLUE = "sky blue"


class Scores(RootModel[list[int]]):
    pass


class Node(BaseModel):
    value: int
    following: "Node | None" = None


class Day(BaseModel):
    model_config = ConfigDict(strict=True)
    on: date
    span: tuple[int, date]


class Opaque:
    pass


class Endless(typing.TypedDict):
    inner: "Endless"


@dataclass
class Point:
    x: int
    y: int = 0


class Extended(typing_extensions.TypedDict):
    a: int
    more: typing_extensions.NotRequired[list[A]]


class Plain(typing.TypedDict, total=False):
    """A plain one."""

    a: typing.Required[int]
    b: typing.Annotated[str, ..., "the b"]
    inner: dict[str, Extended]
    pair: tuple[int, str] | None


class Derived(Extended):
    kind: Literal["p", "q"]


VALUES: list[tuple[Any, str, Any]] = [
    (A, '{"x": "7"}', A(x=7)),
    (A | B, '{"y": "b"}', B(y="b")),
    (typing.Union[A, B], '{"x": 7}', A(x=7)),  # noqa: UP007
    (typing.Optional[A], '{"x": 7}', A(x=7)),  # noqa: UP045
    (list[A], '[{"x": 7}, {"x": 8}]', [A(x=7), A(x=8)]),
    (dict[str, A], '{"k": {"x": 7}}', {"k": A(x=7)}),
    (tuple[int, str], '["1", "b"]', (1, "b")),
    (Colour, '"sky blue"', Colour.BLUE),
    (Literal["a", "b"], '"b"', "b"),
    (Scores, '[1, "2"]', Scores([1, 2])),
    (Node, '{"value": 1, "following": {"value": "2"}}', Node(value=1, following=Node(value=2))),
    (Day, '{"on": "2024-01-31", "span": [1, "2024-02-29"]}', Day(on=date(2024, 1, 31), span=(1, date(2024, 2, 29)))),
    (Point, '{"x": 1}', Point(1)),
    (Extended, '{"a": 1}', {"a": 1}),
    (
        Plain,
        '{"a": 1, "inner": {"k": {"a": 2, "more": [{"x": 3}]}}}',
        {"a": 1, "inner": {"k": {"a": 2, "more": [A(x=3)]}}},
    ),
    (list[Plain], '[{"a": 1, "pair": [1, "b"]}]', [{"a": 1, "pair": (1, "b")}]),
    (Derived, '{"a": 1, "kind": "p"}', {"a": 1, "kind": "p"}),
    ({"type": "array", "items": {"type": "integer"}, "title": "numbers"}, '[1, "2"]', [1, 2]),
    ({"title": "pair", "properties": {"p": {"items": [{"type": "integer"}]}}}, '{"p": ["1"]}', {"p": [1]}),
]


def chat_with(*answers: str) -> PromptedChatModel:
    return PromptedChatModel(llm=ScriptedLLM(answers=list(answers)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("schema", "written", "value"), VALUES, ids=lambda each: str(each)[:40])
def test_a_value_of_any_type_is_read(method: Method, schema: Any, written: str, value: Any) -> None:
    model = chat_with(f"<think>{written}? No.</think>{written}").with_structured_output(schema, method=method)
    read = model.invoke("q")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(("schema", "written", "value"), VALUES, ids=lambda each: str(each)[:40])
def test_a_tool_call_gives_a_value_that_is_no_object_as_its_argument(schema: Any, written: str, value: Any) -> None:
    llm = ScriptedLLM(answers=["No.", "No."])
    chat = PromptedChatModel(llm=llm)
    chat.with_structured_output(schema, include_raw=True).invoke("q")
    tool = json.loads(llm.prompts[0].partition("<tools>\n")[2].partition("\n</tools>")[0])["function"]
    arguments = f'{{"value": {written}}}' if "value" in tool["parameters"].get("required", ()) else written
    if schema is Node:  # its own property is named `value`
        arguments = written
    answer = f'<tool_call>\n{{"name": "{tool["name"]}", "arguments": {arguments}}}\n</tool_call>'
    assert chat_with(answer).with_structured_output(schema).invoke("q") == value


@pytest.mark.parametrize("method", METHODS)
def test_a_type_without_a_schema_is_refused_with_a_remedy(method: Method) -> None:
    schema: Any
    for schema in (typing.Callable[[int], int], Endless, Opaque):
        with pytest.raises(
            ValueError, match=r"^schema: .* can't be described as a JSON schema: .*; make it a field of"
        ):
            chat_with("x").with_structured_output(schema, method=method)


def test_a_validator_that_asserts_is_a_mismatch() -> None:
    class Even(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def _is_even(cls, x: int) -> int:
            assert x % 2 == 0, "it must be even"
            return x

    with pytest.raises(errors.StructuredOutputFailed, match="x: Assertion failed, it must be even"):
        chat_with('{"x": 1}', '{"x": 3}').with_structured_output(Even, method="json_schema").invoke("q")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "answer",
    [
        "[" * 10_000,
        '{"x":' * 10_000,
        '{"x": ' + "[" * 5_000 + "]" * 5_000 + "}",
        "{```json{```",
        '{"x": 7' + "0" * 5_000 + "}",
        '{"x": "\\ud800"}',
        '{"x": 7',
        '{"x": 7} or rather {"x": ',
        "<think>" * 1_000 + '{"x": 7}',
        '{"x": 7}</think>',
        "",
    ],
    ids=lambda text: text[:20],
)
def test_any_other_answer_is_a_failure_with_the_raw_text(method: Method, answer: str) -> None:
    with pytest.raises(errors.StructuredOutputFailed) as raised:
        chat_with(answer, answer).with_structured_output(A, method=method).invoke("q")
    assert len(str(raised.value)) < 2_000


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "answer",
    [
        '<think>maybe {"x": 5}? no</think>\n{"x": 7}',
        'maybe {"x": 5}? no</think>\n{"x": 7}',
        'First {"x": 5}. Better:\n```json\n{"x": 7}\n```\nas in [1] and {"y": 2}.',
        'Use {braces}: {"x": 7}',
        '{"x": "7"}',
        '{"x": 7.0}',
    ],
)
def test_the_last_value_that_fits_outside_reasoning_is_taken(method: Method, answer: str) -> None:
    assert chat_with(answer).with_structured_output(A, method=method).invoke("q") == A(x=7)


@pytest.mark.parametrize("tools", [None, [A]])
def test_a_response_format_of_text_changes_nothing(tools: Any) -> None:
    chat = chat_with("Hello.")
    options = {"tools": tools} if tools else {}
    assert chat.invoke("Hi", response_format={"type": "text"}, **options).text == "Hello."
