"""The prompt library: prompts and exemplars as data, in `library/*.yaml`.

load_prompt("summary").format(text="…")         # a LangChain template
load_prompt("summary").metadata["parameters"]   # inference parameters that suit it
load_task("arithmetic").exemplars[0].question   # worked examples for chain of thought

A value never becomes part of a template: braces in it, as code has them, come out as they went in.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from langchain_core.prompts import PromptTemplate
from langchain_core.prompts.string import get_template_variables
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..suggestions import unknown_name

AnswerKind = Literal["number", "word", "list", "yes-no"]


class Variable(BaseModel):
    """What a prompt wants to be told, in one line, and a value to try it with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    example: str


class PromptEntry(BaseModel):
    """A prompt as it stands in its file.

    `text` is an f-string template over `variables`; `parameters` are the inference parameters that suit it, named as in
    `sagechain.llms.GenerationParameters` (which checks them: this package knows no models).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    description: str
    source: str
    variables: dict[str, Variable]
    parameters: dict[str, int | float | list[str]]
    text: str


class LibraryPrompt(PromptTemplate):
    """A prompt of the library as a LangChain template, which names what is missing before a model is asked.

    `metadata` holds `description` and `source` (text), `variables` (name → `{"description", "example"}`) and
    `parameters` (name → value: `chat.invoke(prompt.format(…), **prompt.metadata["parameters"])`).
    """

    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def lc_id(cls) -> list[str]:
        """LangChain's serializer knows it as the `PromptTemplate` that it is."""
        return PromptTemplate.lc_id()

    def format(self, **kwargs: Any) -> str:
        """The text, with each variable's value in its place, verbatim.

        Raises:
            ValueError: variables are missing; the message names them all, and the prompt.
        """
        self._hold_complete(kwargs)
        return super().format(**kwargs)

    def _validate_input(self, inner_input: Any) -> dict[str, Any]:
        # What `invoke` and chains go through; langchain-core 1.7 raises a KeyError there.
        if isinstance(inner_input, dict):
            self._hold_complete(inner_input)
        return super()._validate_input(inner_input)

    def _hold_complete(self, given: Mapping[str, Any]) -> None:
        missing = [name for name in self.input_variables if name not in given]
        if missing:
            raise ValueError(f"prompt {self.name!r}: missing {', '.join(missing)}")


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


def load_prompt(name: str) -> LibraryPrompt:
    """The prompt of that name as a LangChain template; its `metadata` tells all else that the library knows of it.

    Raises:
        ValueError: no such prompt, and the message lists those there are; or a file that is not as it should be.
    """
    try:
        entry = PromptEntry.model_validate(_entry("prompt", name))
    except ValidationError as error:
        raise ValueError(f"prompt {name!r}: its file in the library is malformed: {error}") from error
    text = entry.text.strip()
    declared, used = sorted(entry.variables), sorted(get_template_variables(text, "f-string"))
    if declared != used:
        raise ValueError(f"prompt {name!r}: declares variables {declared}, uses {used}")
    return LibraryPrompt(
        name=name, template=text, input_variables=list(entry.variables), metadata=entry.model_dump(exclude={"text"})
    )


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
        raise unknown_name(kind, name, _names(kind))
    return {key: value for key, value in _library()[name].items() if key != "kind"}


@cache
def _library() -> dict[str, dict[str, Any]]:
    folder = files(__package__)
    return {
        entry.name.removesuffix(".yaml"): yaml.safe_load(entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    }
