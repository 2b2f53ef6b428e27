"""The prompt library: prompts, and reasoning tasks with worked examples, as YAML files beside this module.

load_prompt("summary").format(text="…")         # a LangChain template
load_prompt("summary").metadata["parameters"]   # the generation parameters recommended for it
load_task("arithmetic").exemplars[0].question   # worked examples for chain of thought

A value never becomes part of a template: braces in it, as code has them, stay as they are.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from langchain_core.prompts import PromptTemplate
from pydantic import BaseModel, ConfigDict, Field

from ..suggestions import check_known
from ..yaml_data import read_yaml

AnswerKind = Literal["number", "word", "list", "yes-no"]


class LibraryPrompt(PromptTemplate):
    """A prompt of the library as a LangChain template; missing variables are an error before any request.

    `metadata` holds `description` and `source` (text), `variables` (name → `{"description", "example"}`) and
    `parameters` (name → value: `chat.invoke(prompt.format(…), **prompt.metadata["parameters"])`).
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    metadata: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialized by LangChain as a plain `PromptTemplate`."""
        return PromptTemplate.lc_id()

    def format(self, **kwargs: Any) -> str:
        """The text, with the value of each variable in its place, verbatim.

        Raises:
            ValueError: variables are missing; the message names the prompt and all of them.
        """
        self._check_complete(kwargs)
        return super().format(**kwargs)

    def _validate_input(self, inner_input: Any) -> dict[str, Any]:
        # `invoke` and chains call this; langchain-core 1.7 raises a KeyError for missing variables.
        if isinstance(inner_input, dict):
            self._check_complete(inner_input)
        return super()._validate_input(inner_input)

    def _check_complete(self, values: Mapping[str, Any]) -> None:
        missing = [name for name in self.input_variables if name not in values]
        if missing:
            raise ValueError(f"prompt {self.name!r}: missing {', '.join(missing)}")


class Exemplar(BaseModel):
    """A question, the steps to its answer in words, and the answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    question: str
    steps: str
    answer: str


class Task(BaseModel):
    """A kind of question with one correct answer, and worked examples.

    `answer_kind` decides how an answer is found in a text and compared with the truth; `answer_cue` is the sentence that
    requests the answer after free reasoning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    description: str
    source: str
    answer_kind: AnswerKind
    answer_cue: str
    exemplars: tuple[Exemplar, ...]


def list_prompts() -> list[str]:
    """The names that `load_prompt` knows, sorted."""
    return sorted(_entries("prompt"))


def load_prompt(name: str) -> LibraryPrompt:
    """The prompt with this name as a LangChain template; `metadata` has its description, variables and parameters.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
    """
    entry = deepcopy(_entry("prompt", name))
    text = entry.pop("text").strip()
    return LibraryPrompt(name=name, template=text, input_variables=list(entry["variables"]), metadata=entry)


def list_tasks() -> list[str]:
    """The names that `load_task` knows, sorted."""
    return sorted(_entries("task"))


def load_task(name: str) -> Task:
    """The reasoning task with this name.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
    """
    return Task.model_validate({"name": name, **_entry("task", name)})


def _entry(kind: Literal["prompt", "task"], name: str) -> dict[str, Any]:
    entries = _entries(kind)
    check_known(kind, [name], entries)
    return {field: value for field, value in entries[name].items() if field != "kind"}


@cache
def _entries(kind: Literal["prompt", "task"]) -> dict[str, dict[str, Any]]:
    """The contents of all files of one kind, by name."""
    names = [file.name for file in files(__package__).iterdir() if file.name.endswith(".yaml")]
    contents = {name.removesuffix(".yaml"): read_yaml(__package__, name) for name in names}
    return {name: entry for name, entry in contents.items() if entry["kind"] == kind}
