"""Any LangChain LLM that is not a `TextModel`, with the methods of one that `PromptedChatModel` uses."""

from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import GenerationChunk, LLMResult
from sagechain.prompts import OutputFormat, replace_half_characters

from ..capabilities import Capabilities
from ..generation import Prompt
from ..token_counting import estimate_tokens


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
        self, prompt: Prompt, *, output_format: OutputFormat | None = None, **options: Any
    ) -> list[GenerationChunk]:
        """As for a `TextModel`; the options are the LLM's own."""
        return _answers(self.llm.generate([_text(prompt)], **options))

    async def acomplete(
        self, prompt: Prompt, *, output_format: OutputFormat | None = None, **options: Any
    ) -> list[GenerationChunk]:
        """As `complete`."""
        return _answers(await self.llm.agenerate([_text(prompt)], **options))

    def chunks(
        self, prompt: Prompt, *, output_format: OutputFormat | None = None, **options: Any
    ) -> Generator[GenerationChunk, None, None]:
        """As for a `TextModel`."""
        for text in self.llm.stream(_text(prompt), **options):
            yield GenerationChunk(text=text)

    async def achunks(
        self, prompt: Prompt, *, output_format: OutputFormat | None = None, **options: Any
    ) -> AsyncGenerator[GenerationChunk, None]:
        """As `chunks`."""
        async for text in self.llm.astream(_text(prompt), **options):
            yield GenerationChunk(text=text)


def _text(prompt: Prompt) -> str:
    assert isinstance(prompt, str)
    return prompt


def _answers(result: LLMResult) -> list[GenerationChunk]:
    return [GenerationChunk(text=each.text, generation_info=each.generation_info) for each in result.generations[0]]
