"""A text model for tests of your own chains and agents: it needs no weights and answers from a script.

    llm = ScriptedLLM(["Paris.", {"name": "search", "args": {"query": "tents"}}], family="chatml")
    chat = PromptedChatModel(llm=llm)     # the answers come one after another; llm.prompts has the prompts

It is a text model like every other here: a prompt is text in the family's layout, and the answer is text that has to be cut
at stop strings, streamed, and searched for tool calls. A token is a word or a punctuation mark with the blanks before it.
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
from sagechain.prompts import OutputFormat, get_family
from sagechain.prompts.families import to_role_messages

from .forks import RenewedLock
from .generation import Prompt, RunningGeneration
from .parameters import GenerationParameters
from .stop_strings import StopCutter
from .text_model import TextModel
from .token_counting import prompt_too_long

TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")

Answer = str | Mapping[str, Any] | Sequence[Mapping[str, Any]] | AIMessage
"""A text as it is; a tool call as `{"name", "args"}`; several tool calls; or a message with text and tool calls."""


class ScriptedLLM(TextModel):
    """A text model that answers from a script. Sampling parameters change nothing.

    Raises:
        ValueError: an unknown field or family; an answer that is neither text nor a tool call; when called: a prompt after
            the last answer, or one that does not fit into `context`.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    family: str = "chatml"
    """The layout in which a chat over it sends prompts, and in which it writes tool calls."""
    answers: Annotated[Sequence[Answer], SkipValidation] = ()
    """Returned one after another, independently of the prompts."""
    stream_by: Literal["tokens", "characters", "whole"] = "tokens"
    """The chunks of a streamed answer."""
    context: int | None = Field(default=None, ge=1)
    """The most tokens of prompt and answer together; None: any number."""

    _script: "_Script" = PrivateAttr()

    def __init__(self, answers: Sequence[Answer] = (), **fields: Any) -> None:
        super().__init__(answers=answers, **fields)

    @model_validator(mode="after")
    def _write_script(self) -> Self:
        if not get_family(self.family).stop:
            raise ValueError(f"family: {self.family!r} has no text layout; give a family that renders prompts")
        self._script = _Script([_as_text(answer, i, self.family) for i, answer in enumerate(self.answers)])
        return self

    @property
    def prompts(self) -> list[str]:
        """The prompts so far, in the order in which they came."""
        return list(self._script.prompts)

    @property
    def answers_left(self) -> int:
        """How many answers have not been given yet."""
        return len(self._script.answers) - self._script.given

    def with_fields(self, **changes: Any) -> Self:
        """As for every text model. Both models take their answers from one script and record prompts in one list."""
        model = super().with_fields(**changes)
        model._script = self._script
        return model

    @property
    def display_name(self) -> str:
        """`scripted`."""
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
        return [zlib.crc32(token.encode(errors="replace")) for token in TOKEN.findall(text)]

    def text_tokens(self, text: str) -> int:
        """Number of tokens of a text."""
        return len(TOKEN.findall(text))

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int:
        """Number of tokens of a prompt: those of its text, because nothing is put before it."""
        assert isinstance(prompt, str)
        return self.text_tokens(prompt)

    def next_answer(self, prompt: str) -> str:
        """The text that the model writes after a prompt; called for every answer. A subclass may compute it."""
        return self._script.next_answer(prompt)

    def _start_generation(
        self, prompt: Prompt, parameters: GenerationParameters, output_format: OutputFormat | None, *, stream: bool
    ) -> RunningGeneration:
        assert isinstance(prompt, str)
        answers = [self._answer(prompt, parameters) for _ in range(parameters.num_return_sequences or 1)]
        return ScriptedGeneration(self._as_chunks(answers[0]) if stream else answers)

    def _answer(self, prompt: str, parameters: GenerationParameters) -> GenerationChunk:
        """One answer, ended at a stop string or the token limit, with its number of tokens."""
        limit, prompt_tokens = self._token_limit(prompt, parameters.max_new_tokens), self.text_tokens(prompt)
        cutter = StopCutter(parameters.stop or ())
        written = TOKEN.findall(cutter.feed(self.next_answer(prompt)) + cutter.flush())
        given = written[:limit]
        reason = "stop" if given == written else "length"
        info = {"finish_reason": reason, "input_tokens": prompt_tokens, "output_tokens": len(given)}
        return GenerationChunk(text="".join(given), generation_info=info)

    def _token_limit(self, prompt: str, max_new_tokens: int | None) -> int | None:
        """The most tokens of an answer: `max_new_tokens`, or what remains of the context."""
        if self.context is None:
            return max_new_tokens
        tokens = self.text_tokens(prompt)
        if tokens >= self.context:
            raise prompt_too_long(tokens, self.context, self._length_advice)
        return min(max_new_tokens or self.context, self.context - tokens)

    def _as_chunks(self, answer: GenerationChunk) -> list[GenerationChunk]:
        """The same answer in chunks; the figures are in the last one."""
        if self.stream_by == "whole":
            return [answer]
        texts = list(answer.text) if self.stream_by == "characters" else TOKEN.findall(answer.text)
        figures = GenerationChunk(text="", generation_info=answer.generation_info)
        return [*(GenerationChunk(text=text) for text in texts), figures]


class ScriptedGeneration(RunningGeneration):
    """An answer whose chunks are known from the start."""

    def __init__(self, chunks: Sequence[GenerationChunk]) -> None:
        self._chunks = chunks
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[GenerationChunk]:
        for chunk in self._chunks:
            if self._closed.is_set():
                return
            yield chunk

    def close(self) -> None:
        """Give no more chunks."""
        self._closed.set()


class _Script:
    """The answers, how many have been given, and the prompts; `with_fields` shares it, a deep copy has its own."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.prompts: list[str] = []
        self.given = 0
        self._lock = RenewedLock()

    def next_answer(self, prompt: str) -> str:
        with self._lock:
            self.prompts.append(prompt)
            if self.given == len(self.answers):
                raise ValueError(
                    f"answers: all {len(self.answers)} have been given, and here is prompt {len(self.prompts)}, "
                    f"which ends {prompt[-80:]!r}; give one answer more"
                )
            self.given += 1
            return self.answers[self.given - 1]


def _as_text(answer: Answer, index: int, family: str) -> str:
    """An answer of the script as a model that was trained on the family's layout writes it."""
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, AIMessage):
        tool_calls = answer if isinstance(answer, Sequence) else [answer]
        answer = AIMessage("", tool_calls=[_tool_call(each, index) for each in tool_calls])
    if not answer.tool_calls:
        return answer.text
    return to_role_messages([answer], get_family(family).escaping)[0].text


def _tool_call(given: Any, index: int) -> ToolCall:
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str) or "args" not in given:
        raise ValueError(
            f"answers[{index}]: {given!r} is neither a text nor a tool call; give a string, {{'name': …, 'args': {{…}}}}, "
            "a list of such, or an AIMessage; a JSON answer is a string too"
        )
    return tool_call(name=given["name"], args=dict(given["args"]), id=None)
