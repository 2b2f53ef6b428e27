"""An LLM that reports each chunk of its answer to the callbacks, in `invoke` and `generate` too.

In a chain whose answer is streamed, LangChain streams from a chat model, but runs an LLM without a stream. `StreamingLLM`
always streams from the LLM below it, and reports the chunks to the callback `on_llm_new_token`. The answer is the same.
"""

from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from pydantic import ConfigDict
from sagechain.llms import TextModel


class StreamingLLM(BaseLLM):
    """Streams from `llm`. The prompts of one call are answered one after another."""

    model_config = ConfigDict(hide_input_in_errors=True)

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
        generations = []
        for prompt in prompts:
            answer = GenerationChunk(text="")
            for chunk in self.llm._stream(prompt, stop, run_manager, **kwargs):
                answer += chunk
            generations.append([Generation(text=answer.text, generation_info=answer.generation_info)])
        return LLMResult(generations=generations)
