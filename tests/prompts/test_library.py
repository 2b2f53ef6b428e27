"""The prompt library is complete, its prompts work with every family and wire, and values stay verbatim."""

from importlib.resources import files
from typing import Any

import pytest
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


def example_values(name: str) -> dict[str, str]:
    return {variable: details["example"] for variable, details in load_prompt(name).metadata["variables"].items()}


def test_every_file_of_the_library_is_a_listed_prompt_or_task() -> None:
    assert list_prompts() == PROMPTS
    assert list_tasks() == TASKS
    entries = {entry.name for entry in files("sagechain.prompts.library").iterdir()}
    assert entries - {"__init__.py", "__pycache__"} == {f"{name}.yaml" for name in PROMPTS + TASKS}


def test_a_prompt_is_a_langchain_template_with_metadata() -> None:
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
def test_every_prompt_is_complete_and_its_parameters_work_in_llama_cpp_and_over_the_tgi_wire(name: str) -> None:
    prompt = load_prompt(name)
    metadata = prompt.metadata
    assert set(metadata) == {"description", "source", "variables", "parameters"}
    assert set(metadata["variables"]) == set(prompt.input_variables)
    assert all(set(variable) == {"description", "example"} for variable in metadata["variables"].values())
    lines = [metadata["description"], *(variable["description"] for variable in metadata["variables"].values())]
    assert all(line[0].isupper() and line.endswith(".") and "\n" not in line for line in lines)
    assert metadata["source"] == "written for this project"
    filled = prompt.format(**example_values(name))
    assert all(example and example in filled for example in example_values(name).values())
    assert GenerationParameters(**metadata["parameters"]).given() == metadata["parameters"]
    assert metadata["parameters"]["max_new_tokens"] <= 500
    assert set(metadata["parameters"]) <= set(get_wire("tgi").parameter_names)
    assert set(metadata["parameters"]) <= set(LLAMA_CPP_NAMES)


@pytest.mark.parametrize("family", [name for name in list_families() if name != "messages"])
@pytest.mark.parametrize("name", PROMPTS)
def test_no_library_prompt_contains_special_text_of_a_family(name: str, family: str) -> None:
    filled = load_prompt(name).format(**example_values(name))
    assert filled in get_family(family).render([HumanMessage(filled)]).text


@given(text=st.text(), question=st.text())
def test_any_value_is_inserted_verbatim(text: str, question: str) -> None:
    filled = load_prompt("question-answering").format(passage=text, question=question)
    assert filled == (
        "Answer the question from the passage. If the passage does not tell, say: The passage does not tell.\n\n"
        f"Passage: {text}\n\nQuestion: {question}"
    )
    assert load_prompt("summary").invoke({"text": text}).to_string() == f"Summarize:\n\n{text}"


def test_braces_in_a_value_are_not_a_template() -> None:
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
    prompts: list[Any] = []
    chain = prompt | RunnableLambda(prompts.append)
    with pytest.raises(ValueError, match=both):
        chain.invoke({})
    with pytest.raises(ValueError, match=one):
        chain.batch([{"language": "French"}])
    assert prompts == []


async def test_a_missing_variable_is_the_same_error_in_async_chains() -> None:
    chain = load_prompt("translation") | RunnableLambda(str)
    with pytest.raises(ValueError, match=r"^prompt 'translation': missing text$"):
        await chain.ainvoke({"language": "French"})


def test_a_chain_may_pass_more_values_than_the_prompt_has_variables() -> None:
    assert load_prompt("summary").invoke({"text": "a", "user": "Ada"}).to_string() == "Summarize:\n\na"


def test_changing_a_loaded_prompt_does_not_change_the_library() -> None:
    load_prompt("summary").metadata["parameters"]["temperature"] = 2
    assert load_prompt("summary").metadata["parameters"] == {"max_new_tokens": 120, "temperature": 0}


def test_a_prompt_is_serialized_as_a_plain_template() -> None:
    copy = load(dumpd(load_prompt("summary")), allowed_objects=[PromptTemplate])
    assert copy.format(text="a") == "Summarize:\n\na"


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_eight_exemplars_whose_text_gives_their_answer(name: str) -> None:
    task = load_task(name)
    assert len({exemplar.question for exemplar in task.exemplars}) == 8
    for exemplar in task.exemplars:
        text = f"{exemplar.steps} The answer is {exemplar.answer}."
        assert same_answer(extract_answer(text, task.answer_kind), exemplar.answer, task.answer_kind)


def test_the_answers_of_the_exemplars_are_correct() -> None:
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


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"prompt: 'chatbt' is unknown\. Did you mean 'chatbot'\?"):
        load_prompt("chatbt")
    with pytest.raises(ValueError, match=r"task: 'algebra' is unknown\. Known: arithmetic, coin-flip"):
        load_task("algebra")
