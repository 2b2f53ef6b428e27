"""The prompt library: prompts and exemplars as data, in `library/*.yaml`.

load_prompt("chatbot").format()                 # a LangChain template
load_task("arithmetic").exemplars[0].question   # worked examples for chain of thought
"""

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from langchain_core.prompts import PromptTemplate
from pydantic import BaseModel, ConfigDict
from sagechain.prompts.names import unknown

AnswerKind = Literal["number", "word", "list", "yes-no"]


class Exemplar(BaseModel):
    """A question, the steps to its answer in words, and the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    steps: str
    answer: str


class Task(BaseModel):
    """A kind of question with one right answer, and worked examples of it.

    `answer_kind` says how an answer is found in a text and compared with the truth; `answer_cue` is the sentence that
    asks for the answer after free reasoning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str
    source: str
    answer_kind: AnswerKind
    answer_cue: str
    exemplars: tuple[Exemplar, ...]


def list_prompts() -> list[str]:
    """The names that `load_prompt` knows, sorted."""
    return _names("prompt")


def load_prompt(name: str) -> PromptTemplate:
    """The prompt of that name as a LangChain template; its `metadata` holds description and source.

    Raises:
        ValueError: no such prompt; the message lists those there are.
    """
    entry = _entry("prompt", name)
    template = PromptTemplate.from_template(entry["text"].strip())
    declared = sorted(entry["variables"])
    if sorted(template.input_variables) != declared:
        raise ValueError(f"prompt {name!r}: declares variables {declared}, uses {sorted(template.input_variables)}")
    metadata = {key: entry[key] for key in ("description", "source", "variables")}
    return template.model_copy(update={"name": name, "metadata": metadata})


def list_tasks() -> list[str]:
    """The names that `load_task` knows, sorted."""
    return _names("task")


def load_task(name: str) -> Task:
    """The reasoning task of that name.

    Raises:
        ValueError: no such task; the message lists those there are.
    """
    return Task.model_validate({"name": name} | _entry("task", name))


def _names(kind: str) -> list[str]:
    return sorted(name for name, entry in _library().items() if entry["kind"] == kind)


def _entry(kind: str, name: str) -> dict[str, Any]:
    if name not in _names(kind):
        raise unknown(kind, name, _names(kind))
    return {key: value for key, value in _library()[name].items() if key != "kind"}


@cache
def _library() -> dict[str, dict[str, Any]]:
    folder = files("sagechain.prompts") / "library"
    return {
        entry.name.removesuffix(".yaml"): yaml.safe_load(entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }
