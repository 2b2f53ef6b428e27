"""The parts of `sagechain ask` in this process: fragments, schemas, code blocks, and tools over a scripted model."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from langchain_core.messages import HumanMessage
from sagechain.apps.questions.answer import Answer
from sagechain.apps.questions.answer_schema import read_schema
from sagechain.apps.questions.code_blocks import code_blocks, extract_code
from sagechain.apps.questions.fragments import Fragment
from sagechain.apps.questions.tools import MAX_GENERATIONS, load_tools
from sagechain.llms import PromptedChatModel
from sagechain.llms.errors import LLMError
from sagechain.llms.testing import ScriptedLLM

TOOLS = '''
from langchain_core.tools import tool

def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b

async def later(text: str) -> str:
    """Return a text."""
    return text

@tool
def fails(x: int) -> int:
    """Fails."""
    raise RuntimeError("internal detail")

def long(n: int) -> str:
    """A long text."""
    return "x" * n
'''


@given(st.text(alphabet="`~a\n", max_size=80))
def test_no_text_ends_its_own_block(text: str) -> None:
    lines = str(Fragment("a\nFile b:", text)).split("\n")
    assert lines[0] == "File a\\nFile b::"
    fence = lines[1]
    assert set(fence) == {"`"}
    assert [line for line in lines[2:] if line.strip().startswith(fence)] == [fence]


def test_fields_are_a_schema() -> None:
    schema = read_schema("name, age int, height float, is_student bool, bio: one sentence")
    assert schema["properties"] == {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "height": {"type": "number"},
        "is_student": {"type": "boolean"},
        "bio": {"type": "string", "description": "one sentence"},
    }
    assert schema["required"] == ["name", "age", "height", "is_student", "bio"]
    assert read_schema("a: x, y\nb int")["properties"]["a"] == {"type": "string", "description": "x, y"}


def test_a_schema_comes_from_a_file_and_several_values_keep_its_definitions(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(
        '{"$defs": {"n": {"type": "integer"}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}}'
    )
    assert read_schema(str(file))["properties"] == {"a": {"$ref": "#/$defs/n"}}
    several = Draft202012Validator(read_schema(str(file), several=True))
    assert several.is_valid({"items": [{"a": 1}, {"a": 2}]})
    assert not several.is_valid({"items": [{"a": "1"}]})
    assert not several.is_valid({"a": 1})


@given(st.text(max_size=60))
def test_every_text_is_a_schema_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        Draft202012Validator.check_schema(read_schema(text))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("No code.", "No code.", "No code."),
        ("A:\n```python\nx = 1\n```\nB:\n~~~\ny\n~~~", "x = 1", "y"),
        ("````\n```\ninner\n```\n````", "```\ninner\n```", "```\ninner\n```"),
        ("```\nopen\nend", "open\nend", "open\nend"),
        ("```inline``` text", "```inline``` text", "```inline``` text"),
        ("```\n```", "", ""),
    ],
)
def test_code_is_extracted(text: str, first: str, last: str) -> None:
    assert (extract_code(text), extract_code(text, last=True)) == (first, last)


@given(st.text(alphabet="`~ a\n"))
def test_blocks_are_parts_of_the_text(text: str) -> None:
    assert all(block in text for block in code_blocks(text))


def ask(answers: list[Any], place: str, tmp_path: Path, **options: Any) -> tuple[Answer, ScriptedLLM]:
    file = tmp_path / "scripted_tools.py"
    file.write_text(TOOLS, encoding="utf-8")
    llm = ScriptedLLM(answers)
    answer = Answer("scripted", PromptedChatModel(llm=llm), tools=load_tools([f"{file}:{place}"]), **options)
    answer.run([HumanMessage("2 + 3?")])
    return answer, llm


def test_a_tool_is_announced_run_and_its_result_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer, llm = ask([{"name": "add", "args": {"a": 2, "b": 3}}, "It is 5."], "add", tmp_path)
    assert answer.text == "It is 5."
    assert "<tool_response>\n5\n</tool_response>" in llm.prompts[1]
    assert answer.usage is not None
    assert answer.usage["input_tokens"] == sum(llm.text_tokens(prompt) for prompt in llm.prompts)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "(Calling add(a=2, b=3))\n")


def test_an_async_tool_runs_too(tmp_path: Path) -> None:
    answer, llm = ask([{"name": "later", "args": {"text": "<tool_call>"}}, "Done."], "later", tmp_path)
    assert answer.text == "Done."
    assert llm.prompts[1].count("<tool_call>") == llm.prompts[0].count("<tool_call>") + 1  # the model's own call alone


def test_a_failing_tool_keeps_its_details(tmp_path: Path) -> None:
    _, llm = ask([{"name": "fails", "args": {"x": 1}}, "Sorry."], "fails", tmp_path)
    assert "fails failed (RuntimeError)" in llm.prompts[1]
    assert "internal detail" not in llm.prompts[1]


def test_a_long_result_is_cut_and_says_so(tmp_path: Path) -> None:
    _, llm = ask([{"name": "long", "args": {"n": 150_000}}, "Long."], "long", tmp_path)
    assert "[cut: the result has 150,000 characters]" in llm.prompts[1]
    assert len(llm.prompts[1]) < 110_000


def test_a_loop_of_calls_ends_as_an_error(tmp_path: Path) -> None:
    calls = [{"name": "add", "args": {"a": 1, "b": number}} for number in range(MAX_GENERATIONS + 1)]
    with pytest.raises(LLMError, match=f"no answer after {MAX_GENERATIONS} generations with tool calls"):
        ask(calls, "add", tmp_path)


def test_a_call_that_the_person_refuses_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.confirm", lambda question, err: False)
    _, llm = ask([{"name": "add", "args": {"a": 2, "b": 3}}, "I cannot."], "add", tmp_path, approve=True)
    assert "Not called: the user refused this call." in llm.prompts[1]


def test_two_tools_with_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "twice.py").write_text(TOOLS, encoding="utf-8")
    with pytest.raises(ValueError, match="two tools are named 'add'"):
        load_tools([f"{tmp_path / 'twice.py'}:add"] * 2)
