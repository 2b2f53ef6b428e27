"""Any LangChain LLM that is not a `TextModel`, with the methods of one that `PromptedChatModel` uses.

Stop strings are cut here, since many LLMs ignore them, and sent to LLMs that read them as they are. A setting reaches the
LLM as a field of that name (in a copy), or with the request where its methods take it (`settings.py`); otherwise it is a
ValueError.
"""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import GenerationChunk, LLMResult
from langchain_core.runnables.config import RunnableConfig, ensure_config, merge_configs
from sagechain.prompts import OutputFormat, replace_half_characters

from ..capabilities import Capabilities
from ..generation import ChunkCutter, Prompt, cut_answer
from ..token_counting import estimate_tokens
from ..wires.base import is_count
from .settings import configure_llm, stop_to_send

INPUT_COUNTS = ("input_tokens", "prompt_tokens", "prompt_token_count", "prompt_eval_count", "input_token_count")
OUTPUT_COUNTS = ("output_tokens", "completion_tokens", "candidates_token_count", "eval_count", "generated_token_count")
USAGE_PLACES = ("token_usage", "usage", "usage_metadata")
"""Where LangChain's LLMs put token counts, in `llm_output` or `generation_info`, and how they call them."""


@dataclass(frozen=True)
class OtherLLM:
    """An LLM that continues text; of its tokens only `token_ids` knows.

    Args:
        llm: any LangChain LLM.
        token_ids: the token ids of a text, by the model's own tokenizer; None if that was not given.
    """

    llm: BaseLLM
    token_ids: Callable[[str], list[int]] | None = None

    capabilities = Capabilities()
    context_size: None = None

    @property
    def display_name(self) -> str:
        """The LLM's kind, in LangChain's words."""
        return self.llm._llm_type

    def text_tokens(self, text: str) -> int | None:
        """As for a `TextModel`."""
        return None if self.token_ids is None else len(self.token_ids(text))

    def prompt_tokens(self, prompt: Prompt, output_format: OutputFormat | None = None) -> int | None:
        """As for a `TextModel`."""
        return self.text_tokens(_text(prompt))

    def get_num_tokens(self, text: str) -> int:
        """By the given tokenizer, else the LLM's own method, else an estimate.

        LangChain's default method is not used: it would count by GPT-2's tokenizer, after fetching that.
        """
        text = replace_half_characters(text)
        if (counted := self.text_tokens(text)) is not None:
            return counted
        has_tokenizer = self.llm.custom_get_token_ids or (
            type(self.llm).get_token_ids is not BaseLanguageModel.get_token_ids
        )
        return self.llm.get_num_tokens(text) if has_tokenizer else estimate_tokens(text)

    def complete(
        self, prompt: Prompt, stop: Sequence[str] = (), *, output_format: OutputFormat | None = None, **settings: Any
    ) -> list[GenerationChunk]:
        """As for a `TextModel`. Raises ValueError on a setting that the LLM cannot honour."""
        llm, options = configure_llm(self.llm, settings)
        try:
            result = llm.generate([_text(prompt)], stop_to_send(self.llm, stop), **options)
        except (ValueError, NotImplementedError) as error:
            if not _refuses_stop(error, stop):
                raise
            result = llm.generate([_text(prompt)], **options)
        return _answers(result, stop)

    async def acomplete(
        self, prompt: Prompt, stop: Sequence[str] = (), *, output_format: OutputFormat | None = None, **settings: Any
    ) -> list[GenerationChunk]:
        """As `complete`."""
        llm, options = configure_llm(self.llm, settings)
        try:
            result = await llm.agenerate([_text(prompt)], stop_to_send(self.llm, stop), **options)
        except (ValueError, NotImplementedError) as error:
            if not _refuses_stop(error, stop):
                raise
            result = await llm.agenerate([_text(prompt)], **options)
        return _answers(result, stop)

    def chunks(
        self, prompt: Prompt, stop: Sequence[str] = (), *, output_format: OutputFormat | None = None, **settings: Any
    ) -> Generator[GenerationChunk, None, None]:
        """As for a `TextModel`. A stop string ends the LLM's stream."""
        llm, options = configure_llm(self.llm, settings)
        cutter, figures = ChunkCutter(stop), _Figures()
        try:
            sent = stop_to_send(self.llm, stop)
            with closing(llm.stream(_text(prompt), figures.config, stop=sent, **options)) as texts:  # type: ignore[type-var]
                yield from cutter.chunks(map(_chunk, texts), figures.info)
        except (ValueError, NotImplementedError) as error:
            if cutter.has_received or not _refuses_stop(error, stop):
                raise
            with closing(llm.stream(_text(prompt), figures.config, **options)) as texts:  # type: ignore[type-var]
                yield from cutter.chunks(map(_chunk, texts), figures.info)

    async def achunks(
        self, prompt: Prompt, stop: Sequence[str] = (), *, output_format: OutputFormat | None = None, **settings: Any
    ) -> AsyncGenerator[GenerationChunk, None]:
        """As `chunks`."""
        llm, options = configure_llm(self.llm, settings)
        cutter, figures = ChunkCutter(stop), _Figures()
        for sent in (stop_to_send(self.llm, stop), None):
            try:
                async with aclosing(llm.astream(_text(prompt), figures.config, stop=sent, **options)) as texts:  # type: ignore[type-var]
                    async for text in texts:
                        for chunk in cutter.feed(_chunk(text)):
                            yield chunk
                        if cutter.stopped:
                            return
                for chunk in cutter.flush(figures.info()):
                    yield chunk
                return
            except (ValueError, NotImplementedError) as error:
                if sent is None or cutter.has_received or not _refuses_stop(error, stop):
                    raise


class _Figures(BaseCallbackHandler):
    """Receives what an LLM's stream does not yield: finish reason and token counts."""

    run_inline = True

    def __init__(self) -> None:
        self._result: LLMResult | None = None

    @property
    def config(self) -> RunnableConfig:
        return merge_configs(ensure_config(), {"callbacks": [self]})

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self._result = response

    def info(self) -> dict[str, Any]:
        if self._result is None:
            return {}
        generation_info = self._result.generations[0][0].generation_info or {}
        reason = {"finish_reason": generation_info["finish_reason"]} if generation_info.get("finish_reason") else {}
        return {**reason, **_usage(generation_info, self._result.llm_output)}


def _chunk(text: str) -> GenerationChunk:
    return GenerationChunk(text=text)


def _text(prompt: Prompt) -> str:
    assert isinstance(prompt, str)
    return prompt


def _refuses_stop(error: Exception, stop: Sequence[str]) -> bool:
    """Whether an LLM takes no stop strings at all, as the one of LangChain's guide: they are cut here all the same."""
    return bool(stop) and "stop" in str(error).lower()


def _answers(result: LLMResult, stop: Sequence[str]) -> list[GenerationChunk]:
    answers = []
    for number, each in enumerate(result.generations[0]):
        info = each.generation_info or {}
        usage = _usage(info, result.llm_output if number == 0 else None)  # `llm_output` counts all answers together
        answers.append(cut_answer(GenerationChunk(text=each.text, generation_info={**info, **usage}), stop))
    return answers


def _usage(*places: Mapping[str, Any] | None) -> dict[str, int]:
    """The token counts that an LLM reports."""
    found = [place for place in places if place]
    nested = [place[name] for place in found for name in USAGE_PLACES if isinstance(place.get(name), Mapping)]
    counts: dict[str, int] = {}
    for ours, theirs in (("input_tokens", INPUT_COUNTS), ("output_tokens", OUTPUT_COUNTS)):
        values = (place.get(name) for place in (*nested, *found) for name in theirs)
        if (value := next(filter(is_count, values), None)) is not None:
            counts[ours] = value
    return counts
