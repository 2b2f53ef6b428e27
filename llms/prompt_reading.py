"""Read a rendered prompt back: the inverse of each family's layout, and of what `prompts` tells a model of tools and JSON.

    prompt = read_prompt("falcon", "Be brief.\\nUser: Hi\\nAssistant:")
    prompt.system, prompt.question     # "Be brief.", "Hi"

A model that reads nothing else (`testing.py`) is held to what really stands in the text: a tag that was escaped is
no tag here either.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from typing import Any, Literal

from sagechain.prompts import unknown_name

Kind = Literal["user", "assistant", "call", "result"]

BLOCK = re.compile(r"<tool_(?P<kind>call|response)\b[^>]*>\s*(?P<text>.*?)\s*</tool_(?P=kind)>", re.DOTALL)
TOOLS = re.compile(r"<tools>\s*(?P<schemas>.*?)\s*</tools>(?P<choice>.*)", re.DOTALL)
MUST_CALL = re.compile(r"\bmust call\b(?: the function (?P<name>[\w.-]+\w))?")
SCHEMA = re.compile(r"fit this JSON schema:\n(?P<schema>.+)")


@dataclass(frozen=True)
class Said:
    """Words of the user or the assistant, a call as JSON, or the result of one."""

    kind: Kind
    text: str


@dataclass(frozen=True)
class ReadPrompt:
    """What a prompt says.

    Attributes:
        system: all system texts.
        said: what came in the turns, in order; no empty words.
    """

    system: str
    said: tuple[Said, ...]

    @cached_property
    def tools(self) -> list[Mapping[str, Any]]:
        """The functions that may be called: `name`, `description`, `parameters`."""
        told = TOOLS.search(self.system)
        return [json.loads(line)["function"] for line in told["schemas"].splitlines()] if told else []

    @property
    def must_call(self) -> bool:
        """Whether the answer has to be a call."""
        return self._choice is not None

    @property
    def named_tool(self) -> str | None:
        """The one that has to be called, where it is named."""
        return self._choice["name"] if self._choice else None

    @property
    def one_call_only(self) -> bool:
        """Whether an answer may hold one call at most."""
        told = TOOLS.search(self.system)
        return told is not None and "one function only" in told["choice"]

    @property
    def wants_json(self) -> bool:
        """Whether the answer has to be JSON."""
        return "Answer with one JSON" in self.system

    @property
    def schema(self) -> dict[str, Any] | None:
        """The schema of that JSON, where there is one."""
        told = SCHEMA.search(self.system)
        return json.loads(told["schema"]) if told else None

    @property
    def question(self) -> str:
        """The user's last words."""
        return self.said[self._asked_at].text if self._asked_at >= 0 else ""

    @property
    def results(self) -> list[str]:
        """The results that came since."""
        return [each.text for each in self._since if each.kind == "result"]

    @property
    def rounds(self) -> int:
        """How often the assistant has called tools since."""
        return sum(kind == "call" for kind, _ in groupby(each.kind for each in self._since))

    @property
    def called(self) -> set[str]:
        """The names of what it called."""
        return {json.loads(each.text)["name"] for each in self._since if each.kind == "call"}

    @cached_property
    def _asked_at(self) -> int:
        return max((place for place, each in enumerate(self.said) if each.kind == "user"), default=-1)

    @property
    def _since(self) -> tuple[Said, ...]:
        return self.said[self._asked_at + 1 :]

    @property
    def _choice(self) -> re.Match[str] | None:
        told = TOOLS.search(self.system)
        return MUST_CALL.search(told["choice"]) if told else None


def read_prompt(family: str, text: str) -> ReadPrompt:
    """The prompt as the family's model reads it.

    Raises:
        ValueError: a family that lays nothing out, or a text that is not in its layout.
    """
    open_turn, turns_in = layout_of(family)
    if not text.rstrip().endswith(open_turn):
        raise ValueError(
            f"prompt: it does not end with {open_turn!r}, as one of family {family!r} does; "
            "lay messages out with get_family(…).render, or give the family whose layout it is"
        )
    turns = turns_in(text)
    system = "\n\n".join(words.strip() for role, words in turns if role == "system")
    return ReadPrompt(system, tuple(said for role, words in turns for said in _said(role, words) if said.text))


def layout_of(family: str) -> tuple[str, Callable[[str], list[tuple[str, str]]]]:
    """How a prompt of the family ends, and what gives its turns, as (role, text).

    Raises:
        ValueError: no such family, or one that lays nothing out.
    """
    if family not in _LAYOUTS:
        raise unknown_name("family", family, _LAYOUTS)
    return _LAYOUTS[family]


def _said(role: str, text: str) -> Iterator[Said]:
    if role == "system":
        return
    speaker: Kind = "assistant" if role == "assistant" else "user"
    end = 0
    for block in BLOCK.finditer(text):
        yield Said(speaker, text[end : block.start()].strip())
        yield Said("call" if block["kind"] == "call" else "result", block["text"])
        end = block.end()
    yield Said(speaker, text[end:].strip())


def _chatml(text: str) -> list[tuple[str, str]]:
    return re.findall(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\n", text, re.DOTALL)


def _transcript(text: str, *, user: str, assistant: str) -> list[tuple[str, str]]:
    roles = {user: "user", assistant: "assistant"}
    system, *rest = re.split(rf"^({user}|{assistant}):", text, flags=re.MULTILINE)
    turns = [(roles[name], words.strip()) for name, words in zip(rest[:-2:2], rest[1:-2:2], strict=True)]
    return [("system", system.removeprefix("System: ").strip()), *turns]


def _llama2(text: str) -> list[tuple[str, str]]:
    turns = []
    for asked, answered in re.findall(r"\[INST\] (.*?) \[/INST\](?: (.*?) </s>)?", text, re.DOTALL):
        turns += [("user", asked), ("assistant", answered)]
    with_system = re.fullmatch(r"<<SYS>>\n(.*?)\n<</SYS>>\n\n(.*)", turns[0][1], re.DOTALL)
    if with_system:
        turns[:1] = [("system", with_system[1]), ("user", with_system[2])]
    return turns[:-1]


_LAYOUTS: dict[str, tuple[str, Callable[[str], list[tuple[str, str]]]]] = {
    "chatml": ("<|im_start|>assistant", _chatml),
    "falcon": ("Assistant:", partial(_transcript, user="User", assistant="Assistant")),
    "falcon180b": ("Falcon:", partial(_transcript, user="User", assistant="Falcon")),
    "llama2": ("[/INST]", _llama2),
    "plain": ("AI:", partial(_transcript, user="Human", assistant="AI")),
}
