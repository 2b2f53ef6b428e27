"""Candidates for a completion: drawn by one `generate` where the model can, and ranked.

What is asked of which model is settled before (`completion.py`).
"""

import ast
import codeop
import io
import math
import tokenize
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, LLMResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import BaseModel, ConfigDict
from sagechain.llms import StopCutter, TextModel
from sagechain.llms.wires import get_wire


class Completion(BaseModel):
    """One candidate.

    `parses` says whether prompt and completion together are Python. `unfinished`: they are as far as they go, but the model
    ended in the middle of a line (which is still in `text`), a bracket, a string or a block. `likelihood` is the mean log
    probability of the tokens that were drawn (nats; 0 is certain), None where the model does not tell it. `finish_reason`
    is `length` for one that was cut at the token limit, None where the model does not tell.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str
    text: str
    parses: bool
    unfinished: bool
    likelihood: float | None
    finish_reason: str | None


def by_parse_and_likelihood(completion: Completion) -> tuple[int, float]:
    """What `rank` is by default: code that parses, then code that is cut, all else, no code; then likelihood."""
    likelihood = -math.inf if completion.likelihood is None else completion.likelihood
    if not _has_code(completion.prompt, completion.text):
        return 0, likelihood
    return 1 + completion.parses + (completion.parses and not completion.unfinished), likelihood


@dataclass(frozen=True)
class _Draw:
    """One `generate`: which prompts go out together, a prompt once or several times, and with what."""

    places: Sequence[int]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is asked of which model: a model of ours holds its stop strings and parameters, another's gets `options`."""

    model: BaseLLM
    stops: tuple[str, ...]
    options: Mapping[str, Any]
    candidates: int

    def checked(self, prompt: str | PromptValue) -> str:
        """The prompt's text. Raises ValueError where there is none, or the model does not take it."""
        text = prompt.to_string() if isinstance(prompt, PromptValue) else prompt
        if not isinstance(text, str):
            raise ValueError(f"prompt: {text!r} is no text; give the beginning of some code")
        if not text:
            raise ValueError(f"prompt: {text!r} is empty; give the beginning of some code")
        if isinstance(self.model, TextModel):
            self.model.check(text)
        return text

    def draws(self, prompts: int, most: int | None) -> Iterator[_Draw]:
        """How so many prompts go out, `most` at a time.

        Where one call does not give several answers, a prompt goes out several times. A seed would then give the same
        answer each time; as everywhere, the n-th answer of a seed is that of the n-th seed after it.
        """
        seed = getattr(self.model, "seed", None) if isinstance(self.model, TextModel) else None
        if self.candidates == 1 or gives_several(self.model):
            rounds = [_Draw(range(prompts), self.options)]
        elif seed is None:
            rounds = [_Draw([place for place in range(prompts) for _ in range(self.candidates)], self.options)]
        else:
            rounds = [_Draw(range(prompts), {"seed": seed + number}) for number in range(self.candidates)]
        for draw in rounds:
            size = most or len(draw.places)
            for start in range(0, len(draw.places), size):
                yield _Draw(draw.places[start : start + size], draw.options)


class Ranked(Runnable[str, list[Completion]]):
    """All candidates, ranked; a batch is one `generate` of the model. The prompts are `checked` before."""

    def __init__(self, asked: Asked, rank: Callable[[Completion], Any]) -> None:
        self._asked, self._rank = asked, rank
        self.name = "ranked_completions"

    def invoke(self, input: str, config: RunnableConfig | None = None, **_: Any) -> list[Completion]:
        return self.batch([input], config)[0]

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **_: Any) -> list[Completion]:
        return (await self.abatch([input], config))[0]

    def batch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **_: Any,
    ) -> list[list[Completion]]:
        return self._batch_with_config(self._drawn, inputs, config, return_exceptions=return_exceptions)

    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **_: Any,
    ) -> list[list[Completion]]:
        return await self._abatch_with_config(self._adrawn, inputs, config, return_exceptions=return_exceptions)

    def _drawn(
        self, inputs: list[str], run_manager: Any, config: list[RunnableConfig]
    ) -> list[Exception | list[Completion]]:
        draws = self._asked.draws(len(inputs), config[0].get("max_concurrency"))
        results = [(draw, self._asked.model.generate(**_call(draw, inputs, config))) for draw in draws]
        return self._ranked(inputs, results)

    async def _adrawn(
        self, inputs: list[str], run_manager: Any, config: list[RunnableConfig]
    ) -> list[Exception | list[Completion]]:
        draws = self._asked.draws(len(inputs), config[0].get("max_concurrency"))
        results = [(draw, await self._asked.model.agenerate(**_call(draw, inputs, config))) for draw in draws]
        return self._ranked(inputs, results)

    def _ranked(
        self, prompts: Sequence[str], results: Sequence[tuple[_Draw, LLMResult]]
    ) -> list[Exception | list[Completion]]:
        found: list[list[Completion]] = [[] for _ in prompts]
        for draw, result in results:
            for place, answers in zip(draw.places, result.generations, strict=True):
                for answer in answers:
                    assert isinstance(answer, Generation)
                    found[place].append(_completion(prompts[place], answer, self._asked.stops))
        return [sorted(completions, key=self._rank, reverse=True) for completions in found]


def gives_several(model: BaseLLM) -> bool:
    """Whether one call gives several answers: ours do, where they are not behind a wire that gives one."""
    wire = getattr(model, "wire", None)
    return isinstance(model, TextModel) and (wire is None or "num_return_sequences" in get_wire(wire).parameter_names)


def _call(draw: _Draw, prompts: Sequence[str], configs: Sequence[RunnableConfig]) -> dict[str, Any]:
    chosen = [configs[place] for place in draw.places]
    return {
        "prompts": [prompts[place] for place in draw.places],
        **{name: [config.get(name) for config in chosen] for name in ("callbacks", "tags", "metadata")},
        **draw.options,
    }


def _completion(prompt: str, answer: Generation, stops: Sequence[str]) -> Completion:
    cutter, info = StopCutter(stops), answer.generation_info or {}
    text = cutter.feed(answer.text) + cutter.flush()
    reason = "stop" if cutter.stopped else info.get("finish_reason")
    parses = _is_python(prompt + text)
    unfinished = not parses and reason != "stop" and _is_begun(prompt, text)
    return Completion(
        prompt=prompt,
        text=text,
        parses=parses or unfinished,
        unfinished=unfinished,
        likelihood=info.get("likelihood"),
        finish_reason=reason,
    )


def _has_code(prompt: str, text: str) -> bool:
    """Whether the text is more than blanks and comments, the rest of the prompt's own among them."""
    lines = text.splitlines()[_ends_in_comment(prompt) :]
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def _ends_in_comment(code: str) -> bool:
    """Whether what follows would go on with a comment."""
    tokens = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.string:  # what stands for the end has none
                tokens.append(token)
    except (tokenize.TokenError, SyntaxError, ValueError):
        pass  # it ends inside a bracket or a string, or is no Python: what was read before that counts
    # Python 3.11 takes the quote of a string that is never closed for an error, and reads on behind it.
    last_line = [token.type for token in tokens if token.end[0] == tokens[-1].end[0]]
    return last_line[-1:] == [tokenize.COMMENT] and tokenize.ERRORTOKEN not in last_line


def _is_begun(prompt: str, text: str) -> bool:
    """Whether more could make Python of it, with its last line or without: that one may be cut anywhere."""
    whole_lines = text[: text.rfind("\n") + 1]
    parts = [part for part in (text, whole_lines) if _has_code(prompt, part)]
    return any(_is_python(prompt + part) or _is_open(prompt + part) for part in parts)


def _is_python(code: str) -> bool:
    return _is_taken(ast.parse, code)


def _is_open(code: str) -> bool:
    """Whether all that is wrong with it is that its end is missing."""
    return _is_taken(partial(codeop.compile_command, symbol="exec"), code)


def _is_taken(read: Callable[[str], Any], code: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # of what the model writes, such as "\d"
            read(code)
    # Bad syntax; null bytes and lone surrogates; numbers, nesting and indentation beyond the compiler's limits.
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return False
    return True
