"""A text model for tests of your own chains and agents: it needs no weights, answers at once, and is never wrong by chance.

    llm = ScriptedLLM(family="chatml", answers=["Paris.", {"name": "search", "args": {"query": "tents"}}])
    chat = PromptedChatModel(llm=llm)     # the answers come one after another; llm.prompts holds what was asked

    chat = PromptedChatModel(llm=ScriptedLLM(family="falcon"))     # no script: an ideal model, by general rules

Either way it is a text model like every other here: a prompt is text in the family's layout, and the answer is text that
has to be cut, streamed and read. Without a script it reads nothing but that text (`prompt_reading.py`), and answers as an
ideal model of the family would (`ideal_answers.py`).

Its tokens are words and punctuation marks, each with the blanks before it.
"""

import re
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from langchain_core.messages import AIMessage, ToolCall
from langchain_core.messages.tool import tool_call
from langchain_core.outputs import GenerationChunk
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation, model_validator
from sagechain.prompts import OutputFormat, check_known, get_family
from sagechain.prompts.families import to_role_messages

from .generation import Prompt, RunningGeneration
from .ideal_answers import ideal_answer
from .parameters import GenerationParameters
from .prompt_reading import layout_of, read_prompt
from .stop_strings import StopCutter
from .text_model import TextModel
from .token_counting import prompt_too_long

TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")

Answer = str | Mapping[str, Any] | Sequence[Mapping[str, Any]] | AIMessage
"""A text as it is; a call as `{"name", "args"}`; several calls; or a message with text and calls."""


class ScriptedLLM(TextModel):
    """A text model that answers from a script, or by general rules. Sampling parameters change nothing.

    Raises:
        ValueError: a field or family that is unknown, an answer that is neither text nor a call; at a call a prompt after
            the script's end, one that the context has no room for, or, without a script, one that is not in the
            family's layout.
    """

    model_config = ConfigDict(extra="forbid")

    family: str = "chatml"
    """The layout in which it is asked, and in which it writes its calls."""
    answers: Annotated[Sequence[Answer] | None, SkipValidation] = None
    """Given one after another, whatever is asked. None: an ideal model's answer to each prompt."""
    stream_by: Literal["tokens", "characters", "whole"] = "tokens"
    """The pieces of a streamed answer."""
    context: int | None = Field(default=None, ge=1)
    """Tokens of prompt and answer together; None: as many as may be."""

    _script: "_Script" = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_known("parameter", values, cls.model_fields)
        return values

    @model_validator(mode="after")
    def _ready(self) -> Self:
        layout_of(self.family)
        answers = None if self.answers is None else list(self.answers)
        self._script = _Script(
            None if answers is None else [_written(a, place, self.family) for place, a in enumerate(answers)]
        )
        return self

    @property
    def prompts(self) -> list[str]:
        """The prompts so far, in the order in which they came."""
        return list(self._script.prompts)

    @property
    def answers_left(self) -> int | None:
        """How many answers the script still has; None without a script."""
        return None if self._script.answers is None else len(self._script.answers) - self._script.given

    def with_fields(self, **changes: Any) -> Self:
        """As for every text model. The script goes on: both models take from it, and both tell its prompts."""
        model = super().with_fields(**changes)
        model._script = self._script
        return model

    @property
    def display_name(self) -> str:
        """What it is."""
        return "scripted"

    @property
    def _llm_type(self) -> str:
        return "sagechain-scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**super()._identifying_params, "answers": self._script.answers}

    @property
    def context_size(self) -> int | None:
        """`context`."""
        return self.context

    @property
    def _length_advice(self) -> str:
        return "shorten it, or give the model more context"

    def get_token_ids(self, text: str) -> list[int]:
        """A number for each token of a text, the same for the same token."""
        return [zlib.crc32(token.encode()) for token in TOKEN.findall(text)]

    def text_tokens(self, text: str) -> int:
        """How many tokens a text has."""
        return len(TOKEN.findall(text))

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int:
        """How many tokens a prompt has: those of its text, since nothing is put before it."""
        return self.text_tokens(_text(prompt))

    def _start_generation(
        self,
        prompt: Prompt,
        parameters: GenerationParameters,
        *,
        stream: bool,
        output_format: OutputFormat | None = None,
    ) -> RunningGeneration:
        text = _text(prompt)
        answers = [self._answer(text, parameters) for _ in range(parameters.num_return_sequences or 1)]
        return ScriptedCall(self._pieces(answers[0]) if stream else answers)

    def _answer(self, prompt: str, parameters: GenerationParameters) -> GenerationChunk:
        """One answer, ended at a stop string or the limit, with its figures."""
        asked, limit = self.text_tokens(prompt), self._limit(prompt, parameters.max_new_tokens)
        cutter = StopCutter(parameters.stop or ())
        answer = self._script.answer(prompt, self.family)
        tokens = TOKEN.findall(cutter.feed(answer) + cutter.flush())
        given = tokens[:limit]
        reason = "stop" if given == tokens else "length"
        info = {"finish_reason": reason, "input_tokens": asked, "output_tokens": len(given)}
        return GenerationChunk(text="".join(given), generation_info=info)

    def _limit(self, prompt: str, most: int | None) -> int | None:
        """Most tokens of an answer: the limit that is set, or what the context has left."""
        if self.context is None:
            return most
        asked = self.text_tokens(prompt)
        if asked >= self.context:
            raise prompt_too_long(asked, self.context, self._length_advice)
        return min(most or self.context, self.context - asked)

    def _pieces(self, answer: GenerationChunk) -> list[GenerationChunk]:
        """The same answer as a stream gives it: its figures come last."""
        if self.stream_by == "whole":
            return [answer]
        parts = list(answer.text) if self.stream_by == "characters" else TOKEN.findall(answer.text)
        figures = GenerationChunk(text="", generation_info=answer.generation_info)
        return [*(GenerationChunk(text=part) for part in parts), figures]


class ScriptedCall(RunningGeneration):
    """An answer that is there already, given piece by piece."""

    def __init__(self, pieces: Sequence[GenerationChunk]) -> None:
        self._pieces = pieces
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[GenerationChunk]:
        for piece in self._pieces:
            if self._closed.is_set():
                return
            yield piece

    def close(self) -> None:
        """Give no more pieces."""
        self._closed.set()


class _Script:
    """The answers, those given already, and the prompts; copies of a model share it."""

    def __init__(self, answers: list[str] | None) -> None:
        self.answers = answers
        self.prompts: list[str] = []
        self.given = 0
        self._lock = threading.Lock()

    def answer(self, prompt: str, family: str) -> str:
        """The next answer, or an ideal one."""
        with self._lock:
            self.prompts.append(prompt)
            if self.answers is not None:
                return self._next()
        return _text_of(ideal_answer(read_prompt(family, prompt)), family)

    def _next(self) -> str:
        assert self.answers is not None
        if self.given == len(self.answers):
            raise ValueError(
                f"answers: all {len(self.answers)} have been given, and here is prompt {len(self.prompts)}, "
                f"which ends {self.prompts[-1][-80:]!r}; give one answer more, or leave the script out"
            )
        self.given += 1
        return self.answers[self.given - 1]


def _written(answer: Answer, place: int, family: str) -> str:
    """An answer of the script as the model writes it."""
    if isinstance(answer, str):
        return answer
    if isinstance(answer, AIMessage):
        return _text_of(answer, family)
    calls = answer if isinstance(answer, Sequence) else [answer]
    return _text_of(AIMessage("", tool_calls=[_call(each, place) for each in calls]), family)


def _call(given: Any, place: int) -> ToolCall:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str) or "args" not in given:
        raise ValueError(
            f"answers[{place}]: {given!r} is neither a text nor a call; give a string, {{'name': …, 'args': {{…}}}}, "
            "a list of such, or an AIMessage; a JSON answer is a string too"
        )
    return tool_call(name=given["name"], args=dict(given["args"]), id=None)


def _text_of(message: AIMessage, family: str) -> str:
    """A message as the family shows it: what a model that was tuned on the layout would write."""
    if not message.tool_calls:
        return message.text
    return to_role_messages([message], get_family(family).escaping)[0].text


def _text(prompt: Prompt) -> str:
    assert isinstance(prompt, str)
    return prompt
