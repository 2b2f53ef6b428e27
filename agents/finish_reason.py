"""Why an LLM ended its answer. A stream of text carries no metadata, so a callback reads it from the result."""

from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import LLMResult


class FinishReason(BaseCallbackHandler):
    """A LangChain callback; `value` is the finish reason of the last generation, None if the model reports none."""

    value: str | None = None

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        """Store the reason."""
        self.value = (response.generations[0][0].generation_info or {}).get("finish_reason")
