"""An LLM that tells of each piece of its answer as it comes, inside `invoke` and `generate` too.

LangChain streams inside a chain where a chat model runs in it; an LLM says nothing before its answer is whole. This one
asks for a stream and passes each piece to LangChain's own callback `on_llm_new_token`. The answer is the same.
"""

from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from sagechain.llms import TextModel


class TellingLLM(BaseLLM):
    """`llm`, telling. Prompts that are given together are answered one after another."""

    llm: TextModel

    @property
    def _llm_type(self) -> str:
        return self.llm._llm_type

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return dict(self.llm._identifying_params)

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        return LLMResult(generations=[[self._told(prompt, stop, run_manager, kwargs)] for prompt in prompts])

    def _told(
        self, prompt: str, stop: list[str] | None, run_manager: CallbackManagerForLLMRun | None, options: dict[str, Any]
    ) -> Generation:
        whole = GenerationChunk(text="")
        for piece in self.llm._stream(prompt, stop, run_manager, **options):
            whole += piece
        return Generation(text=whole.text, generation_info=whole.generation_info)
