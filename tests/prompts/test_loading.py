"""The prompt library: what is there, and that it fits together."""

from importlib.resources import files
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd, load
from langchain_core.messages import HumanMessage
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableLambda
from sagechain.chains import extract_answer, same_answer
from sagechain.llms import GenerationParameters
from sagechain.llms.local.llama_cpp.llm import LLAMA_CPP_NAMES
from sagechain.llms.wires import get_wire
from sagechain.prompts import get_family, list_families, list_prompts, list_tasks, load_prompt, load_task
from sagechain.prompts import library as loading

PROMPTS = [
    "chatbot",
    "code-generation",
    "conversation-so-far",
    "conversation-summary",
    "question-answering",
    "recipe",
    "sentiment",
    "shop-assistant",
    "summary",
    "translation",
]
TASKS = ["arithmetic", "coin-flip", "last-letters", "reverse-list"]


def examples(name: str) -> dict[str, str]:
    return {variable: its["example"] for variable, its in load_prompt(name).metadata["variables"].items()}


def test_every_file_of_the_library_is_a_listed_prompt_or_task() -> None:
    assert list_prompts() == PROMPTS
    assert list_tasks() == TASKS
    entries = {entry.name for entry in files("sagechain.prompts.library").iterdir()}
    assert entries - {"__init__.py", "__pycache__"} == {f"{name}.yaml" for name in PROMPTS + TASKS}


def test_a_prompt_is_a_langchain_template_that_tells_what_the_library_knows() -> None:
    prompt = load_prompt("chatbot")
    assert prompt.format() == "You are a helpful assistant. You remember what the user says."
    assert prompt.metadata == {
        "description": "The system text of a conversation with a chatbot.",
        "source": "written for this project",
        "variables": {},
        "parameters": {"max_new_tokens": 300, "temperature": 0.7, "top_p": 0.9},
    }
    prompt = load_prompt("translation")
    assert prompt.input_variables == ["language", "text"]
    assert prompt.format(language="Dutch", text="Hello.") == "Translate this text into Dutch.\n\nHello."
    assert prompt.metadata["variables"]["language"] == {
        "description": "The language to translate into.",
        "example": "French",
    }
    assert prompt.metadata["parameters"] == {"max_new_tokens": 200, "temperature": 0}


@pytest.mark.parametrize("name", PROMPTS)
def test_every_prompt_is_whole_and_its_parameters_fit_the_engines_here_and_the_tgi_wire(name: str) -> None:
    prompt = load_prompt(name)
    about = prompt.metadata
    lines = [about["description"], *(its["description"] for its in about["variables"].values())]
    assert all(line[0].isupper() and line.endswith(".") and "\n" not in line for line in lines)
    assert about["source"] == "written for this project"
    filled = prompt.format(**examples(name))
    assert all(example and example in filled for example in examples(name).values())
    assert GenerationParameters(**about["parameters"]).given() == about["parameters"]
    assert about["parameters"]["max_new_tokens"] <= 500
    assert set(about["parameters"]) <= set(get_wire("tgi").parameter_names)
    assert set(about["parameters"]) <= set(LLAMA_CPP_NAMES)


@pytest.mark.parametrize("family", [name for name in list_families() if name != "messages"])
@pytest.mark.parametrize("name", PROMPTS)
def test_no_prompt_of_ours_holds_what_a_family_takes_for_structure(name: str, family: str) -> None:
    filled = load_prompt(name).format(**examples(name))
    assert filled in get_family(family).render([HumanMessage(filled)]).text


@given(text=st.text(), question=st.text())
def test_any_text_as_a_value_comes_out_verbatim(text: str, question: str) -> None:
    shown = load_prompt("question-answering").format(passage=text, question=question)
    assert shown == (
        "Answer the question from the passage. If the passage does not tell, say: The passage does not tell.\n\n"
        f"Passage: {text}\n\nQuestion: {question}"
    )
    assert load_prompt("summary").invoke({"text": text}).to_string() == f"Summarize:\n\n{text}"


def test_braces_in_a_value_are_no_template() -> None:
    code = "def f(x): return {'a': {x}, '{text}': f'{x!r:>{8}}', '{0}': {{}}}"
    assert load_prompt("summary").format(text=code) == f"Summarize:\n\n{code}"
    partly = load_prompt("translation").partial(text=code)
    assert partly.format(language="{text}") == f"Translate this text into {{text}}.\n\n{code}"


def test_a_missing_variable_is_an_error_that_names_it_and_the_prompt() -> None:
    prompt = load_prompt("translation")
    both, one = r"^prompt 'translation': missing language, text$", r"^prompt 'translation': missing text$"
    with pytest.raises(ValueError, match=both):
        prompt.format()
    with pytest.raises(ValueError, match=one):
        prompt.format(language="French", txt="Hello.")
    with pytest.raises(ValueError, match=one):
        prompt.invoke({"language": "French"})
    with pytest.raises(ValueError, match=one):
        prompt.partial(language="French").format()
    asked: list[Any] = []
    chain = prompt | RunnableLambda(asked.append)
    with pytest.raises(ValueError, match=both):
        chain.invoke({})
    with pytest.raises(ValueError, match=one):
        chain.batch([{"language": "French"}])
    assert asked == []


async def test_a_missing_variable_is_the_same_error_in_async_forms() -> None:
    chain = load_prompt("translation") | RunnableLambda(str)
    with pytest.raises(ValueError, match=r"^prompt 'translation': missing text$"):
        await chain.ainvoke({"language": "French"})


def test_more_than_a_prompt_needs_may_run_through_a_chain() -> None:
    assert load_prompt("summary").invoke({"text": "a", "user": "Ada"}).to_string() == "Summarize:\n\na"


def test_what_a_caller_changes_stays_with_the_caller() -> None:
    load_prompt("summary").metadata["parameters"]["temperature"] = 2
    assert load_prompt("summary").metadata["parameters"] == {"max_new_tokens": 120, "temperature": 0}


def test_a_prompt_is_serialized_as_the_template_that_it_is() -> None:
    copy = load(dumpd(load_prompt("summary")), allowed_objects=[PromptTemplate])
    assert copy.format(text="a") == "Summarize:\n\na"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": None}, "source"),
        ({"text": "Summarize: {txt}"}, r"declares variables \['text'\], uses \['txt'\]"),
        ({"variables": []}, "variables"),
        ({"variables": {"text": {"description": "The text."}}}, "example"),
        ({"parameters": {"temperature": "hot"}}, "parameters"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_malformed_file_is_an_error_that_names_prompt_and_field(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    entry = yaml.safe_load((files("sagechain.prompts.library") / "summary.yaml").read_text(encoding="utf-8"))
    monkeypatch.setattr(loading, "_library", lambda: {"summary": entry | change})
    with pytest.raises(ValueError, match=f"(?s)prompt 'summary': .*{words}"):
        load_prompt("summary")


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_eight_exemplars_whose_steps_lead_to_their_answer(name: str) -> None:
    task = load_task(name)
    assert len({exemplar.question for exemplar in task.exemplars}) == 8
    for exemplar in task.exemplars:
        shown = f"{exemplar.steps} The answer is {exemplar.answer}."
        assert same_answer(extract_answer(shown, task.answer_kind), exemplar.answer, task.answer_kind)


def test_the_exemplars_are_true() -> None:
    for exemplar in load_task("last-letters").exemplars:
        words = exemplar.question.split('"')[1].split()
        assert exemplar.answer == "".join(word[-1] for word in words)
    for exemplar in load_task("reverse-list").exemplars:
        items = exemplar.question.split(": ")[1].rstrip(".").split(", ")
        assert exemplar.answer == ", ".join(reversed(items))
    for exemplar in load_task("coin-flip").exemplars:
        flips = exemplar.question.count(" flips the coin")
        assert exemplar.answer == ("no" if flips % 2 else "yes")
    for exemplar in load_task("arithmetic").exemplars:
        # Every equation in the steps holds, and the last one gives the answer.
        equations = [part for part in exemplar.steps.replace(". ", "\n").splitlines() if "=" in part]
        results = []
        for equation in equations:
            left, right = equation.split("=")
            results.append(right.split()[0].rstrip("."))
            assert eval(left, {"__builtins__": {}}) == float(results[-1])
        assert results[-1] == exemplar.answer


def test_an_unknown_name_is_an_error_that_lists_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"prompt: 'chatbt' is unknown\. Did you mean 'chatbot'\?"):
        load_prompt("chatbt")
    with pytest.raises(ValueError, match=r"task: 'algebra' is unknown\. Known: arithmetic, coin-flip"):
        load_task("algebra")
