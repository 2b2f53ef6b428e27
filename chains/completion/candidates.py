"""Candidates for a completion: generated with as few requests as the model allows, and ranked.

`completion.py` checks the arguments and configures the model first.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, LLMResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import BaseModel, ConfigDict
from sagechain.llms import StopCutter, TextModel
from sagechain.llms.wires import get_wire

from . import python_code


class Completion(BaseModel):
    """One candidate.

    `parses`: prompt and completion together are Python. `unfinished`: they are, as far as they go, but the model stopped
    inside a line (which is still in `text`), a bracket, a string or a block. `likelihood` is the mean log probability of
    the generated tokens (nats; 0 is certain), None if the model does not report it. `finish_reason` is `length` where
    the completion is truncated, None if the model does not report it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    prompt: str
    text: str
    parses: bool
    unfinished: bool
    likelihood: float | None
    finish_reason: str | None


def by_parse_and_likelihood(completion: Completion) -> tuple[int, float]:
    """The default rank: code that parses, unfinished code, anything else, no code at all; then by likelihood."""
    likelihood = -math.inf if completion.likelihood is None else completion.likelihood
    if not python_code.has_code(completion.prompt, completion.text):
        return 0, likelihood
    return 1 + completion.parses + (completion.parses and not completion.unfinished), likelihood


@dataclass(frozen=True)
class _Batch:
    """One `generate`: the indices of its prompts, each once or several times, and its options."""

    indices: Sequence[int]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class CompletionModel:
    """A model prepared for completions: sagechain's models contain all settings, others receive `options`."""

    model: BaseLLM
    stops: tuple[str, ...]
    options: Mapping[str, Any]
    candidates: int

    def check(self, prompt: str | PromptValue, **options: Any) -> str:
        """The prompt's text. Raises ValueError if it is not text, empty, or refused by the model; or on any option."""
        for name in options:
            raise ValueError(f"{name}: it is not given with a prompt; give it to code_completion")
        text = prompt.to_string() if isinstance(prompt, PromptValue) else prompt
        if not isinstance(text, str):
            raise ValueError(f"prompt: {text!r} is not text; give the beginning of some code")
        if not text:
            raise ValueError(f"prompt: {text!r} is empty; give the beginning of some code")
        if isinstance(self.model, TextModel):
            self.model.check(text)
        return text

    def batches(self, prompts: int, max_size: int | None) -> Iterator[_Batch]:
        """Batches of at most `max_size` prompts which give each prompt all its candidates.

        Where one request returns one answer only, a prompt is sent several times. With a seed each answer would be the
        same, so the n-th answer gets the n-th seed after it, as everywhere in sagechain.
        """
        seed = getattr(self.model, "seed", None) if isinstance(self.model, TextModel) else None
        if self.candidates == 1 or returns_several(self.model):
            rounds = [_Batch(range(prompts), self.options)]
        elif seed is None:
            rounds = [_Batch([index for index in range(prompts) for _ in range(self.candidates)], self.options)]
        else:
            rounds = [_Batch(range(prompts), {"seed": seed + number}) for number in range(self.candidates)]
        for batch in rounds:
            size = max_size or len(batch.indices)
            for start in range(0, len(batch.indices), size):
                yield _Batch(batch.indices[start : start + size], batch.options)


class RankedCompletions(Runnable[str, list[Completion]]):
    """All candidates of checked prompts, the highest rank first; the prompts of a batch share requests."""

    def __init__(self, model: CompletionModel, rank: Callable[[Completion], Any]) -> None:
        self._model, self._rank = model, rank
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
        return self._batch_with_config(self._generate, inputs, config, return_exceptions=return_exceptions)

    async def abatch(
        self,
        inputs: list[str],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **_: Any,
    ) -> list[list[Completion]]:
        return await self._abatch_with_config(self._agenerate, inputs, config, return_exceptions=return_exceptions)

    def _generate(
        self, prompts: list[str], run_manager: Any, config: list[RunnableConfig]
    ) -> list[Exception | list[Completion]]:
        batches = self._model.batches(len(prompts), config[0].get("max_concurrency"))
        results = [(batch, self._model.model.generate(**_arguments(batch, prompts, config))) for batch in batches]
        return self._ranked(prompts, results)

    async def _agenerate(
        self, prompts: list[str], run_manager: Any, config: list[RunnableConfig]
    ) -> list[Exception | list[Completion]]:
        batches = self._model.batches(len(prompts), config[0].get("max_concurrency"))
        results = [
            (batch, await self._model.model.agenerate(**_arguments(batch, prompts, config))) for batch in batches
        ]
        return self._ranked(prompts, results)

    def _ranked(
        self, prompts: Sequence[str], results: Sequence[tuple[_Batch, LLMResult]]
    ) -> list[Exception | list[Completion]]:
        candidates: list[list[Completion]] = [[] for _ in prompts]
        for batch, result in results:
            for index, generations in zip(batch.indices, result.generations, strict=True):
                for generation in generations:
                    assert isinstance(generation, Generation)
                    candidates[index].append(_completion(prompts[index], generation, self._model.stops))
        return [sorted(completions, key=self._rank, reverse=True) for completions in candidates]


def returns_several(model: BaseLLM) -> bool:
    """Whether one request returns several answers: sagechain's models do, except over a wire with one answer."""
    wire = getattr(model, "wire", None)
    return isinstance(model, TextModel) and (wire is None or "num_return_sequences" in get_wire(wire).parameter_names)


def _arguments(batch: _Batch, prompts: Sequence[str], configs: Sequence[RunnableConfig]) -> dict[str, Any]:
    chosen = [configs[index] for index in batch.indices]
    return {
        "prompts": [prompts[index] for index in batch.indices],
        **{name: [config.get(name) for config in chosen] for name in ("callbacks", "tags", "metadata")},
        **batch.options,
    }


def _completion(prompt: str, generation: Generation, stops: Sequence[str]) -> Completion:
    cutter, info = StopCutter(stops), generation.generation_info or {}
    text = cutter.feed(generation.text) + cutter.flush()
    finish_reason = "stop" if cutter.stopped else info.get("finish_reason")
    parses = python_code.parses(prompt + text)
    unfinished = not parses and finish_reason != "stop" and python_code.is_unfinished(prompt, text)
    return Completion(
        prompt=prompt,
        text=text,
        parses=parses or unfinished,
        unfinished=unfinished,
        likelihood=info.get("likelihood"),
        finish_reason=finish_reason,
    )
